// What the files behind mlcore.h share.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "capi/mlcore.h"
#include "runtime/model.h"

namespace mlcore::capi {

// A mistake of the calling program's.
class ArgumentError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <class... Parts>
[[noreturn, gnu::cold, gnu::noinline]] void fail_argument(const Parts&... parts) {
  std::string message;
  ((message += text(parts)), ...);
  throw ArgumentError(message);
}
template <class... Parts>
[[gnu::always_inline]] inline void require_argument(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail_argument(parts...);
}

template <class T>
T& not_null(T* pointer, const char* name) {
  require_argument(pointer != nullptr, "expected ", name, " but found a null pointer");
  return *pointer;
}

inline size_t checked_index(int64_t index, size_t count, const char* what) {
  require_argument(index >= 0 && static_cast<size_t>(index) < count, "expected ", what, " below ", count,
                   " but found ", index);
  return static_cast<size_t>(index);
}

// Stores the message of the exception being handled for mlc_last_error.
mlc_status failed() noexcept;

template <class Action>
mlc_status guarded(const Action& action) noexcept {
  try {
    action();
    return MLC_OK;
  } catch (...) {
    return failed();
  }
}

// One output as C sees it: class labels in place of their positions.
class Output {
 public:
  Output(const Program& program, const OutputSpec& spec);

  int32_t type() const { return type_; }
  size_t value_bytes() const { return type_ == MLC_F32 ? 4 : type_ == MLC_TEXT ? sizeof(mlc_text) : 8; }
  int64_t width() const { return block_.width; }
  DType block_type() const { return block_.dtype; }
  const std::string& method() const { return spec_.method; }
  const std::vector<std::string>& names() const { return names_; }
  // Whether `show` has anything to do: the block's values are not the answer's.
  bool is_shown() const { return spec_.labels >= 0 || block_.dtype == DType::i32; }
  // `count` values of the block as the answer's. Neither allocates nor locks.
  void show(const std::byte* block, int64_t count, std::byte* out) const;

 private:
  const OutputSpec& spec_;
  ValueType block_;
  int32_t type_ = MLC_F64;
  std::vector<std::string> names_;
  std::vector<int64_t> integers_;  // labels of one of the types
  std::vector<double> floats_;
  std::vector<mlc_text> texts_;
};

// A model and what C may ask about it.
struct Loaded {
  explicit Loaded(std::shared_ptr<const Model> model_);

  size_t column(int64_t index) const {
    return checked_index(index, model->program().schema.size(), "a column");
  }
  const Output& output(int64_t index) const {
    return outputs[checked_index(index, outputs.size(), "an output")];
  }
  size_t first_output(std::string_view method) const;

  std::shared_ptr<const Model> model;
  std::vector<std::string> types;  // of the columns
  std::vector<Output> outputs;
};

}  // namespace mlcore::capi

struct mlc_model {
  std::shared_ptr<const mlcore::capi::Loaded> loaded;
};

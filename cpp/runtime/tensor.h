// What a model takes and gives, as tensors of the Open Inference Protocol (KServe v2), which Triton speaks
// too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/batch.h"
#include "runtime/model.h"

namespace mlcore {

inline constexpr std::string_view kMatrix = "X";             // the input that holds all columns at once
inline constexpr std::string_view kValidSuffix = "__valid";  // of the BOOL input that says what is there

// A type of the protocol and how its elements are read. BYTES have no fixed size.
struct TensorType {
  std::string_view name;   // "FP32"
  std::string_view numpy;  // "float32"
  Kind kind;
  Storage storage;
  size_t bytes;
};
// BOOL, UINT8 to UINT64, INT8 to INT64, FP16 to FP64, BYTES.
std::span<const TensorType> tensor_types();
const TensorType* tensor_type_named(std::string_view name);  // null: we have no such type
// Throws ErrorCode::input unless `bytes` are as many values of the type; of texts any number may be.
void expect_values(std::string_view input, const TensorType& type, int64_t values, size_t bytes);

// An input: a column, or all of them side by side.
struct TensorInput {
  std::string name;
  std::string valid;  // name of the BOOL input beside it; empty: there is none
  const TensorType* type;
  LogicalType logical;  // what its values mean
  size_t column;        // first column of the schema
  int64_t width;        // columns
  bool matrix;          // whose rows are a dimension more
};
// How a column is sent when nobody says otherwise.
TensorInput tensor_of(const ColumnSpec& column, size_t index);
// All columns as a matrix; nothing unless all are of one type of numbers and none is called X.
std::optional<TensorInput> matrix_of(const Program& program);
// The column, or matrix, of this name.
std::optional<TensorInput> find_tensor_input(const Program& program, std::string_view name);
// The input that the BOOL tensor `<input>__valid` of this name is about; nothing where it is one itself.
std::optional<TensorInput> find_masked_input(const Program& program, std::string_view name);
// As values of another type; false: the column does not take it.
bool retype(TensorInput& input, const TensorType& type, const ColumnSpec& column);
// What a model is sent when nobody says otherwise: the matrix where it was fitted on a bare array, whose
// columns are x0, x1 and so on; else each column that it uses. With a `valid` for what may be missing.
std::vector<TensorInput> default_inputs(const Model& model);
// What keeps these from being a whole row: each column that the model uses is sent, and none twice.
std::vector<std::string> column_problems(const Model& model, std::span<const TensorInput> inputs);

// An output of the model: how the numbers of its block become elements of a tensor.
class TensorOutput {
 public:
  // Throws ErrorCode::input when the protocol has no type for it.
  TensorOutput(const Program& program, int32_t index);

  const std::string& name() const { return name_; }
  void rename(std::string name) { name_ = std::move(name); }
  bool is_called(std::string_view name) const { return name == name_ || name == alias_; }
  int32_t index() const { return index_; }
  const TensorType& type() const { return *type_; }
  int64_t width() const { return block_.width; }
  bool is_vector() const { return vector_; }
  size_t block_bytes() const {
    return size_of(block_.dtype) * static_cast<size_t>(block_.width);
  }  // of a row

  // What `count` values of the block take as a tensor, and the tensor itself. Throws ErrorCode::input for a
  // missing text, which BYTES cannot say.
  size_t bytes(const std::byte* block, int64_t count) const;
  void write(const std::byte* block, int64_t count, std::byte* out) const;

 private:
  std::string_view text_at(const std::byte* block, int64_t index) const;

  std::string name_, alias_;
  int32_t index_;
  ValueType block_;
  bool vector_;
  const Constant* labels_ = nullptr;  // whose positions the block holds
  const TensorType* type_;
  std::vector<std::byte> label_values_;  // in the tensor's type
};

// What clients are told of an input, of its mask, or of an output.
struct TensorFacts {
  std::string name;
  const TensorType* type;
  int64_t width;          // values of a row
  bool vector;            // which has no dimension of its own
  bool optional = false;  // a request may go without
};
TensorFacts facts_of(const TensorInput& input);
TensorFacts mask_facts_of(const TensorInput& input);
TensorFacts facts_of(const TensorOutput& output);
// Of the inputs when nobody says otherwise, and of the masks of those that have one, behind them.
std::vector<TensorFacts> default_facts(const Model& model);

// All outputs, in the order of the program.
std::vector<TensorOutput> tensor_outputs(const Program& program);
// Place of the one that is called so; nothing: none is.
std::optional<size_t> find_tensor_output(std::span<const TensorOutput> outputs, std::string_view name);
// Their names as messages list them: 'predict', 'margin'.
std::string names_of(std::span<const TensorOutput> outputs);

}  // namespace mlcore

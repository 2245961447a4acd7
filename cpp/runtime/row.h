// Single rows: values set column by column, and one method of a model run on them again and again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/batch.h"
#include "runtime/model.h"

namespace mlcore {

// How one value of a type lies in memory: an element of `width` bytes.
struct PlainLayout {
  Storage storage;
  uint8_t width;
};
PlainLayout plain_layout(Kind kind);

// A number in the plain layout of `kind` at `out`; false: the kind does not hold exactly this number, or is
// no kind of numbers. An integer fits any integer or float kind that holds it, a float only float kinds.
bool put_number(int64_t number, Kind kind, std::byte* out);
bool put_number(uint64_t number, Kind kind, std::byte* out);
bool put_number(double number, Kind kind, std::byte* out);

// What stands for a missing value of `type` at `out`: NaN, zero, or no text.
void put_missing(MissingKind kind, Kind type, std::byte* out);

// One row, in exactly the schema's types, in memory that is reused from row to row.
class Row final : public Source {
 public:
  explicit Row(std::vector<ColumnSpec> schema);
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  const std::vector<ColumnSpec>& schema() const { return schema_; }

  // Where the value of a column goes, in its plain layout; for every column but strings.
  std::byte* value(size_t column) { return slots_[column].value; }
  void set_present(size_t column) { slots_[column].kind = 0; }
  template <class T>
  void set(size_t column, T number) {
    std::memcpy(slots_[column].value, &number, sizeof number);
    slots_[column].kind = 0;
  }
  // Copies; allocates only for a text longer than any before it in this column.
  void set_text(size_t column, std::string_view text);
  void set_missing(size_t column, MissingKind kind);

  // The row as a batch; its memory is the row's.
  const Batch& batch() const { return batch_; }

  void read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const override;
  void read_columns(std::span<const int32_t> columns, int64_t first, int64_t n, DType dtype,
                    std::byte* out) const override;

 private:
  // What a read may do without asking `decode`, which knows every rule.
  enum class Form : uint8_t { f64, f32, i64, text, other };
  struct Slot {
    alignas(16) std::byte value[sizeof(StringRef)];
    uint8_t kind;  // 0 present, else 1 + MissingKind
    Form form;
    Kind type;
  };

  std::vector<ColumnSpec> schema_;
  std::vector<Slot> slots_;
  std::vector<std::string> texts_;
  Batch batch_;
};

// One method of a model with the memory for its answer. After the first run no run allocates or locks.
class RowCall {
 public:
  // `outputs`: indices into the program's.
  RowCall(std::shared_ptr<const Model> model, std::vector<int32_t> outputs);

  const Model& model() const { return *model_; }
  std::span<const int32_t> outputs() const { return outputs_; }
  ValueType type(size_t i) const { return types_[i]; }

  // `source` has one row. Throws ErrorCode::input.
  void run(const Source& source) { model_->run_row(source, outputs_, destinations_, workspace_); }
  // The values of outputs()[i], of its block's type; those of the last run.
  const std::byte* values(size_t i) const { return static_cast<const std::byte*>(destinations_[i]); }

 private:
  std::shared_ptr<const Model> model_;
  std::vector<int32_t> outputs_;
  std::vector<ValueType> types_;
  std::vector<std::byte> memory_;
  std::vector<void*> destinations_;
  Workspace workspace_;
};

}  // namespace mlcore

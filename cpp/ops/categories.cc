// one_hot, table: from the code of a category to what it stands for.
#include <algorithm>
#include <limits>
#include <optional>

#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

// -- one_hot --------------------------------------------------------------------------------------

void expect_codes(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::i32});
  reader.expect(reader.input(0).width == 1, "expected an input of width 1 but found ", reader.input(0).width);
}

ValueType validate_one_hot(const NodeReader& reader) {
  expect_codes(reader);
  return {reader.dtype("dtype", {DType::f64, DType::f32}), reader.integer("width")};
}

template <class T>
std::unique_ptr<Step> one_hot_step(const NodeReader& reader) {
  return make_step([blame = Blame(reader)](const StepArgs& args) {
    const auto* codes = args.inputs[0].column<int32_t>(0);
    const auto [data, rows, width] = args.output;
    auto* to = args.output.column<T>(0);
    std::fill_n(to, rows * width, T{0});
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t code = codes[row];
      if (code >= 0 && code < width) to[code * rows + row] = T{1};
      else if (code != -1) blame.bad_code(code, width);
    }
  });
}

std::unique_ptr<Step> lower_one_hot(const NodeReader& reader) {
  return for_float(reader.dtype("dtype", {DType::f64, DType::f32}),
                   [&](auto zero) { return one_hot_step<decltype(zero)>(reader); });
}

std::optional<ColumnStep> one_hot_column(const NodeReader& reader, int64_t column) {
  const auto code = static_cast<int32_t>(column);
  ColumnStep step{0, 0, Order::lookup, "is_missing", {{"match", std::string("value")}}, {}};
  step.attributes["dtype"] = reader.node().attributes.at("dtype");
  step.constants.emplace("match_value", Constant(DType::i32, {1}, std::as_bytes(std::span(&code, 1))));
  return step;
}

DeviceStepPtr one_hot_device(const NodeReader& reader) {
  return std::make_unique<DeviceStep>(reader, device::StepKind::one_hot);
}

// -- table ----------------------------------------------------------------------------------------

const Constant& table_values(const NodeReader& reader) {
  return reader.constant_of("values", {DType::f64, DType::f32, DType::i64, DType::str});
}

ValueType validate_table(const NodeReader& reader) {
  expect_codes(reader);
  const Constant& values = table_values(reader);
  reader.expect(values.shape().size() == 1 || values.shape().size() == 2,
                "expected constant 'values' of 1 or 2 dimensions but found ", values.shape().size());
  reader.expect(values.shape()[0] < std::numeric_limits<int32_t>::max(),
                "expected fewer than 2^31 rows in constant "
                "'values' but found ",
                values.shape()[0]);
  const int64_t width = values.shape().size() == 2 ? values.shape()[1] : 1;
  if (reader.has_constant("default")) reader.constant("default", values.type(), width);
  return {values.type(), width};
}

// Rows of the table as columns of T, so that each output column is one gather; the default is the row behind
// the last.
template <class T>
class TableStep final : public Step {
 public:
  explicit TableStep(const NodeReader& reader)
      : blame_(reader), values_(table_values(reader)), count_(values_.shape()[0]) {
    if (reader.has_constant("default")) default_ = reader.constant("default", values_.type());
    const int64_t width = values_.shape().size() == 2 ? values_.shape()[1] : 1;
    const int64_t stride = count_ + (default_ ? 1 : 0);
    columns_.reserve(static_cast<size_t>(width * stride));
    for (int64_t column = 0; column < width; ++column) {
      for (int64_t code = 0; code < count_; ++code)
        columns_.push_back(element(values_, code * width + column));
      if (default_) columns_.push_back(element(*default_, column));
    }
  }

  size_t scratch_bytes(int64_t rows) const override { return sizeof(int32_t) * static_cast<size_t>(rows); }

  void run(const StepArgs& args) const override {
    const auto* codes = args.inputs[0].column<int32_t>(0);
    auto* rows_of = static_cast<int32_t*>(args.scratch);
    const int64_t rows = args.output.rows;
    for (int64_t row = 0; row < rows; ++row) {
      const int32_t code = codes[row];
      if (code >= 0 && code < count_) {
        rows_of[row] = code;
      } else if (code == -1) {
        if (!default_) [[unlikely]]
          blame_.refuse("a known category", 0, "none", args.first_row + row);
        rows_of[row] = static_cast<int32_t>(count_);
      } else {
        blame_.bad_code(code, count_);
      }
    }
    const int64_t stride = count_ + (default_ ? 1 : 0);
    for (int64_t column = 0; column < args.output.width; ++column) {
      const T* values = columns_.data() + column * stride;
      auto* to = args.output.column<T>(column);
      for (int64_t row = 0; row < rows; ++row) to[row] = values[rows_of[row]];
    }
  }

 private:
  static T element(const Constant& constant, int64_t index) {
    if constexpr (std::is_same_v<T, StringRef>) {
      const std::string_view value = constant.string_at(index);
      return {value.empty() ? "" : value.data(), static_cast<int64_t>(value.size())};
    } else {
      return constant.as<T>()[static_cast<size_t>(index)];
    }
  }

  Blame blame_;
  Constant values_;  // owns the text that str columns point into, as does default_
  std::optional<Constant> default_;
  int64_t count_;
  std::vector<T> columns_;
};

std::unique_ptr<Step> lower_table(const NodeReader& reader) {
  return for_block(table_values(reader).type(), [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<TableStep<decltype(zero)>>(reader);
  });
}

template <class T>
Constant column_of(const Constant& values, int64_t width, int64_t column) {
  std::vector<T> out;
  for (int64_t row = 0; row < values.size() / width; ++row)
    out.push_back(values.as<T>()[static_cast<size_t>(row * width + column)]);
  return {values.type(), {static_cast<int64_t>(out.size())}, std::as_bytes(std::span(out))};
}

std::optional<ColumnStep> table_column(const NodeReader& reader, int64_t column) {
  const Constant& values = table_values(reader);
  if (values.type() == DType::str) return std::nullopt;
  const int64_t width = reader.node().type.width;
  ColumnStep step = same_op(reader, 0, Order::lookup);
  step.constants.emplace("values", values.type() == DType::f64   ? column_of<double>(values, width, column)
                                   : values.type() == DType::f32 ? column_of<float>(values, width, column)
                                                                 : column_of<int64_t>(values, width, column));
  if (reader.has_constant("default"))
    step.constants.emplace("default", part_of_column(reader.constant("default", values.type()), column));
  return step;
}

DeviceStepPtr table_device(const NodeReader& reader) {
  const Constant& values = table_values(reader);
  if (values.type() == DType::str) return nullptr;
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::table);
  const int64_t width = reader.node().type.width, rows = values.shape()[0];
  const bool has_default = reader.has_constant("default");
  const size_t size = size_of(values.type());
  std::vector<std::byte> columns;
  const auto copy = [&](const Constant& from, int64_t element) {
    const auto bytes = from.bytes().subspan(static_cast<size_t>(element) * size, size);
    columns.insert(columns.end(), bytes.begin(), bytes.end());
  };
  for (int64_t column = 0; column < width; ++column) {
    for (int64_t row = 0; row < rows; ++row) copy(values, row * width + column);
    if (has_default) copy(reader.constant("default", values.type()), column);
  }
  step->add(std::move(columns), values.type());
  step->spec().integer = rows;
  step->spec().flag = has_default;
  return step;
}

}  // namespace

constinit const OpDef kOneHotOp{"one_hot", always_exact,   validate_one_hot, lower_one_hot,
                                false,     one_hot_column, one_hot_device};
constinit const OpDef kTableOp{"table", always_exact, validate_table, lower_table,
                               false,   table_column, table_device};

}  // namespace mlcore

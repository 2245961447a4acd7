// encode, one_hot, table: from a value to the code of its category, and from a code to what it stands for.
#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include <boost/container_hash/hash.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include "ops/all_ops.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

// -- encode ---------------------------------------------------------------------------------------

DType key_type(const NodeReader& reader) {
  const DType block = reader.input(0).dtype;
  return block == DType::f32 ? DType::f64 : block;
}

// An attribute that is a code: -1 (no category) or more.
int32_t code_attribute(const NodeReader& reader, std::string_view name, int64_t fallback) {
  const int64_t code = reader.integer_or(name, fallback);
  reader.expect(code >= -1 && code <= std::numeric_limits<int32_t>::max(), "expected attribute '", name,
                "' from -1 to 2147483647 but found ", code);
  return static_cast<int32_t>(code);
}

// What a value without a key becomes; no code: it is refused.
struct Fallbacks {
  std::optional<int32_t> unknown;
  std::optional<int32_t> missing[3];  // by MissingKind

  explicit Fallbacks(const NodeReader& reader) {
    if (reader.choice("unknown", {"code", "error"}) == "code")
      unknown = code_attribute(reader, "unknown_code", -1);
    const auto code_or = [&](std::string_view name, std::optional<int32_t> otherwise) {
      return reader.has_attribute(name) ? std::optional(code_attribute(reader, name, -1)) : otherwise;
    };
    missing[kNull] = code_or("null_code", std::nullopt);
    const auto other = reader.flag_or("by_kind", false) ? std::nullopt : missing[kNull];
    missing[kNone] = code_or("none_code", other);
    missing[kNaN] = code_or("nan_code", other);
    for (auto& code : missing)
      if (!code) code = unknown;
  }
};

ValueType validate_encode(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::str, DType::i64, DType::f64, DType::f32});
  reader.expect(reader.input(0).width == 1, "expected an input of width 1 but found ", reader.input(0).width);
  const Fallbacks fallbacks(reader);
  const Constant& keys = reader.constant("keys", key_type(reader));
  reader.expect(keys.size() <= std::numeric_limits<int32_t>::max(),
                "expected fewer than 2^31 keys but found ", keys.size());
  expect_no_nan(reader, "keys", keys);
  if (reader.has_constant("codes"))
    for (int32_t code : reader.constant("codes", DType::i32, keys.size()).as<int32_t>())
      reader.expect(code >= -1, "expected codes from -1 but found ", code);
  return {DType::i32, 1};
}

// Doubles are keyed by their bits, after -0.0 has become 0.0; NaN never reaches the map.
uint64_t key_of(double value) { return std::bit_cast<uint64_t>(value + 0.0); }
uint64_t key_of(float value) { return key_of(static_cast<double>(value)); }
uint64_t key_of(int64_t value) { return static_cast<uint64_t>(value); }
std::string_view key_of(const StringRef& value) { return {value.data, static_cast<size_t>(value.size)}; }

std::optional<MissingKind> missing_kind(double value) {
  return value != value ? std::optional(kNaN) : std::nullopt;
}
std::optional<MissingKind> missing_kind(int64_t) { return std::nullopt; }
std::optional<MissingKind> missing_kind(const StringRef& value) {
  if (value.data) return std::nullopt;
  return value.size == kNone ? kNone : value.size == kNaN ? kNaN : kNull;
}

std::string shown(double value) { return text(value); }
std::string shown(float value) { return text(value); }
std::string shown(int64_t value) { return text(value); }
std::string shown(const StringRef& value) { return quoted(key_of(value)); }

std::string shown(MissingKind kind) {
  return kind == kNone  ? "a missing value (None)"
         : kind == kNaN ? "a missing value (NaN)"
                        : "a missing value (null)";
}

template <class T>
class EncodeStep final : public Step {
 public:
  explicit EncodeStep(const NodeReader& reader)
      : blame_(reader), keys_(reader.constant("keys", key_type(reader))), fallbacks_(reader) {
    const int64_t count = keys_.size();
    const bool renumbered = reader.has_constant("codes");
    const auto codes =
        renumbered ? reader.constant("codes", DType::i32).as<int32_t>() : std::span<const int32_t>();
    map_.reserve(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      const auto code = renumbered ? codes[static_cast<size_t>(i)] : static_cast<int32_t>(i);
      const bool fresh = map_.try_emplace(key_at(i), code).second;
      reader.expect(fresh, "expected distinct keys but found ", shown_key(i), " twice");
    }
  }

  void run(const StepArgs& args) const override {
    const auto* from = args.inputs[0].column<T>(0);
    auto* to = args.output.column<int32_t>(0);
    for (int64_t row = 0; row < args.output.rows; ++row) {
      std::optional<int32_t> code;
      const auto kind = missing_kind(from[row]);
      if (kind) {
        code = fallbacks_.missing[*kind];
      } else {
        const auto found = map_.find(key_of(from[row]));
        code = found != map_.end() ? std::optional(found->second) : fallbacks_.unknown;
      }
      if (!code) [[unlikely]]
        blame_.refuse(expectation(), 0, kind ? shown(*kind) : shown(from[row]), args.first_row + row);
      to[row] = *code;
    }
  }

 private:
  static constexpr bool kText = std::is_same_v<T, StringRef>;
  using Key = std::conditional_t<kText, std::string_view, uint64_t>;
  using Stored = std::conditional_t<std::is_same_v<T, float>, double, T>;

  Key key_at(int64_t index) const {
    if constexpr (kText) return keys_.string_at(index);
    else return key_of(keys_.as<Stored>()[static_cast<size_t>(index)]);
  }

  std::string shown_key(int64_t index) const {
    if constexpr (kText) return quoted(keys_.string_at(index));
    else return shown(keys_.as<Stored>()[static_cast<size_t>(index)]);
  }

  std::string expectation() const { return "one of the " + text(keys_.size()) + " known categories"; }

  Blame blame_;
  Constant keys_;  // owns the text that the map's keys point into
  Fallbacks fallbacks_;
  boost::unordered_flat_map<Key, int32_t, boost::hash<Key>> map_;
};

std::unique_ptr<Step> lower_encode(const NodeReader& reader) {
  switch (reader.input(0).dtype) {
    case DType::str: return std::make_unique<EncodeStep<StringRef>>(reader);
    case DType::i64: return std::make_unique<EncodeStep<int64_t>>(reader);
    case DType::f32: return std::make_unique<EncodeStep<float>>(reader);
    default: return std::make_unique<EncodeStep<double>>(reader);
  }
}

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

}  // namespace

constinit const OpDef kEncodeOp{"encode", always_exact, validate_encode, lower_encode};
constinit const OpDef kOneHotOp{"one_hot",     always_exact, validate_one_hot,
                                lower_one_hot, false,        one_hot_column};
constinit const OpDef kTableOp{"table", always_exact, validate_table, lower_table, false, table_column};

}  // namespace mlcore

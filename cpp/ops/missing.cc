// fill, is_missing: what a missing value (or a value that stands for one) becomes.
#include <algorithm>

#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

bool is_missing(double value) { return value != value; }
bool is_missing(float value) { return value != value; }
bool is_missing(int64_t) { return false; }
bool is_missing(int32_t) { return false; }

StringRef ref_of(std::string_view value) {
  // an empty view may carry a null pointer, which would read as missing
  return {value.empty() ? "" : value.data(), static_cast<int64_t>(value.size())};
}

// What a node looks for: whatever is missing, one kind of missing string (a null counts as either), or a
// value.
enum class Wanted { missing, none, nan, value };

Wanted wanted_by(const NodeReader& reader) {
  const std::string& name = reader.input(0).dtype == DType::str
                                ? reader.choice("match", {"missing", "none", "nan", "value"})
                                : reader.choice("match", {"missing", "value"});
  if (name == "none") return Wanted::none;
  if (name == "nan") return Wanted::nan;
  return name == "value" ? Wanted::value : Wanted::missing;
}

template <class T>
class Match {
 public:
  explicit Match(const NodeReader& reader) : by_value_(wanted_by(reader) == Wanted::value) {
    if (by_value_) value_ = reader.constant("match_value", reader.input(0).dtype, 1).template as<T>()[0];
  }

  bool operator()(T found) const { return by_value_ ? found == value_ : is_missing(found); }

 private:
  bool by_value_;
  T value_{};
};

template <>
class Match<StringRef> {
 public:
  explicit Match(const NodeReader& reader) : wanted_(wanted_by(reader)) {
    if (wanted_ == Wanted::value) value_ = reader.constant("match_value", DType::str, 1);
  }

  bool operator()(const StringRef& found) const {
    if (wanted_ == Wanted::value) {
      const std::string_view value = value_.string_at(0);
      return found.data && static_cast<size_t>(found.size) == value.size() &&
             std::equal(value.begin(), value.end(), found.data);
    }
    if (found.data) return false;
    return wanted_ == Wanted::missing || found.size != (wanted_ == Wanted::none ? kNaN : kNone);
  }

 private:
  Wanted wanted_;
  Constant value_;
};

void validate_match(const NodeReader& reader) {
  if (wanted_by(reader) != Wanted::value) return;
  expect_no_nan(reader, "match_value", reader.constant("match_value", reader.input(0).dtype, 1));
}

// -- fill -----------------------------------------------------------------------------------------

ValueType validate_fill(const NodeReader& reader) {
  reader.expect_inputs(1);
  const ValueType type = reader.input(0);
  validate_match(reader);
  reader.constant("value", type.dtype, type.width);
  return type;
}

template <class T>
T value_at(const Constant& constant, int64_t index) {
  if constexpr (std::is_same_v<T, StringRef>) return ref_of(constant.string_at(index));
  else return constant.as<T>()[static_cast<size_t>(index)];
}

template <class T>
std::unique_ptr<Step> fill_step(const NodeReader& reader) {
  return make_step([match = Match<T>(reader),
                    values = reader.constant("value", reader.input(0).dtype)](const StepArgs& args) {
    for (int64_t column = 0; column < args.output.width; ++column) {
      const auto* from = args.inputs[0].column<T>(column);
      auto* to = args.output.column<T>(column);
      const T value = value_at<T>(values, column);
      for (int64_t row = 0; row < args.output.rows; ++row) to[row] = match(from[row]) ? value : from[row];
    }
  });
}

std::unique_ptr<Step> lower_fill(const NodeReader& reader) {
  return for_block(reader.input(0).dtype, [&](auto zero) { return fill_step<decltype(zero)>(reader); });
}

std::optional<ColumnStep> fill_column(const NodeReader& reader, int64_t column) {
  const DType dtype = reader.input(0).dtype;
  if (dtype == DType::str) return std::nullopt;
  const bool by_value = wanted_by(reader) == Wanted::value;
  ColumnStep step = same_op(reader, column, by_value ? Order::lookup : Order::rising);
  step.constants.emplace("value", part_of_column(reader.constant("value", dtype), column));
  if (by_value) step.constants.emplace("match_value", reader.constant("match_value", dtype));
  return step;
}

DeviceStepPtr fill_device(const NodeReader& reader) {
  const DType dtype = reader.input(0).dtype;
  if (dtype == DType::str) return nullptr;
  const bool by_value = wanted_by(reader) == Wanted::value;
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::elements);
  device::Element& element =
      step->add(by_value ? device::ElementFn::fill_value : device::ElementFn::fill_missing);
  if (by_value) set_b(element, reader.constant("match_value", dtype, 1));
  set_a(element, reader.constant("value", dtype));
  return step;
}

// -- is_missing -----------------------------------------------------------------------------------

ValueType validate_is_missing(const NodeReader& reader) {
  reader.expect_inputs(1);
  validate_match(reader);
  return {reader.dtype("dtype", {DType::f64, DType::f32, DType::i64}), reader.input(0).width};
}

template <class From, class To>
std::unique_ptr<Step> is_missing_step(const NodeReader& reader) {
  return make_step([match = Match<From>(reader)](const StepArgs& args) {
    const auto* from = args.inputs[0].column<From>(0);
    auto* to = args.output.column<To>(0);
    const int64_t count = args.output.rows * args.output.width;
    for (int64_t i = 0; i < count; ++i) to[i] = match(from[i]) ? To{1} : To{0};
  });
}

std::unique_ptr<Step> lower_is_missing(const NodeReader& reader) {
  const DType to = reader.dtype("dtype", {DType::f64, DType::f32, DType::i64});
  return for_block(reader.input(0).dtype, [&](auto from) -> std::unique_ptr<Step> {
    if (to == DType::i64) return is_missing_step<decltype(from), int64_t>(reader);
    return for_float(to, [&](auto out) { return is_missing_step<decltype(from), decltype(out)>(reader); });
  });
}

std::optional<ColumnStep> is_missing_column(const NodeReader& reader, int64_t column) {
  const DType dtype = reader.input(0).dtype;
  if (dtype == DType::str) return std::nullopt;
  const bool by_value = wanted_by(reader) == Wanted::value;
  ColumnStep step = same_op(reader, column, by_value ? Order::lookup : Order::rising);
  if (by_value) step.constants.emplace("match_value", reader.constant("match_value", dtype));
  return step;
}

DeviceStepPtr is_missing_device(const NodeReader& reader) {
  const DType dtype = reader.input(0).dtype;
  if (dtype == DType::str) return nullptr;
  if (wanted_by(reader) != Wanted::value) return one_function(reader, device::ElementFn::is_missing);
  return one_function(reader, device::ElementFn::is_value, reader.constant("match_value", dtype, 1));
}

}  // namespace

constinit const OpDef kFillOp{"fill", always_exact, validate_fill, lower_fill,
                              false,  fill_column,  fill_device};
constinit const OpDef kIsMissingOp{"is_missing", always_exact,      validate_is_missing, lower_is_missing,
                                   false,        is_missing_column, is_missing_device};

}  // namespace mlcore

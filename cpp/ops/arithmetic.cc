// arith, combine, clip, binarize: one number in, one number out, each correctly rounded.
#include <cmath>

#include "kernels/row_inl.h"
#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

ValueType one_float(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  return reader.input(0);
}

// -- arith ----------------------------------------------------------------------------------------

const std::string& arith_fn(const NodeReader& reader) {
  return reader.choice("fn", {"add", "sub", "mul", "div", "rsub", "rdiv"});
}

const Constant& arith_value(const NodeReader& reader) {
  if (reader.input(0).dtype == DType::f64) return reader.constant("value", DType::f64);
  return reader.constant_of("value", {DType::f64, DType::f32});
}

ValueType validate_arith(const NodeReader& reader) {
  const ValueType type = one_float(reader);
  arith_fn(reader);
  expect_per_column(reader, "value", arith_value(reader), type.width);
  return type;
}

// T: the block's type; C: the constant's, in which the result is computed before it is rounded to T.
template <class T, class C, class Fn>
std::unique_ptr<Step> arith_step(const Constant& constant, Fn fn) {
  return make_step([values = PerColumn<C>{constant}, fn](const StepArgs& args) {
    const int64_t rows = args.output.rows;
    for (int64_t column = 0; column < args.output.width; ++column) {
      const auto* from = args.inputs[0].column<T>(column);
      auto* to = args.output.column<T>(column);
      const C value = values[column];
      for (int64_t row = 0; row < rows; ++row) to[row] = static_cast<T>(fn(static_cast<C>(from[row]), value));
    }
  });
}

template <class T, class C>
std::unique_ptr<Step> arith_of(const std::string& fn, const Constant& value) {
  if (fn == "add") return arith_step<T, C>(value, [](C x, C v) { return x + v; });
  if (fn == "sub") return arith_step<T, C>(value, [](C x, C v) { return x - v; });
  if (fn == "mul") return arith_step<T, C>(value, [](C x, C v) { return x * v; });
  if (fn == "div") return arith_step<T, C>(value, [](C x, C v) { return x / v; });
  if (fn == "rsub") return arith_step<T, C>(value, [](C x, C v) { return v - x; });
  return arith_step<T, C>(value, [](C x, C v) { return v / x; });
}

std::unique_ptr<Step> lower_arith(const NodeReader& reader) {
  const std::string& fn = arith_fn(reader);
  const Constant& value = arith_value(reader);
  if (reader.input(0).dtype == DType::f64) return arith_of<double, double>(fn, value);
  return value.type() == DType::f64 ? arith_of<float, double>(fn, value) : arith_of<float, float>(fn, value);
}

double as_double(const Constant& one) {
  return one.type() == DType::f64 ? one.as<double>()[0] : static_cast<double>(one.as<float>()[0]);
}

// With a finite constant no number becomes NaN; a product with zero would be one for infinity.
Order arith_order(const std::string& fn, double value) {
  if (!std::isfinite(value)) return Order::lookup;
  if (fn == "add" || fn == "sub") return Order::rising;
  if (fn == "rsub") return Order::falling;
  if (fn == "rdiv" || value == 0) return Order::lookup;
  return value > 0 ? Order::rising : Order::falling;
}

std::optional<ColumnStep> arith_column(const NodeReader& reader, int64_t column) {
  const Constant value = part_of_column(arith_value(reader), column);
  ColumnStep step = same_op(reader, column, arith_order(arith_fn(reader), as_double(value)));
  step.constants.emplace("value", value);
  return step;
}

DeviceStepPtr arith_device(const NodeReader& reader) {
  using enum device::ElementFn;
  const auto fn = static_cast<device::ElementFn>(
      static_cast<int>(add) + named<int>(arith_fn(reader), {"add", "sub", "mul", "div", "rsub", "rdiv"}));
  return one_function(reader, fn, arith_value(reader));
}

// -- combine --------------------------------------------------------------------------------------

const std::string& combine_fn(const NodeReader& reader) {
  return reader.choice("fn", {"add", "sub", "mul", "div", "min", "max"});
}

ValueType validate_combine(const NodeReader& reader) {
  reader.expect_inputs(2);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  reader.expect_dtype(1, {reader.input(0).dtype});
  combine_fn(reader);
  const int64_t width = reader.input(0).width;
  const int64_t other = reader.input(1).width;
  reader.expect(other == width || other == 1, "expected input 1 of width ", width, " or 1 but found ", other);
  return reader.input(0);
}

template <class T, device::Combination kFunction>
std::unique_ptr<Step> combine_step() {
  return make_step([](const StepArgs& args) {
    const int64_t count = args.output.rows;
    for (int64_t column = 0; column < args.output.width; ++column) {
      const auto* left = args.inputs[0].column<T>(column);
      const auto* right = args.inputs[1].column<T>(args.inputs[1].width == 1 ? 0 : column);
      auto* to = args.output.column<T>(column);
      for (int64_t row = 0; row < count; ++row) to[row] = rows::combine(kFunction, left[row], right[row]);
    }
  });
}

template <class T>
std::unique_ptr<Step> combine_of(const std::string& fn) {
  using enum device::Combination;
  if (fn == "add") return combine_step<T, add>();
  if (fn == "sub") return combine_step<T, sub>();
  if (fn == "mul") return combine_step<T, mul>();
  if (fn == "div") return combine_step<T, div>();
  return fn == "min" ? combine_step<T, min>() : combine_step<T, max>();
}

std::unique_ptr<Step> lower_combine(const NodeReader& reader) {
  const std::string& fn = combine_fn(reader);
  return for_float(reader.input(0).dtype, [&](auto zero) { return combine_of<decltype(zero)>(fn); });
}

DeviceStepPtr combine_device(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::combine);
  step->spec().function = named<uint8_t>(combine_fn(reader), {"add", "sub", "mul", "div", "min", "max"});
  return step;
}

// -- clip -----------------------------------------------------------------------------------------

ValueType validate_clip(const NodeReader& reader) {
  const ValueType type = one_float(reader);
  for (std::string_view name : {"lo", "hi"}) {
    const Constant& bound = reader.constant(name, type.dtype);
    expect_per_column(reader, name, bound, type.width);
    expect_no_nan(reader, name, bound);
  }
  return type;
}

template <class T>
std::unique_ptr<Step> clip_step(const Constant& lo, const Constant& hi) {
  return make_step([lows = PerColumn<T>{lo}, highs = PerColumn<T>{hi}](const StepArgs& args) {
    const int64_t rows = args.output.rows;
    for (int64_t column = 0; column < args.output.width; ++column) {
      const auto* from = args.inputs[0].column<T>(column);
      auto* to = args.output.column<T>(column);
      const T low = lows[column];
      const T high = highs[column];
      // np.clip: min(max(x, lo), hi), NaN stays, and x itself where it equals a bound (which matters for
      // -0.0)
      for (int64_t row = 0; row < rows; ++row) {
        const T raised = from[row] < low ? low : from[row];
        to[row] = raised > high ? high : raised;
      }
    }
  });
}

std::unique_ptr<Step> lower_clip(const NodeReader& reader) {
  const DType dtype = reader.input(0).dtype;
  const Constant& lo = reader.constant("lo", dtype);
  const Constant& hi = reader.constant("hi", dtype);
  return for_float(dtype, [&](auto zero) { return clip_step<decltype(zero)>(lo, hi); });
}

std::optional<ColumnStep> clip_column(const NodeReader& reader, int64_t column) {
  ColumnStep step = same_op(reader, column, Order::rising);
  for (const char* name : {"lo", "hi"})
    step.constants.emplace(name, part_of_column(reader.constant(name, reader.input(0).dtype), column));
  return step;
}

DeviceStepPtr clip_device(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::elements);
  device::Element& element = step->add(device::ElementFn::clip);
  set_a(element, reader.constant("lo", reader.input(0).dtype));
  set_b(element, reader.constant("hi", reader.input(0).dtype));
  return step;
}

// -- binarize -------------------------------------------------------------------------------------

ValueType validate_binarize(const NodeReader& reader) {
  const ValueType type = one_float(reader);
  expect_no_nan(reader, "threshold", reader.constant("threshold", DType::f64, 1));
  return type;
}

template <class T>
std::unique_ptr<Step> binarize_step(double threshold) {
  return make_step([threshold](const StepArgs& args) {
    const auto* from = args.inputs[0].column<T>(0);
    auto* to = args.output.column<T>(0);
    const int64_t count = args.output.rows * args.output.width;
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<double>(from[i]) > threshold ? T{1} : T{0};
  });
}

std::unique_ptr<Step> lower_binarize(const NodeReader& reader) {
  const double threshold = reader.constant("threshold", DType::f64, 1).as<double>()[0];
  return for_float(reader.input(0).dtype,
                   [&](auto zero) { return binarize_step<decltype(zero)>(threshold); });
}

std::optional<ColumnStep> binarize_column(const NodeReader& reader, int64_t column) {
  ColumnStep step = same_op(reader, column, Order::rising);
  step.constants.emplace("threshold", reader.constant("threshold", DType::f64, 1));
  return step;
}

DeviceStepPtr binarize_device(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::elements);
  step->add(device::ElementFn::binarize).number = reader.constant("threshold", DType::f64, 1).as<double>()[0];
  return step;
}

}  // namespace

constinit const OpDef kArithOp{"arith", always_exact, validate_arith, lower_arith,
                               false,   arith_column, arith_device};
constinit const OpDef kCombineOp{"combine", always_exact, validate_combine, lower_combine,
                                 false,     nullptr,      combine_device};
constinit const OpDef kClipOp{"clip", always_exact, validate_clip, lower_clip,
                              false,  clip_column,  clip_device};
constinit const OpDef kBinarizeOp{"binarize", always_exact,    validate_binarize, lower_binarize,
                                  false,      binarize_column, binarize_device};

}  // namespace mlcore

// column, cast, concat, select, check, guard, broadcast.
#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/block_loops.h"
#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

// -- column ---------------------------------------------------------------------------------------

bool is_float(Kind kind) { return kind == Kind::float16 || kind == Kind::float32 || kind == Kind::float64; }

ValueType validate_column(const NodeReader& reader) {
  reader.expect_inputs(0);
  const int64_t index = reader.integer("column");
  const auto& schema = reader.program().schema;
  reader.expect(index >= 0 && static_cast<size_t>(index) < schema.size(),
                "expected attribute 'column' below ", schema.size(), " but found ", index);
  const DType dtype = reader.dtype("dtype", {DType::f64, DType::f32, DType::i64, DType::str});
  const ColumnSpec& spec = schema[static_cast<size_t>(index)];
  reader.expect((dtype == DType::str) == (spec.type.kind == Kind::string), "expected column ",
                quoted(spec.name), " to be read as ", spec.type.kind == Kind::string ? "str" : "a number",
                " because its type is ", name_of(spec.type), " but found ", name_of(dtype));
  reader.expect(dtype != DType::i64 || !is_float(spec.type.kind), "expected column ", quoted(spec.name),
                " to be read as f64 or f32 because its type is ", name_of(spec.type), " but found i64");
  return {dtype, 1};
}

// The plan decodes the input table itself.
std::unique_ptr<Step> lower_column(const NodeReader&) { return nullptr; }

// -- cast -----------------------------------------------------------------------------------------

ValueType validate_cast(const NodeReader& reader) {
  reader.expect_inputs(1);
  const DType to = reader.dtype("dtype", {DType::f64, DType::f32, DType::i64});
  if (to == DType::i64) reader.expect_dtype(0, {DType::i32, DType::i64});
  reader.expect_dtype(0, {DType::f64, DType::f32, DType::i64, DType::i32});
  return {to, reader.input(0).width};
}

template <class From, class To>
std::unique_ptr<Step> cast_step() {
  return make_step([](const StepArgs& args) {
    const auto* from = args.inputs[0].column<From>(0);
    auto* to = args.output.column<To>(0);
    const int64_t count = args.output.rows * args.output.width;
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<To>(from[i]);
  });
}

template <class From>
std::unique_ptr<Step> cast_from(DType to) {
  if (to == DType::f64) return cast_step<From, double>();
  if (to == DType::f32) return cast_step<From, float>();
  if constexpr (std::is_integral_v<From>) return cast_step<From, int64_t>();
  return nullptr;
}

std::unique_ptr<Step> lower_cast(const NodeReader& reader) {
  const DType to = reader.dtype("dtype", {DType::f64, DType::f32, DType::i64});
  switch (reader.input(0).dtype) {
    case DType::f64: return cast_from<double>(to);
    case DType::f32: return cast_from<float>(to);
    case DType::i64: return cast_from<int64_t>(to);
    default: return cast_from<int32_t>(to);
  }
}

std::optional<ColumnStep> cast_column(const NodeReader& reader, int64_t column) {
  return same_op(reader, column, Order::rising);
}

DeviceStepPtr cast_device(const NodeReader& reader) { return one_function(reader, device::ElementFn::cast); }

// -- concat and select ----------------------------------------------------------------------------

ValueType validate_concat(const NodeReader& reader) {
  reader.expect(reader.input_count() > 0, "expected at least 1 input but found 0");
  const DType dtype = reader.input(0).dtype;
  int64_t width = 0;
  for (size_t i = 0; i < reader.input_count(); ++i) {
    reader.expect_dtype(i, {dtype});
    width += reader.input(i).width;
  }
  return {dtype, width};
}

template <class T>
std::unique_ptr<Step> concat_step() {
  return make_step([](const StepArgs& args) {
    auto* out = args.output.column<T>(0);
    for (const BlockView& input : args.inputs) {
      const auto* from = input.column<T>(0);
      out = std::copy(from, from + input.rows * input.width, out);
    }
  });
}

std::unique_ptr<Step> lower_concat(const NodeReader& reader) {
  return for_block(reader.input(0).dtype, [](auto zero) { return concat_step<decltype(zero)>(); });
}

std::optional<ColumnStep> concat_column(const NodeReader& reader, int64_t column) {
  size_t input = 0;
  for (; column >= reader.input(input).width; ++input) column -= reader.input(input).width;
  return ColumnStep{input, column, Order::same, {}, {}, {}};
}

ValueType validate_select(const NodeReader& reader) {
  reader.expect_inputs(1);
  const auto [dtype, width] = reader.input(0);
  for (int64_t index : reader.constant("indices", DType::i64).as<int64_t>())
    reader.expect(index >= 0 && index < width, "expected indices below ", width, " but found ", index);
  return {dtype, reader.constant("indices", DType::i64).size()};
}

template <class T>
std::unique_ptr<Step> select_step(const Constant& constant) {
  return make_step([constant](const StepArgs& args) {
    const auto indices = constant.as<int64_t>();
    const int64_t rows = args.output.rows;
    auto* out = args.output.column<T>(0);
    for (int64_t index : indices) out = std::copy_n(args.inputs[0].column<T>(index), rows, out);
  });
}

std::unique_ptr<Step> lower_select(const NodeReader& reader) {
  const Constant& indices = reader.constant("indices", DType::i64);
  return for_block(reader.input(0).dtype, [&](auto zero) { return select_step<decltype(zero)>(indices); });
}

std::optional<ColumnStep> select_column(const NodeReader& reader, int64_t column) {
  const auto indices = reader.constant("indices", DType::i64).as<int64_t>();
  return ColumnStep{0, indices[static_cast<size_t>(column)], Order::same, {}, {}, {}};
}

DeviceStepPtr select_device(const NodeReader& reader) {
  if (reader.input(0).dtype == DType::str) return nullptr;
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::select);
  step->add(reader.constant("indices", DType::i64));
  return step;
}

// -- check ----------------------------------------------------------------------------------------

ValueType validate_check(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32, DType::str});
  reader.choice("nan", {"allow", "forbid"});
  if (reader.input(0).dtype == DType::str) {
    reader.choice("inf", {"allow"});
    if (reader.has_attribute("null")) reader.choice("null", {"allow", "forbid"});
  } else {
    reader.choice("inf", {"allow", "forbid"});
  }
  return reader.input(0);
}

// One bit test per value, so that the loop vectorises: what is forbidden is a range of |x| seen as an
// integer.
template <class T>
class CheckStep final : public Step {
 public:
  explicit CheckStep(const NodeReader& reader)
      : blame_(reader),
        nan_(reader.choice("nan", {"allow", "forbid"}) == "forbid"),
        inf_(reader.choice("inf", {"allow", "forbid"}) == "forbid") {}

  void run(const StepArgs& args) const override {
    const BlockView& input = args.inputs[0];
    const auto* values = input.column<T>(0);
    const int64_t count = input.rows * input.width;
    Bits bad = 0;
    if (inf_ && nan_) {
      bad = !all_finite_(values, count);
    } else if (nan_) {
      for (int64_t i = 0; i < count; ++i) bad |= static_cast<Bits>(magnitude(values[i]) > kInf);
    } else if (inf_) {
      for (int64_t i = 0; i < count; ++i) bad |= static_cast<Bits>(magnitude(values[i]) == kInf);
    }
    if (bad) [[unlikely]]
      report(args);
  }

 private:
  using Bits = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
  static constexpr Bits kInf = std::bit_cast<Bits>(std::numeric_limits<T>::infinity());

  static Bits magnitude(T value) { return std::bit_cast<Bits>(value) & std::numeric_limits<Bits>::max(); }

  // The first row that holds a forbidden value, then its first column: the same answer for every chunk size.
  void report(const StepArgs& args) const {
    const BlockView& input = args.inputs[0];
    for (int64_t row = 0; row < input.rows; ++row) {
      for (int64_t column = 0; column < input.width; ++column) {
        const T value = input.column<T>(column)[row];
        const bool nan = nan_ && value != value;
        if (nan || (inf_ && std::isinf(value)))
          blame_.refuse(nan_ && inf_ ? "finite numbers"
                        : nan_       ? "no missing values"
                                     : "no infinity",
                        column, nan ? "a missing value (NaN)" : text(value), args.first_row + row);
      }
    }
  }

  Blame blame_;
  bool nan_;
  bool inf_;
  bool (*all_finite_)(const T*, int64_t) = block_loops(chosen_isa()).of<T>().all_finite;
};

// A NaN among strings, and a null, which may stand for one; a None passes.
class CheckTextStep final : public Step {
 public:
  explicit CheckTextStep(const NodeReader& reader)
      : blame_(reader),
        nan_(reader.choice("nan", {"allow", "forbid"}) == "forbid"),
        null_(nan_ &&
              !(reader.has_attribute("null") && reader.choice("null", {"allow", "forbid"}) == "allow")) {}

  void run(const StepArgs& args) const override {
    if (!nan_) return;
    const BlockView& input = args.inputs[0];
    for (int64_t row = 0; row < input.rows; ++row) {
      for (int64_t column = 0; column < input.width; ++column) {
        const StringRef& value = input.column<StringRef>(column)[row];
        if (value.data || value.size == kNone || (value.size != kNaN && !null_)) continue;
        blame_.refuse("no missing values", column,
                      value.size == kNaN ? "a missing value (NaN)" : "a missing value (null)",
                      args.first_row + row);
      }
    }
  }

 private:
  Blame blame_;
  bool nan_;
  bool null_;
};

std::unique_ptr<Step> lower_check(const NodeReader& reader) {
  if (reader.input(0).dtype == DType::str) return std::make_unique<CheckTextStep>(reader);
  return for_float(reader.input(0).dtype, [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<CheckStep<decltype(zero)>>(reader);
  });
}

DeviceStepPtr check_device(const NodeReader& reader) {
  if (reader.input(0).dtype == DType::str) return nullptr;
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::elements);
  int64_t& flags = step->add(device::ElementFn::forbid).count;
  if (reader.choice("nan", {"allow", "forbid"}) == "forbid") flags |= device::kForbidNaN;
  if (reader.choice("inf", {"allow", "forbid"}) == "forbid") flags |= device::kForbidInfinity;
  return step;
}

std::optional<ColumnStep> first_input(const NodeReader&, int64_t column) {
  return ColumnStep{0, column, Order::same, {}, {}, {}};
}

// -- guard ----------------------------------------------------------------------------------------

ValueType validate_guard(const NodeReader& reader) {
  reader.expect(reader.input_count() > 1, "expected at least 2 inputs but found ", reader.input_count());
  return reader.input(0);
}

// The plan runs every input of a value that it needs; there is nothing else to do.
std::unique_ptr<Step> lower_guard(const NodeReader&) { return nullptr; }

// -- broadcast ------------------------------------------------------------------------------------

ValueType validate_broadcast(const NodeReader& reader) {
  reader.expect_inputs(0);
  const Constant& value = reader.constant_of("value", {DType::f64, DType::f32, DType::i64});
  return {value.type(), value.size()};
}

template <class T>
std::unique_ptr<Step> broadcast_step(const Constant& constant) {
  return make_step([constant](const StepArgs& args) {
    auto* out = args.output.column<T>(0);
    for (T value : constant.as<T>()) out = std::fill_n(out, args.output.rows, value);
  });
}

std::unique_ptr<Step> lower_broadcast(const NodeReader& reader) {
  const Constant& value = reader.constant_of("value", {DType::f64, DType::f32, DType::i64});
  if (value.type() == DType::f64) return broadcast_step<double>(value);
  if (value.type() == DType::f32) return broadcast_step<float>(value);
  return broadcast_step<int64_t>(value);
}

DeviceStepPtr broadcast_device(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::broadcast);
  step->add(reader.constant_of("value", {DType::f64, DType::f32, DType::i64}));
  return step;
}

}  // namespace

constinit const OpDef kColumnOp{"column", always_exact, validate_column, lower_column};
constinit const OpDef kCastOp{"cast", always_exact, validate_cast, lower_cast,
                              false,  cast_column,  cast_device};
constinit const OpDef kConcatOp{"concat", always_exact, validate_concat, lower_concat, false, concat_column};
constinit const OpDef kSelectOp{"select", always_exact,  validate_select, lower_select,
                                false,    select_column, select_device};
constinit const OpDef kCheckOp{"check", always_exact, validate_check, lower_check,
                               true,    first_input,  check_device};
constinit const OpDef kGuardOp{"guard", always_exact, validate_guard, lower_guard, true, first_input};
constinit const OpDef kBroadcastOp{"broadcast", always_exact, validate_broadcast, lower_broadcast,
                                   false,       nullptr,      broadcast_device};

}  // namespace mlcore

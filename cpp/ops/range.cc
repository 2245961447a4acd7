// range: numbers outside an interval are refused.
#include "kernels/block_loops.h"
#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

ValueType validate(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  const ValueType type = reader.input(0);
  for (const char* name : {"low", "high"})
    expect_no_nan(reader, name, reader.constant(name, type.dtype, type.width));
  for (uint8_t allowed : reader.constant("missing", DType::u8, type.width).as<uint8_t>())
    reader.expect(allowed <= 1, "expected 0 or 1 in constant 'missing' but found ",
                  static_cast<int>(allowed));
  return type;
}

template <class T>
class RangeStep final : public Step {
 public:
  explicit RangeStep(const NodeReader& reader)
      : blame_(reader),
        low_(reader.constant("low", reader.input(0).dtype)),
        high_(reader.constant("high", reader.input(0).dtype)),
        missing_(reader.constant("missing", DType::u8)) {}

  void run(const StepArgs& args) const override {
    const BlockView& input = args.inputs[0];
    for (int64_t column = 0; column < input.width; ++column) {
      const auto at = static_cast<size_t>(column);
      const T low = low_.as<T>()[at], high = high_.as<T>()[at];
      const bool missing = missing_.as<uint8_t>()[at] != 0;
      if (!all_between_(input.column<T>(column), input.rows, low, high, missing)) [[unlikely]]
        report(args, column, low, high, missing);
    }
  }

 private:
  void report(const StepArgs& args, int64_t column, T low, T high, bool missing) const {
    const T* values = args.inputs[0].column<T>(column);
    for (int64_t row = 0; row < args.inputs[0].rows; ++row) {
      if ((values[row] >= low && values[row] <= high) || (missing && values[row] != values[row])) continue;
      blame_.refuse("a number from " + text(low) + " to " + text(high), column,
                    values[row] != values[row] ? "a missing value (NaN)" : text(values[row]),
                    args.first_row + row);
    }
  }

  Blame blame_;
  Constant low_, high_, missing_;
  bool (*all_between_)(const T*, int64_t, T, T, bool) = block_loops(chosen_isa()).of<T>().all_between;
};

std::unique_ptr<Step> lower(const NodeReader& reader) {
  return for_float(reader.input(0).dtype, [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<RangeStep<decltype(zero)>>(reader);
  });
}

std::optional<ColumnStep> column_step(const NodeReader&, int64_t column) {
  return ColumnStep{0, column, Order::same, {}, {}, {}};
}

DeviceStepPtr device_step(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::elements);
  device::Element& element = step->add(device::ElementFn::range);
  const DType dtype = reader.input(0).dtype;
  set_a(element, reader.constant("low", dtype));
  set_b(element, reader.constant("high", dtype));
  const Constant& missing = reader.constant("missing", DType::u8);
  element.c = missing.bytes().data();
  element.c_count = missing.size();
  return step;
}

}  // namespace

constinit const OpDef kRangeOp{"range", always_exact, validate, lower, true, column_step, device_step};

}  // namespace mlcore

// bin, interp: where a number lies among sorted edges.
#include <algorithm>

#include "kernels/edges_inl.h"
#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

void expect_ascending(const NodeReader& reader, std::string_view name, std::span<const double> values) {
  for (size_t i = 1; i < values.size(); ++i)
    reader.expect(values[i - 1] <= values[i], "expected ascending numbers in constant '", name,
                  "' but found ", values[i], " after ", values[i - 1]);
}

// -- bin ------------------------------------------------------------------------------------------

ValueType validate_bin(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  const int64_t width = reader.input(0).width;
  reader.choice("side", {"right", "left"});
  const auto offsets = reader.constant("offsets", DType::i64, width + 1).as<int64_t>();
  const Constant& constant = reader.constant("edges", DType::f64);
  const auto edges = constant.as<double>();
  expect_no_nan(reader, "edges", constant);
  reader.expect(offsets.front() == 0 && static_cast<size_t>(offsets.back()) == edges.size(),
                "expected offsets from 0 to ", edges.size(), " but found ", offsets.front(), " to ",
                offsets.back());
  for (size_t i = 1; i < offsets.size(); ++i)
    reader.expect(offsets[i] >= offsets[i - 1], "expected ascending offsets but found ", offsets[i],
                  " after ", offsets[i - 1]);
  // every offset now lies between 0 and edges.size()
  for (size_t i = 1; i < offsets.size(); ++i) {
    reader.expect(offsets[i] - offsets[i - 1] <= std::numeric_limits<int32_t>::max(),
                  "expected fewer than 2^31 edges in a column but found ", offsets[i] - offsets[i - 1]);
    expect_ascending(
        reader, "edges",
        edges.subspan(static_cast<size_t>(offsets[i - 1]), static_cast<size_t>(offsets[i] - offsets[i - 1])));
  }
  return {reader.dtype("dtype", {DType::f64, DType::f32, DType::i32}), width};
}

std::optional<ColumnStep> bin_column(const NodeReader& reader, int64_t column) {
  const auto offsets = reader.constant("offsets", DType::i64).as<int64_t>();
  const int64_t first = offsets[static_cast<size_t>(column)];
  const int64_t ends[] = {0, offsets[static_cast<size_t>(column) + 1] - first};
  ColumnStep step = same_op(reader, column, Order::rising);
  step.constants.emplace("offsets", Constant(DType::i64, {2}, std::as_bytes(std::span(ends))));
  step.constants.emplace("edges", part(reader.constant("edges", DType::f64), first, ends[1]));
  return step;
}

template <class From, class To, bool kRight>
class BinStep final : public Step {
 public:
  explicit BinStep(const NodeReader& reader)
      : offsets_(reader.constant("offsets", DType::i64)), edges_(reader.constant("edges", DType::f64)) {}

  void run(const StepArgs& args) const override {
    const auto offsets = offsets_.as<int64_t>();
    for (int64_t column = 0; column < args.output.width; ++column) {
      const auto at = static_cast<size_t>(column);
      const double* edges = edges_.as<double>().data() + offsets[at];
      search(edges, offsets[at + 1] - offsets[at], args.inputs[0].column<From>(column),
             args.output.column<To>(column), args.output.rows);
    }
  }

 private:
  // Measured: up to this many edges, counting them all is faster than a search, as that loop vectorises.
  static constexpr int64_t kCounted = 14;
  // Rows searched in step, so that their loads overlap; the comparison is arithmetic, as a branch is a coin
  // toss.
  static constexpr int64_t kTogether = 16;

  static void search(const double* edges, int64_t count, const From* from, To* to, int64_t rows) {
    if (count <= kCounted) return count_all(edges, count, from, to, rows);
    for (int64_t first = 0; first < rows; first += kTogether) {
      const int64_t some = std::min(kTogether, rows - first);
      double values[kTogether] = {};
      int64_t below[kTogether] = {};
      for (int64_t k = 0; k < some; ++k) values[k] = static_cast<double>(from[first + k]);
      int64_t left = count;
      while (left > 1) {
        const int64_t half = left / 2;
        for (int64_t k = 0; k < kTogether; ++k)
          below[k] +=
              half * static_cast<int64_t>(edges::is_before<kRight>(edges[below[k] + half - 1], values[k]));
        left -= half;
      }
      for (int64_t k = 0; k < some; ++k)
        to[first + k] = static_cast<To>(
            below[k] + static_cast<int64_t>(edges::is_before<kRight>(edges[below[k]], values[k])));
    }
  }

  static void count_all(const double* edges, int64_t count, const From* from, To* to, int64_t rows) {
    for (int64_t row = 0; row < rows; ++row) to[row] = To{0};
    for (int64_t k = 0; k < count; ++k) {
      const double edge = edges[k];
      for (int64_t row = 0; row < rows; ++row)
        to[row] += edges::is_before<kRight>(edge, from[row]) ? To{1} : To{0};
    }
  }

  Constant offsets_;
  Constant edges_;
};

template <class From, class To>
std::unique_ptr<Step> bin_step(const NodeReader& reader) {
  if (reader.choice("side", {"right", "left"}) == "right")
    return std::make_unique<BinStep<From, To, true>>(reader);
  return std::make_unique<BinStep<From, To, false>>(reader);
}

std::unique_ptr<Step> lower_bin(const NodeReader& reader) {
  const DType to = reader.dtype("dtype", {DType::f64, DType::f32, DType::i32});
  return for_float(reader.input(0).dtype, [&](auto from) {
    using From = decltype(from);
    if (to == DType::i32) return bin_step<From, int32_t>(reader);
    return for_float(to, [&](auto out) { return bin_step<From, decltype(out)>(reader); });
  });
}

DeviceStepPtr bin_device(const NodeReader& reader) {
  const bool right = reader.choice("side", {"right", "left"}) == "right";
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::elements);
  device::Element& element = step->add(right ? device::ElementFn::bin_right : device::ElementFn::bin_left);
  set_a(element, reader.constant("edges", DType::f64));
  set_b(element, reader.constant("offsets", DType::i64));
  return step;
}

// -- interp ---------------------------------------------------------------------------------------

ValueType validate_interp(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  const ValueType type = reader.input(0);
  const Constant& x = type.dtype == DType::f64 ? reader.constant("x", DType::f64)
                                               : reader.constant_of("x", {DType::f64, DType::f32});
  reader.expect(x.size() > 0, "expected at least 1 point but found 0");
  const Constant& y = reader.constant("y", x.type(), x.size());
  expect_no_nan(reader, "x", x);
  expect_no_nan(reader, "y", y);
  if (x.type() == DType::f64) {
    expect_ascending(reader, "x", x.as<double>());
  } else {
    const auto values = x.as<float>();
    const std::vector<double> wide(values.begin(), values.end());
    expect_ascending(reader, "x", wide);
  }
  return type;
}

template <class T, class C, class Interp>
std::unique_ptr<Step> interp_step(const NodeReader& reader, DType points, Interp interp) {
  return make_step([x = reader.constant("x", points), y = reader.constant("y", points),
                    interp](const StepArgs& args) {
    const auto* from = args.inputs[0].column<T>(0);
    auto* to = args.output.column<T>(0);
    const int64_t count = args.output.rows * args.output.width;
    for (int64_t i = 0; i < count; ++i)
      to[i] = static_cast<T>(interp(x.as<C>().data(), y.as<C>().data(), x.size(), static_cast<C>(from[i])));
  });
}

std::unique_ptr<Step> lower_interp(const NodeReader& reader) {
  if (reader.input(0).dtype == DType::f64)
    return interp_step<double, double>(reader, DType::f64, edges::numpy_interp);
  if (reader.constant_of("x", {DType::f64, DType::f32}).type() == DType::f64)
    return interp_step<float, double>(reader, DType::f64, edges::numpy_interp);
  return interp_step<float, float>(reader, DType::f32, edges::scipy_interp);
}

DeviceStepPtr interp_device(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::elements);
  device::Element& element = step->add(device::ElementFn::interp);
  const Constant& x = reader.constant_of("x", {DType::f64, DType::f32});
  set_a(element, x);
  set_b(element, reader.constant("y", x.type()));
  element.count = x.size();
  return step;
}

}  // namespace

constinit const OpDef kBinOp{"bin", always_exact, validate_bin, lower_bin, false, bin_column, bin_device};
constinit const OpDef kInterpOp{"interp", always_exact, validate_interp, lower_interp,
                                false,    nullptr,      interp_device};

}  // namespace mlcore

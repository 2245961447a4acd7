// bin, interp: where a number lies among sorted edges.
#include <algorithm>
#include <cmath>

#include "ops/all_ops.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

void expect_ascending(const NodeReader& reader, std::string_view name, std::span<const double> values) {
  for (size_t i = 1; i < values.size(); ++i)
    reader.expect(values[i - 1] <= values[i], "expected ascending numbers in constant '", name,
                  "' but found ", values[i], " after ", values[i - 1]);
}

// Number of the `count` edges for which `before(edge)` holds; `before` holds for a prefix of them.
template <class E, class Before>
int64_t partition_point(const E* edges, int64_t count, const Before& before) {
  const E* base = edges;
  while (count > 1) {
    const int64_t half = count / 2;
    base += half * static_cast<int64_t>(before(base[half - 1]));  // not a branch: it would be a coin toss
    count -= half;
  }
  return base - edges + (count == 1 && before(*base) ? 1 : 0);
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

// A NaN compares false with every edge: both sides are written so that it then lies behind all of them.
template <bool kRight>
bool is_before(double edge, double value) {
  return kRight ? !(value < edge) : !(value <= edge);
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
          below[k] += half * static_cast<int64_t>(is_before<kRight>(edges[below[k] + half - 1], values[k]));
        left -= half;
      }
      for (int64_t k = 0; k < some; ++k)
        to[first + k] =
            static_cast<To>(below[k] + static_cast<int64_t>(is_before<kRight>(edges[below[k]], values[k])));
    }
  }

  static void count_all(const double* edges, int64_t count, const From* from, To* to, int64_t rows) {
    for (int64_t row = 0; row < rows; ++row) to[row] = To{0};
    for (int64_t k = 0; k < count; ++k) {
      const double edge = edges[k];
      for (int64_t row = 0; row < rows; ++row) to[row] += is_before<kRight>(edge, from[row]) ? To{1} : To{0};
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

// np.interp (numpy/_core/src/multiarray/compiled_base.c: arr_interp), in double, rounded to the block's type.
double numpy_interp(std::span<const double> x, std::span<const double> y, double value) {
  const auto last = static_cast<int64_t>(x.size()) - 1;
  if (last == 0) return y.front();  // for NaN too
  if (value != value) return value;
  if (value < x.front()) return y.front();
  const int64_t found = partition_point(x.data(), static_cast<int64_t>(x.size()),
                                        [&](double point) { return point <= value; }) -
                        1;
  if (found >= last) return y.back();
  const auto at = static_cast<size_t>(found);
  if (x[at] == value) return y[at];
  const double slope = (y[at + 1] - y[at]) / (x[at + 1] - x[at]);
  double out = slope * (value - x[at]) + y[at];
  if (out != out) {
    out = slope * (value - x[at + 1]) + y[at + 1];
    if (out != out && y[at] == y[at + 1]) out = y[at];
  }
  return out;
}

// What scipy.interpolate.interp1d does with float32 points (_call_linear), after the clip to the first and
// last point that IsotonicRegression applies: all in float32, and a point belongs to the interval on its
// left.
float scipy_interp(std::span<const float> x, std::span<const float> y, float value) {
  const auto count = static_cast<int64_t>(x.size());
  if (count == 1) return y.front();
  const float raised = value < x.front() ? x.front() : value;
  const float clipped = raised > x.back() ? x.back() : raised;
  int64_t above = partition_point(x.data(), count, [&](float point) { return !(point >= clipped); });
  above = above < 1 ? 1 : above > count - 1 ? count - 1 : above;
  const auto hi = static_cast<size_t>(above);
  const float slope = (y[hi] - y[hi - 1]) / (x[hi] - x[hi - 1]);
  return slope * (clipped - x[hi - 1]) + y[hi - 1];
}

template <class T, class C, class Interp>
std::unique_ptr<Step> interp_step(const NodeReader& reader, DType points, Interp interp) {
  return make_step(
      [x = reader.constant("x", points), y = reader.constant("y", points), interp](const StepArgs& args) {
        const auto* from = args.inputs[0].column<T>(0);
        auto* to = args.output.column<T>(0);
        const int64_t count = args.output.rows * args.output.width;
        for (int64_t i = 0; i < count; ++i)
          to[i] = static_cast<T>(interp(x.as<C>(), y.as<C>(), static_cast<C>(from[i])));
      });
}

std::unique_ptr<Step> lower_interp(const NodeReader& reader) {
  if (reader.input(0).dtype == DType::f64)
    return interp_step<double, double>(reader, DType::f64, numpy_interp);
  if (reader.constant_of("x", {DType::f64, DType::f32}).type() == DType::f64)
    return interp_step<float, double>(reader, DType::f64, numpy_interp);
  return interp_step<float, float>(reader, DType::f32, scipy_interp);
}

}  // namespace

constinit const OpDef kBinOp{"bin", always_exact, validate_bin, lower_bin, false, bin_column};
constinit const OpDef kInterpOp{"interp", always_exact, validate_interp, lower_interp};

}  // namespace mlcore

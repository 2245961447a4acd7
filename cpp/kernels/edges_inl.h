// Where a number lies among sorted edges: bins, and interpolation between points. Constexpr, so that a
// compiler for GPUs may take them too.
#pragma once

#include <cstdint>

namespace mlcore::edges {

// Number of the `count` edges for which `before(edge)` holds; `before` holds for a prefix of them.
template <class E, class Before>
constexpr int64_t partition_point(const E* edges, int64_t count, const Before& before) {
  const E* base = edges;
  while (count > 1) {
    const int64_t half = count / 2;
    base += half * static_cast<int64_t>(before(base[half - 1]));  // not a branch: it would be a coin toss
    count -= half;
  }
  return base - edges + (count == 1 && before(*base) ? 1 : 0);
}

// A NaN compares false with every edge: both sides are written so that it then lies behind all of them.
template <bool kRight>
constexpr bool is_before(double edge, double value) {
  return kRight ? !(value < edge) : !(value <= edge);
}

// np.interp (numpy/_core/src/multiarray/compiled_base.c: arr_interp), in double, rounded to the block's type.
constexpr double numpy_interp(const double* x, const double* y, int64_t count, double value) {
  const int64_t last = count - 1;
  if (last == 0) return y[0];  // for NaN too
  if (value != value) return value;
  if (value < x[0]) return y[0];
  const int64_t at = partition_point(x, count, [&](double point) { return point <= value; }) - 1;
  if (at >= last) return y[last];
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
constexpr float scipy_interp(const float* x, const float* y, int64_t count, float value) {
  if (count == 1) return y[0];
  const float raised = value < x[0] ? x[0] : value;
  const float clipped = raised > x[count - 1] ? x[count - 1] : raised;
  int64_t hi = partition_point(x, count, [&](float point) { return !(point >= clipped); });
  hi = hi < 1 ? 1 : hi > count - 1 ? count - 1 : hi;
  const float slope = (y[hi] - y[hi - 1]) / (x[hi] - x[hi - 1]);
  return slope * (clipped - x[hi - 1]) + y[hi - 1];
}

}  // namespace mlcore::edges

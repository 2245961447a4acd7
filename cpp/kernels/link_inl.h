// The formulas of kernels/link.h, of one number or of one row. A row is anything with `row[i]`. Constexpr, so
// that a compiler for GPUs may take them too.
#pragma once

#include <cstdint>

#include "kernels/math.h"
#include "kernels/numpy_exp.h"

namespace mlcore::links {

constexpr float exp_f32(float x) { return static_cast<float>(math::exp(static_cast<double>(x))); }

constexpr float xgb_sigmoid(float x) {
  const float limited = 88.7f < -x ? 88.7f : -x;
  return 1.0f / (exp_f32(limited) + 1.0f + 1e-16f);
}
constexpr float xgb_hinge(float x) { return x > 0.0f ? 1.0f : 0.0f; }
constexpr double lgb_sigmoid(double x, double scale) { return 1.0 / (1.0 + math::exp(-scale * x)); }
constexpr double lgb_sqrt(double x) { return ((x > 0.0 ? 1.0 : 0.0) - (x < 0.0 ? 1.0 : 0.0)) * x * x; }
constexpr double lgb_xentlambda(double x) { return math::log1p(math::exp(x)); }

constexpr double np_exp(double x) { return math::exp(x); }
constexpr float np_exp(float x) { return numpy_exp(x); }

template <class Row>
constexpr void xgb_softmax(const Row& x, int64_t n) {
  float top = x[0];
  for (int64_t i = 1; i < n; ++i) top = x[i] > top || top != top ? x[i] : top;  // fmaxf
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    x[i] = exp_f32(x[i] - top);
    sum += static_cast<double>(x[i]);
  }
  const float total = static_cast<float>(sum);
  for (int64_t i = 0; i < n; ++i) x[i] /= total;
}

template <class Row>
constexpr void lgb_softmax(const Row& x, int64_t n) {
  double top = x[0];
  for (int64_t i = 1; i < n; ++i) top = x[i] < top ? top : x[i];  // std::max(x[i], top)
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    x[i] = math::exp(x[i] - top);
    sum += x[i];
  }
  for (int64_t i = 0; i < n; ++i) x[i] /= sum;
}

// NumPy's sum of columns [first, first + n) of a row (pairwise_sum in its loops): eight partial sums up to
// 128 elements, halves above, which are at most 57 levels. Below eight it starts at `start`.
template <class T, class Row>
constexpr T block_sum(const Row& x, int64_t first, int64_t n, T start) {
  if (n < 8) {
    T sum = start;
    for (int64_t i = 0; i < n; ++i) sum += x[first + i];
    return sum;
  }
  T part[8] = {};
  for (int64_t k = 0; k < 8; ++k) part[k] = x[first + k];
  int64_t i = 8;
  for (; i < n - n % 8; i += 8)
    for (int64_t k = 0; k < 8; ++k) part[k] += x[first + i + k];
  T sum = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
  for (; i < n; ++i) sum += x[first + i];
  return sum;
}

template <class T, class Row>
constexpr T pairwise_sum(const Row& x, int64_t first, int64_t n) {
  if (n <= 128) return block_sum<T>(x, first, n, T{-0.0});
  int64_t half = n / 2;
  half -= half % 8;
  return pairwise_sum<T>(x, first, half) + pairwise_sum<T>(x, first + half, n - half);
}

template <class T, class Row>
constexpr void sk_softmax(const Row& x, int64_t n) {
  T top = x[0];
  for (int64_t i = 1; i < n; ++i)
    top = x[i] > top || x[i] != x[i] ? x[i] : top;  // a NaN is the maximum and stays
  for (int64_t i = 0; i < n; ++i) x[i] = np_exp(x[i] - top);
  const T sum = pairwise_sum<T>(x, 0, n);
  for (int64_t i = 0; i < n; ++i) x[i] /= sum;
}

}  // namespace mlcore::links

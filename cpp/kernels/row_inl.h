// What a step makes of one row, a row being anything with `row[i]`. Constexpr, so that a compiler for GPUs
// may take it too; the loops of the CPU's steps go over many rows at a time and give the same bits
// (tests/cpp/test_device.cc).
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "kernels/block_loops.h"
#include "kernels/device_functions.h"
#include "kernels/link_inl.h"
#include "kernels/rounding.h"

namespace mlcore::rows {

// A row of a column-major block.
template <class T>
struct Strided {
  T* data;
  int64_t stride;

  constexpr T& operator[](int64_t column) const { return data[column * stride]; }
};

// Doubles are keyed by their bits, after -0.0 has become 0.0; NaN has no key.
constexpr uint64_t category_key(double value) { return std::bit_cast<uint64_t>(value + 0.0); }
constexpr uint64_t category_key(float value) { return category_key(static_cast<double>(value)); }
constexpr uint64_t category_key(int64_t value) { return static_cast<uint64_t>(value); }

// np.minimum and np.maximum: a NaN on either side wins, and of 0.0 and -0.0 the right one is taken.
template <class T>
constexpr T combine(device::Combination function, T a, T b) {
  switch (function) {
    case device::Combination::add: return a + b;
    case device::Combination::sub: return a - b;
    case device::Combination::mul: return a * b;
    case device::Combination::div: return a / b;
    case device::Combination::min: return a < b || a != a ? a : b;
    default: return a > b || a != a ? a : b;
  }
}

// np.argmax: the first maximum, and the first NaN before any number.
template <class T, class Row>
constexpr int64_t argmax(const Row& x, int64_t n) {
  T best = x[0];
  int64_t at = 0;
  for (int64_t i = 1; i < n; ++i) {
    const bool better = !(x[i] <= best) && best == best;
    at = better ? i : at;
    best = better ? x[i] : best;
  }
  return at;
}

// sklearn.preprocessing.normalize: a norm below 10 epsilon counts as 1 (_handle_zeros_in_scale). Sums are
// kept in double also for float32: nearer to the true norm than any order of the library's own sum.
template <class T, class Row>
constexpr T norm(device::Norm kind, const Row& x, int64_t n) {
  constexpr T kSmall = 10 * std::numeric_limits<T>::epsilon();
  if (kind == device::Norm::max) {
    T most{0};
    for (int64_t i = 0; i < n; ++i) {
      const T size = math::magnitude(x[i]);
      most = most > size || most != most ? most : size;
    }
    return most < kSmall ? T{1} : most;
  }
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double value = static_cast<double>(x[i]);
    sum += kind == device::Norm::l2 ? value * value : math::magnitude(value);
  }
  // the library's sum of squares is a T: where it overflows, its norm is infinite and every quotient zero
  if (kind == device::Norm::l2) sum = math::square_root(static_cast<double>(static_cast<T>(sum)));
  return static_cast<T>(sum) < kSmall ? T{1} : static_cast<T>(sum);
}

template <class T, class Row>
constexpr T sum_sequential(const Row& x, int64_t n) {
  T sum{0};
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}

template <class T, class Row>
constexpr T sum_pairwise(const Row& x, int64_t n) {
  return n < 8 ? sum_sequential<T>(x, n) : T{0} + links::pairwise_sum<T>(x, 0, n);
}

// Of a group of a blocked dot product, see kernels/block_loops.h.
template <class T>
constexpr double product(bool skip, T x, double weight) {
  const double p = static_cast<double>(x) * weight;
  return skip && x != x ? 0.0 : p;
}
constexpr double sum_of_group(const double* p) {
  return ((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7]));
}

}  // namespace mlcore::rows

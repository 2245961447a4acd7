// The loops of block_loops.h for vectors of kBytes bytes; compiled once for each instruction set. In an
// anonymous namespace, and free of the standard library: nothing compiled for one processor may be linked
// into what runs on another.
#pragma once

#include "kernels/block_loops.h"

namespace mlcore {
namespace {

template <class T>
struct BitsOf {
  using Type = int64_t;
};
template <>
struct BitsOf<float> {
  using Type = int32_t;
};

template <class T>
bool all_finite(const T* values, int64_t count) {
  using Bits = typename BitsOf<T>::Type;
  constexpr auto kMagnitude = static_cast<Bits>(~(uint64_t{1} << (sizeof(T) * 8 - 1)));
  Bits bad = 0;
  // zero times what is not finite is NaN
#pragma GCC unroll 8
  for (int64_t i = 0; i < count; ++i) bad |= __builtin_bit_cast(Bits, values[i] * T{0}) & kMagnitude;
  return bad == 0;
}

template <class T>
bool all_between(const T* values, int64_t count, T low, T high, bool missing) {
  using Bits = typename BitsOf<T>::Type;
  const Bits nan_is_bad = missing ? 0 : 1;
  Bits bad = 0;
#pragma GCC unroll 8
  for (int64_t i = 0; i < count; ++i) {
    const T x = values[i];
    bad |=
        static_cast<Bits>(x < low) | static_cast<Bits>(x > high) | (static_cast<Bits>(x != x) & nan_is_bad);
  }
  return bad == 0;
}

template <bool kSkip, class T>
[[gnu::always_inline]] inline double product(T x, double w) {
  const double p = static_cast<double>(x) * w;
  return kSkip && x != x ? 0.0 : p;
}

template <bool kSkip, class T>
void add_group(const T* x, int64_t stride, int64_t rows, const T* weights, int64_t count,
               double* __restrict sums) {
  static constexpr T kZeros[kDotRows] = {};
  double w[kDotGroup];
  const T* column[kDotGroup];
  for (int64_t k = 0; k < kDotGroup; ++k) {
    w[k] = k < count ? static_cast<double>(weights[k]) : 0.0;
    column[k] = k < count ? x + k * stride : kZeros;
  }
  for (int64_t r = 0; r < rows; ++r) {
    const double a = product<kSkip>(column[0][r], w[0]) + product<kSkip>(column[1][r], w[1]);
    const double b = product<kSkip>(column[2][r], w[2]) + product<kSkip>(column[3][r], w[3]);
    const double c = product<kSkip>(column[4][r], w[4]) + product<kSkip>(column[5][r], w[5]);
    const double d = product<kSkip>(column[6][r], w[6]) + product<kSkip>(column[7][r], w[7]);
    sums[r] += (a + b) + (c + d);
  }
}

template <class T, int kCount>
struct VectorOf {
  typedef T Type [[gnu::vector_size(kCount * sizeof(T))]];
};
template <class T, int kCount>
using Vector = typename VectorOf<T, kCount>::Type;

// One step of a transposition: rows i and i + kStep exchange the halves of their blocks of 2 kStep numbers.
template <class T, int kCount, int kStep>
[[gnu::always_inline]] inline void exchange(Vector<T, kCount>* rows) {
  using Place = typename BitsOf<T>::Type;
  Vector<Place, kCount> low{}, high{};
  for (int j = 0; j < kCount; ++j) {
    low[j] = (j & kStep) == 0 ? j : kCount + j - kStep;
    high[j] = (j & kStep) == 0 ? j + kStep : kCount + j;
  }
  for (int i = 0; i < kCount; ++i) {
    if ((i & kStep) != 0) continue;
    const Vector<T, kCount> a = rows[i], b = rows[i + kStep];
#if defined(__clang__)
    for (int j = 0; j < kCount; ++j) {
      rows[i][j] = (j & kStep) == 0 ? a[j] : b[j - kStep];
      rows[i + kStep][j] = (j & kStep) == 0 ? a[j + kStep] : b[j];
    }
#else
    rows[i] = __builtin_shuffle(a, b, low);
    rows[i + kStep] = __builtin_shuffle(a, b, high);
#endif
  }
  if constexpr (kStep > 1) exchange<T, kCount, kStep / 2>(rows);
}

constexpr int64_t kTileRows = 128;  // whose squares of the same columns are read one after the other

// Squares of as many rows and columns as a vector has numbers; what is left over one by one.
template <class S, class T, int kBytes>
void read_rows(const char* from, int64_t stride, int64_t rows, int64_t width, T* out) {
  constexpr int kCount = kBytes / static_cast<int>(sizeof(T));
  const auto one = [&](int64_t row, int64_t column) {
    S x;
    __builtin_memcpy(&x, from + row * stride + column * static_cast<int64_t>(sizeof(S)), sizeof(S));
    out[column * rows + row] = static_cast<T>(x);
  };
  const int64_t whole_rows = rows / kCount * kCount, whole_columns = width / kCount * kCount;
  for (int64_t tile = 0; tile < whole_rows; tile += kTileRows) {
    const int64_t end = tile + kTileRows < whole_rows ? tile + kTileRows : whole_rows;
    for (int64_t column = 0; column < whole_columns; column += kCount) {
      for (int64_t row = tile; row < end; row += kCount) {
        Vector<T, kCount> square[kCount];
        for (int i = 0; i < kCount; ++i) {
          Vector<S, kCount> x;
          __builtin_memcpy(&x, from + (row + i) * stride + column * static_cast<int64_t>(sizeof(S)),
                           sizeof(x));
          square[i] = __builtin_convertvector(x, Vector<T, kCount>);
        }
        exchange<T, kCount, kCount / 2>(square);
        for (int i = 0; i < kCount; ++i)
          __builtin_memcpy(out + (column + i) * rows + row, &square[i], sizeof(square[i]));
      }
    }
    for (int64_t column = whole_columns; column < width; ++column)
      for (int64_t row = tile; row < end; ++row) one(row, column);
  }
  for (int64_t row = whole_rows; row < rows; ++row)
    for (int64_t column = 0; column < width; ++column) one(row, column);
}

template <class T, int kBytes>
constexpr NumberLoops<T> number_loops() {
  return {all_finite<T>,
          all_between<T>,
          {add_group<false, T>, add_group<true, T>},
          read_rows<float, T, kBytes>,
          read_rows<double, T, kBytes>};
}

template <int kBytes>
constexpr BlockLoops make_block_loops() {
  return {number_loops<float, kBytes>(), number_loops<double, kBytes>()};
}

}  // namespace
}  // namespace mlcore

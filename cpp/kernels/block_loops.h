// Loops over blocks of numbers that gain from newer instruction sets: reading a matrix, looking for numbers
// that are not finite, groups of a dot product. The same bits from every one of them.
#pragma once

#include <cstdint>

#include "kernels/isa.h"

namespace mlcore {

inline constexpr int64_t kDotGroup = 8;  // columns whose products are added as a tree
inline constexpr int64_t kDotRows = 64;  // at most so many rows at a time

template <class T>
struct NumberLoops {
  bool (*all_finite)(const T* values, int64_t count);
  // Every value lies between `low` and `high`, or is NaN where `missing` allows that.
  bool (*all_between)(const T* values, int64_t count, T low, T high, bool missing);
  // sums[r] += ((0 1)(2 3))((4 5)(6 7)), the products of `count` columns, `stride` apart, with `weights`;
  // zeros stand in for those that the group lacks. [1]: a product with NaN counts as zero.
  void (*add_group[2])(const T* x, int64_t stride, int64_t rows, const T* weights, int64_t count,
                       double* sums);
  // `rows` rows of `width` numbers, the rows `stride` bytes apart, as columns of `rows` numbers.
  void (*read_f32)(const char* from, int64_t stride, int64_t rows, int64_t width, T* out);
  void (*read_f64)(const char* from, int64_t stride, int64_t rows, int64_t width, T* out);
};

struct BlockLoops {
  NumberLoops<float> f32;
  NumberLoops<double> f64;

  template <class T>
  const NumberLoops<T>& of() const {
    if constexpr (sizeof(T) == 4) return f32;
    else return f64;
  }
};

// The loops of an instruction set that this processor has.
const BlockLoops& block_loops(Isa isa);

const BlockLoops& baseline_block_loops();
const BlockLoops& avx2_block_loops();
const BlockLoops& avx512_block_loops();

}  // namespace mlcore

// Every number of a forest's input becomes an unsigned key in the order of the numbers, so that one unsigned
// compare decides a split, with NaN in the right place and whatever the processor's denormal mode.
//
// Always inlined: sources compiled for several instruction sets share these functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/forest.h"

namespace mlcore::forest {

enum class View : uint8_t {
  nan_right,   // NaN is the largest key
  nan_left,    // NaN is the smallest key, which is no number's; all others are as in nan_right
  zero_right,  // like nan_right, and abs(x) <= 1e-35f is NaN
  zero_left,
  category,  // a category code: 0 NaN, 1 sent where negatives go, 2 too large for any bitset, c + 3 category
             // c
};
inline constexpr size_t kViews = 5;
inline constexpr uint32_t kCodeNaN = 0, kCodeNegative = 1, kCodeLarge = 2, kCodeFirst = 3;

// The float type of a key.
template <class K>
using FloatOf = std::conditional_t<sizeof(K) == 4, float, double>;

// A number's key; NaN is the largest of all. -0.0 is one below 0.0, which bounds of splits allow for.
template <class K>
[[gnu::always_inline]] constexpr K key_of(FloatOf<K> x) {
  constexpr K kSign = K{1} << (sizeof(K) * 8 - 1);
  const K bits = __builtin_bit_cast(K, x);
  const K flip = static_cast<K>((K{0} - (bits >> (sizeof(K) * 8 - 1))) | kSign);
  constexpr K kInfinity = __builtin_bit_cast(K, std::numeric_limits<FloatOf<K>>::infinity());
  const K nan = (bits & ~kSign) > kInfinity ? static_cast<K>(~K{0}) : K{0};
  return (bits ^ flip) | nan;
}

// abs(x) <= 1e-35f
template <class K>
[[gnu::always_inline]] constexpr bool counts_as_zero(FloatOf<K> x) {
  constexpr K kSign = K{1} << (sizeof(K) * 8 - 1);
  return (__builtin_bit_cast(K, x) & ~kSign) <=
         __builtin_bit_cast(K, static_cast<FloatOf<K>>(kZeroAsMissing));
}

template <class K>
[[gnu::always_inline]] constexpr K category_code(FloatOf<K> x, CategoryRule rule) {
  if (x != x) return kCodeNaN;
  if (rule == CategoryRule::lightgbm ? x <= -1 : x < 0) return kCodeNegative;
  if (x >= static_cast<FloatOf<K>>(kMaxCategory)) return kCodeLarge;
  return static_cast<K>(static_cast<uint32_t>(static_cast<int32_t>(x)) + kCodeFirst);
}

// The key of a number as a column of view `kView` holds it.
template <class K, View kView>
[[gnu::always_inline]] constexpr K key_in(FloatOf<K> x, CategoryRule rule) {
  if constexpr (kView == View::category) return category_code<K>(x, rule);
  constexpr bool kZeroIsNaN = kView == View::zero_right || kView == View::zero_left;
  const K key = kZeroIsNaN && counts_as_zero<K>(x) ? static_cast<K>(~K{0}) : key_of<K>(x);
  constexpr bool kLeft = kView == View::nan_left || kView == View::zero_left;
  return kLeft && key == static_cast<K>(~K{0}) ? K{0} : key;
}

// Whether a category goes right in a set of Layout::pool: the count of codes, then a bit for each.
template <class Code>
[[gnu::always_inline]] constexpr uint32_t goes_right(const uint32_t* set, Code code) {
  const auto bit = code < set[0] ? static_cast<uint32_t>(code) : kCodeLarge;
  return (set[1 + bit / 32] >> (bit % 32)) & 1;
}

}  // namespace mlcore::forest

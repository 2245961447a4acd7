// The evaluator's own layout of a forest, and how it is made from the semantic arrays.
//
// Every number becomes an unsigned key in the order of the numbers, so that one unsigned compare decides a
// split, with NaN in the right place and whatever the processor's denormal mode. A node reads a *column*: a
// feature seen in one of five ways. The children of a node are neighbours and a leaf is its own left child,
// so one step is
//   node = node.left + (key[node.column] > node.span)
// without a branch, and a row may take more steps than its path is long.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "kernels/forest.h"

namespace mlcore::forest {

enum class View : uint8_t {
  nan_right,   // NaN is the largest key
  nan_left,    // NaN is the smallest key: all others are one larger than in nan_right
  zero_right,  // like nan_right, and abs(x) <= 1e-35f is NaN
  zero_left,
  category,  // a category code: 0 NaN, 1 sent where negatives go, 2 too large for any bitset, c + 3 category
             // c
};
inline constexpr size_t kViews = 5;
inline constexpr uint32_t kCodeNaN = 0, kCodeNegative = 1, kCodeLarge = 2, kCodeFirst = 3;

struct Column {
  View view;
  int32_t feature;

  auto operator<=>(const Column&) const = default;
};

// `span`: the largest key that goes left; for a category split the place of its bits in the pool.
// The top bit of `column` marks a category split.
template <class K, class I>
struct Node {
  using Key = K;
  using Index = I;
  static constexpr I kCategory = static_cast<I>(I{1} << (sizeof(I) * 8 - 1));

  K span;
  I column;
  I left;
};
using Narrow32 = Node<uint32_t, uint16_t>;
using Wide32 = Node<uint32_t, uint32_t>;
using Wide64 = Node<uint64_t, uint32_t>;

struct Tree {
  uint32_t first;       // its root in Layout::nodes
  uint32_t depth;       // steps that bring every row to its leaf
  uint32_t free_steps;  // steps worth taking before asking whether all rows have arrived
  int32_t output;
  bool categories;
};

template <class N>
struct Layout {
  std::vector<N> nodes;
  std::vector<Tree> trees;
  std::vector<Column> columns;                  // by view, then feature
  std::array<size_t, kViews + 1> view_begin{};  // columns of view v: [view_begin[v], view_begin[v + 1])
  std::vector<uint32_t> pool;    // per category split: bit count, then bits by code; 1 sends right
  std::vector<uint32_t> source;  // per node: its number in the semantic arrays
};

// The columns that the splits read, sorted.
std::vector<Column> columns_of(const ForestSpec& spec);
// Whether 16-bit columns and children suffice.
bool fits_narrow(const ForestSpec& spec, const std::vector<Column>& columns);
// Defined for the three kinds of nodes above.
template <class N>
Layout<N> build_layout(const ForestSpec& spec, std::vector<Column> columns);

// The float type of a key.
template <class K>
using FloatOf = std::conditional_t<sizeof(K) == 4, float, double>;

// A number's key; NaN is the largest of all. -0.0 is one below 0.0, which bounds of splits allow for.
template <class K>
K key_of(FloatOf<K> x) {
  constexpr K kSign = K{1} << (sizeof(K) * 8 - 1);
  const K bits = std::bit_cast<K>(x);
  const K flip = static_cast<K>((K{0} - (bits >> (sizeof(K) * 8 - 1))) | kSign);
  constexpr K kInfinity = std::bit_cast<K>(std::numeric_limits<FloatOf<K>>::infinity());
  const K nan = (bits & ~kSign) > kInfinity ? static_cast<K>(~K{0}) : K{0};
  return (bits ^ flip) | nan;
}

// abs(x) <= 1e-35f
template <class K>
bool counts_as_zero(FloatOf<K> x) {
  constexpr K kSign = K{1} << (sizeof(K) * 8 - 1);
  return (std::bit_cast<K>(x) & ~kSign) <= std::bit_cast<K>(static_cast<FloatOf<K>>(kZeroAsMissing));
}

template <class K>
K category_code(FloatOf<K> x, CategoryRule rule) {
  if (x != x) return kCodeNaN;
  if (rule == CategoryRule::lightgbm ? x <= -1 : x < 0) return kCodeNegative;
  if (x >= static_cast<FloatOf<K>>(kMaxCategory)) return kCodeLarge;
  return static_cast<K>(static_cast<uint32_t>(static_cast<int32_t>(x)) + kCodeFirst);
}

}  // namespace mlcore::forest

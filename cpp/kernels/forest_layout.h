// The evaluator's own layout of a forest, and how it is made from the semantic arrays.
//
// A node reads a *column*, a feature seen in one of five ways, as an unsigned key (kernels/forest_keys.h), so
// that one unsigned compare decides a split. The children of a node are neighbours and a leaf is its own left
// child, so one step is
//   node = node.left + (key[node.column] > node.span)
// without a branch, and a row may take more steps than its path is long.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <vector>

#include "kernels/forest.h"
#include "kernels/forest_keys.h"

namespace mlcore::forest {

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

  bool is_category() const { return (column & kCategory) != 0; }
  size_t column_index() const { return column & static_cast<I>(~kCategory); }
};
using Narrow32 = Node<uint32_t, uint16_t>;
using Wide32 = Node<uint32_t, uint32_t>;
using Wide64 = Node<uint64_t, uint32_t>;

struct Tree {
  uint32_t first;       // its root in Layout::nodes
  uint32_t depth;       // steps that bring every row to its leaf
  uint32_t free_steps;  // steps worth taking before asking whether all rows have arrived
  float mean_depth;     // of its leaves
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

template <class N>
bool is_leaf(const N* tree, size_t node) {
  return tree[node].left == node;
}

// Nodes of a tree.
template <class N>
size_t size_of_tree(const Layout<N>& layout, size_t tree) {
  const size_t end = tree + 1 < layout.trees.size() ? layout.trees[tree + 1].first : layout.nodes.size();
  return end - layout.trees[tree].first;
}

// The columns that the splits read, sorted.
std::vector<Column> columns_of(const ForestSpec& spec);
// The columns of a forest of numbers alone, some of whose splits send NaN left and some right, so that both
// views of a feature are a power of two apart: in a row without NaN they are one key. Other columns as they
// are.
std::vector<Column> pair_views(std::vector<Column> columns);
// Whether 16-bit columns and children suffice.
bool fits_narrow(const ForestSpec& spec, const std::vector<Column>& columns);
// Defined for the three kinds of nodes above.
template <class N>
Layout<N> build_layout(const ForestSpec& spec, std::vector<Column> columns);

}  // namespace mlcore::forest

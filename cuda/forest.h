// Forests on a device, in four forms that give the same bits, because each row's leaves are added in the
// order of the trees by one thread (docs/design/0009-devices.md):
//
// - few rows (few_rows.h): a block of threads for each row, which walk its trees side by side.
// - walk (below): each row reads nodes and numbers from global memory. Every kind of forest.
// - rank walk (rank_walk.h): blocks of rows hold the ranks of their numbers among the cuts in shared memory,
//   and take the trees from there as complete trees of (column, rank) pairs.
// - sliced (sliced_rows.h): a thread holds 32 rows as the bits of a word, and evaluates whole trees in
//   registers.
#pragma once

#include <cstdint>

#include "bodies.h"
#include "kernels/forest_keys.h"
#include "kernels/forest_leaves.h"
#include "kernels/forest_walk.h"

namespace mlcore::device {

template <class Key>
MLCORE_BODY Key key_in(forest::View view, forest::FloatOf<Key> x, CategoryRule rule) {
  switch (view) {
    case forest::View::nan_right: return forest::key_in<Key, forest::View::nan_right>(x, rule);
    case forest::View::nan_left: return forest::key_in<Key, forest::View::nan_left>(x, rule);
    case forest::View::zero_right: return forest::key_in<Key, forest::View::zero_right>(x, rule);
    case forest::View::zero_left: return forest::key_in<Key, forest::View::zero_left>(x, rule);
    default: return forest::key_in<Key, forest::View::category>(x, rule);
  }
}

// What leaves hold and where a launch reads and writes: the arrays of forest::Leaves in the device's memory.
template <class Key, class Leaf>
struct LeafView {
  using Float = forest::FloatOf<Key>;

  const forest::Tree* trees;
  int64_t tree_count;
  CategoryRule rule;
  forest::LeafKind kind;
  int64_t outputs;
  const Leaf *base, *node_value, *leaf_values;
  const int32_t* node_row;
  const int64_t* linear_offsets;
  const int32_t* linear_feature;
  const double *linear_coef, *linear_constant;
  bool divides, drops_tiny;
  Leaf divisor;

  const Float* data;
  int64_t rows, stride;
  void* out;

  MLCORE_BODY Leaf* output(int64_t index) const { return static_cast<Leaf*>(out) + index * stride; }
  MLCORE_BODY int64_t* ids(int64_t tree) const { return static_cast<int64_t*>(out) + tree * stride; }

  MLCORE_BODY void start(int64_t row) const {
    if (kind == forest::LeafKind::ids) return;
    for (int64_t o = 0; o < outputs; ++o) output(o)[row] = base[o];
  }

  // Of kinds whose leaf is one number. `leaf`: a node, counted from the tree's first.
  MLCORE_BODY Leaf number(int64_t row, int64_t tree, uint32_t leaf) const {
    const size_t node = trees[tree].first + leaf;
    if (kind == forest::LeafKind::scalar) return node_value[node];
    return forest::linear_leaf<Key>(
        linear_offsets, linear_feature, linear_coef, linear_constant[node_row[node]], node_row[node],
        node_value[node], drops_tiny, [&](int32_t feature) { return data[feature * stride + row]; });
  }

  MLCORE_BODY void add(int64_t row, int64_t tree, uint32_t leaf) const {
    switch (kind) {
      case forest::LeafKind::scalar:
      case forest::LeafKind::linear: output(trees[tree].output)[row] += number(row, tree, leaf); break;
      case forest::LeafKind::vector: {
        const int64_t first = node_row[trees[tree].first + leaf] * outputs;
        for (int64_t o = 0; o < outputs; ++o) output(o)[row] += leaf_values[first + o];
        break;
      }
      case forest::LeafKind::ids: ids(tree)[row] = node_row[trees[tree].first + leaf]; break;
    }
  }

  MLCORE_BODY void finish(int64_t row) const {
    if (kind == forest::LeafKind::ids || !divides) return;
    for (int64_t o = 0; o < outputs; ++o) output(o)[row] /= divisor;
  }
};

// The arrays of forest::Layout there, too.
template <class N, class Leaf>
struct ForestView : LeafView<typename N::Key, Leaf> {
  using Key = typename N::Key;

  const N* nodes;
  const forest::Column* columns;
  bool splits;  // there are columns
  const uint32_t* pool;

  // The keys of a row, made when they are asked for.
  struct Keys {
    const ForestView& view;
    int64_t row;

    MLCORE_BODY Key operator[](size_t index) const {
      const forest::Column column = view.columns[index];
      return key_in<Key>(column.view, view.data[column.feature * view.stride + row], view.rule);
    }
  };

  // The node of the tree that a row ends in, counted from the tree's first.
  MLCORE_BODY uint32_t leaf_of(int64_t row, int64_t tree) const {
    if (!splits) return 0;  // a leaf, too, looks at the first column
    return forest::walk_any(nodes + this->trees[tree].first, Keys{*this, row}, pool);
  }
};

template <class N, class Leaf>
struct Walk {
  ForestView<N, Leaf> view;

  MLCORE_BODY void operator()(int64_t row, int64_t) const {
    view.start(row);
    if (view.kind == forest::LeafKind::scalar && view.outputs == 1) {
      Leaf sum = view.base[0];  // in a register: a sum in memory waits for its own last store
      for (int64_t tree = 0; tree < view.tree_count; ++tree)
        sum += view.number(row, tree, view.leaf_of(row, tree));
      view.output(0)[row] = sum;
    } else {
      for (int64_t tree = 0; tree < view.tree_count; ++tree) view.add(row, tree, view.leaf_of(row, tree));
    }
    view.finish(row);
  }
};

// Trees that lie in shared memory together: their splits and leaves are side by side.
struct Batch {
  int32_t first_tree, trees;
  int32_t first_split, splits;
  int32_t first_leaf, leaves;
};

// Copies of a block's threads; the callers wait before they read.
template <int kThreadCount, class T>
MLCORE_BODY void copy_together(T* to, const T* from, int32_t count, int thread) {
  for (int32_t i = thread; i < count; i += kThreadCount) to[i] = from[i];
}

}  // namespace mlcore::device

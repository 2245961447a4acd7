// Forests on a device, in three forms that give the same bits, because each row's leaves are added in the
// order of the trees:
//
// - rank walk: blocks of rows hold the ranks of their numbers among the cuts in shared memory, and take the
//   trees from there as complete trees of (column, rank) pairs. Numeric splits and small trees only.
// - walk: each row reads nodes and numbers from global memory. Every kind of forest.
// - few rows: every pair of row and tree is a thread; each row then adds its leaves.
#pragma once

#include <cstdint>

#include "bodies.h"
#include "kernels/forest_keys.h"
#include "kernels/forest_leaves.h"
#include "kernels/forest_walk.h"

namespace mlcore::device {

// The arrays of forest::Layout and forest::Leaves in the device's memory.
template <class N, class Leaf>
struct ForestView {
  using Key = typename N::Key;
  using Float = forest::FloatOf<Key>;

  const N* nodes;
  const forest::Tree* trees;
  int64_t tree_count;
  const forest::Column* columns;
  bool splits;  // there are columns
  const uint32_t* pool;
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
  int64_t stride;
  void* out;

  // The keys of a row, made when they are asked for.
  struct Keys {
    const ForestView& view;
    int64_t row;

    MLCORE_BODY Key operator[](size_t index) const {
      const forest::Column column = view.columns[index];
      const Float x = view.data[column.feature * view.stride + row];
      switch (column.view) {
        case forest::View::nan_right: return forest::key_in<Key, forest::View::nan_right>(x, view.rule);
        case forest::View::nan_left: return forest::key_in<Key, forest::View::nan_left>(x, view.rule);
        case forest::View::zero_right: return forest::key_in<Key, forest::View::zero_right>(x, view.rule);
        case forest::View::zero_left: return forest::key_in<Key, forest::View::zero_left>(x, view.rule);
        default: return forest::key_in<Key, forest::View::category>(x, view.rule);
      }
    }
  };

  MLCORE_BODY Leaf* output(int64_t index) const { return static_cast<Leaf*>(out) + index * stride; }

  // The node of the tree that a row ends in, counted from the tree's first.
  MLCORE_BODY uint32_t leaf_of(int64_t row, int64_t tree) const {
    if (!splits) return 0;  // a leaf, too, looks at the first column
    return forest::walk_any(nodes + trees[tree].first, Keys{*this, row}, pool);
  }

  MLCORE_BODY void start(int64_t row) const {
    if (kind == forest::LeafKind::ids) return;
    for (int64_t o = 0; o < outputs; ++o) output(o)[row] = base[o];
  }

  MLCORE_BODY void add(int64_t row, int64_t tree, uint32_t leaf) const {
    const size_t node = trees[tree].first + leaf;
    switch (kind) {
      case forest::LeafKind::scalar: output(trees[tree].output)[row] += node_value[node]; break;
      case forest::LeafKind::vector:
        for (int64_t o = 0; o < outputs; ++o) output(o)[row] += leaf_values[node_row[node] * outputs + o];
        break;
      case forest::LeafKind::linear:
        output(trees[tree].output)[row] += forest::linear_leaf<Key>(
            linear_offsets, linear_feature, linear_coef, linear_constant[node_row[node]], node_row[node],
            node_value[node], drops_tiny, [&](int32_t feature) { return data[feature * stride + row]; });
        break;
      case forest::LeafKind::ids: static_cast<int64_t*>(out)[tree * stride + row] = node_row[node]; break;
    }
  }

  MLCORE_BODY void finish(int64_t row) const {
    if (kind == forest::LeafKind::ids || !divides) return;
    for (int64_t o = 0; o < outputs; ++o) output(o)[row] /= divisor;
  }
};

template <class N, class Leaf>
struct Walk {
  ForestView<N, Leaf> view;

  MLCORE_BODY void operator()(int64_t row, int64_t) const {
    view.start(row);
    for (int64_t tree = 0; tree < view.tree_count; ++tree) view.add(row, tree, view.leaf_of(row, tree));
    view.finish(row);
  }
};

// Of few rows: the leaf of each pair of tree and row, trees side by side, so that the threads of a warp hide
// each other's waiting.
template <class N, class Leaf>
struct ReachLeaves {
  ForestView<N, Leaf> view;
  uint32_t* leaves;  // [rows][trees]

  MLCORE_BODY void operator()(int64_t tree, int64_t row) const {
    leaves[row * view.tree_count + tree] = view.leaf_of(row, tree);
  }
};
template <class N, class Leaf>
struct AddLeaves {
  ForestView<N, Leaf> view;
  const uint32_t* leaves;

  MLCORE_BODY void operator()(int64_t row, int64_t) const {
    view.start(row);
    for (int64_t tree = 0; tree < view.tree_count; ++tree)
      view.add(row, tree, leaves[row * view.tree_count + tree]);
    view.finish(row);
  }
};

// Trees that are staged together: their splits and leaf values lie side by side.
struct Batch {
  int32_t first_tree, trees;
  int32_t first_split, splits;
  int32_t first_leaf, leaves;
};
struct RankTree {
  int32_t depth, output;
};

// The rank walk. A split is column << 16 | rank: a number whose rank is above it goes right.
template <class Key, class Leaf, class Rank>
struct RankWalk {
  using Float = forest::FloatOf<Key>;
  static constexpr int kBlockThreads = 128;

  const forest::Column* columns;
  const Key* cuts;           // of all columns, ascending in each
  const int32_t* first_cut;  // by column, and behind the last
  int32_t column_count;
  const RankTree* trees;
  const Batch* batches;
  int64_t batch_count;
  const uint32_t* splits;
  const Leaf* leaves;
  const Leaf* base;
  bool divides;
  Leaf divisor;
  int64_t outputs;
  CategoryRule rule;

  const Float* data;
  int64_t rows, stride;
  Leaf* out;
  int32_t block_rows;              // of a block: a multiple of kBlockThreads, or fewer
  size_t split_place, leaf_place;  // in shared memory, behind the ranks

  struct State {};

  MLCORE_BODY int64_t phases() const { return batch_count; }

  MLCORE_BODY Key key_at(int32_t column, int64_t row) const {
    const Float x = data[columns[column].feature * stride + row];
    switch (columns[column].view) {
      case forest::View::nan_right: return forest::key_in<Key, forest::View::nan_right>(x, rule);
      case forest::View::nan_left: return forest::key_in<Key, forest::View::nan_left>(x, rule);
      case forest::View::zero_right: return forest::key_in<Key, forest::View::zero_right>(x, rule);
      default: return forest::key_in<Key, forest::View::zero_left>(x, rule);
    }
  }

  MLCORE_BODY void begin(State&, int64_t block, int thread, unsigned char* shared) const {
    auto* ranks = reinterpret_cast<Rank*>(shared);
    const int64_t first = block * block_rows;
    for (int32_t i = thread; i < column_count * block_rows; i += kBlockThreads) {
      const int32_t column = i / block_rows;
      const int64_t row = first + i % block_rows;
      if (row >= rows) continue;
      const Key key = key_at(column, row);
      ranks[i] = static_cast<Rank>(edges::partition_point(cuts + first_cut[column],
                                                          first_cut[column + 1] - first_cut[column],
                                                          [=](Key cut) { return cut < key; }));
    }
    for (int32_t i = thread; i < block_rows && first + i < rows; i += kBlockThreads)
      for (int64_t o = 0; o < outputs; ++o) out[o * stride + first + i] = base[o];
  }

  MLCORE_BODY void stage(int64_t phase, int thread, unsigned char* shared) const {
    const Batch& batch = batches[phase];
    auto* to = reinterpret_cast<uint32_t*>(shared + split_place);
    for (int32_t i = thread; i < batch.splits; i += kBlockThreads) to[i] = splits[batch.first_split + i];
    auto* values = reinterpret_cast<Leaf*>(shared + leaf_place);
    for (int32_t i = thread; i < batch.leaves; i += kBlockThreads) values[i] = leaves[batch.first_leaf + i];
  }

  MLCORE_BODY void evaluate(State&, int64_t phase, int64_t block, int thread, unsigned char* shared) const {
    const Batch& batch = batches[phase];
    const int64_t first = block * block_rows;
    for (int32_t row = thread; row < block_rows && first + row < rows; row += kBlockThreads) {
      const auto* rank = reinterpret_cast<const Rank*>(shared) + row;
      const auto* split = reinterpret_cast<const uint32_t*>(shared + split_place);
      const auto* leaf = reinterpret_cast<const Leaf*>(shared + leaf_place);
      int32_t output = trees[batch.first_tree].output;
      Leaf sum = out[output * stride + first + row];
      for (int32_t t = 0; t < batch.trees; ++t) {
        const RankTree tree = trees[batch.first_tree + t];
        if (tree.output != output) {
          out[output * stride + first + row] = sum;
          output = tree.output;
          sum = out[output * stride + first + row];
        }
        uint32_t at = 0;
        for (int32_t level = 0; level < tree.depth; ++level) {
          const uint32_t node = split[at];
          at =
              2 * at + 1 +
              static_cast<uint32_t>(rank[(node >> 16) * static_cast<uint32_t>(block_rows)] > (node & 0xffff));
        }
        const uint32_t splits_of_tree = (1u << tree.depth) - 1;
        sum += leaf[at - splits_of_tree];
        split += splits_of_tree;
        leaf += splits_of_tree + 1;
      }
      out[output * stride + first + row] = sum;
    }
  }

  MLCORE_BODY void end(State&, int64_t block, int thread) const {
    if (!divides) return;
    const int64_t first = block * block_rows;
    for (int32_t i = thread; i < block_rows && first + i < rows; i += kBlockThreads)
      for (int64_t o = 0; o < outputs; ++o) out[o * stride + first + i] /= divisor;
  }
};

}  // namespace mlcore::device

// How a forest becomes what the rank walk reads.
#pragma once

#include <optional>
#include <vector>

#include "forest.h"
#include "kernels/forest_tests.h"

namespace mlcore::device {

inline constexpr int32_t kMaxDepth = 10;                  // of a complete tree: its leaves are 2^depth
inline constexpr size_t kStagedBytes = size_t{24} << 10;  // of splits and leaves in shared memory
inline constexpr uint32_t kMaxRanks = 65535;

template <class Key, class Leaf>
struct RankTrees {
  std::vector<Key> cuts;
  std::vector<int32_t> first_cut{0};
  std::vector<RankTree> trees;
  std::vector<Batch> batches;
  std::vector<uint32_t> splits;
  std::vector<Leaf> leaves;
  uint32_t most_ranks = 0;                 // of a column
  size_t split_bytes = 0, leaf_bytes = 0;  // most of a batch
};

// Nothing: some tree is too deep, some column has too many cuts, some split is of categories, or leaves are
// no single numbers.
template <class N, class Leaf>
std::optional<RankTrees<typename N::Key, Leaf>> rank_trees(const forest::Layout<N>& layout,
                                                           const forest::Leaves<N, Leaf>& leaves) {
  using Key = typename N::Key;
  if (leaves.kind() != forest::LeafKind::scalar || layout.columns.size() > kMaxRanks) return std::nullopt;
  forest::Tests<N> tests(layout);
  size_t entries = 0;
  for (const forest::Tree& tree : layout.trees) {
    if (tree.categories || tree.depth > static_cast<uint32_t>(kMaxDepth)) return std::nullopt;
    entries += size_t{2} << tree.depth;
  }
  // a chain as deep as that would take far more room as a complete tree
  if (entries > 8 * layout.nodes.size() + 1024) return std::nullopt;
  for (size_t tree = 0; tree < layout.trees.size(); ++tree) {
    const N* nodes = layout.nodes.data() + layout.trees[tree].first;
    for (size_t at = 0; at < forest::size_of_tree(layout, tree); ++at)
      if (!forest::is_leaf(nodes, at)) tests.add(nodes[at]);
  }
  tests.sort();

  RankTrees<Key, Leaf> out;
  for (size_t column = 0; column < layout.columns.size(); ++column) {
    const auto& cuts = tests.of(column);
    if (cuts.size() > kMaxRanks) return std::nullopt;
    out.most_ranks = std::max(out.most_ranks, static_cast<uint32_t>(cuts.size()));
    out.cuts.insert(out.cuts.end(), cuts.begin(), cuts.end());
    out.first_cut.push_back(static_cast<int32_t>(out.cuts.size()));
  }
  const auto arrays = leaves.arrays();
  for (const forest::Tree& tree : layout.trees) {
    const N* nodes = layout.nodes.data() + tree.first;
    const auto depth = static_cast<int32_t>(tree.depth);
    const size_t splits = (size_t{1} << depth) - 1;
    const size_t bytes = splits * sizeof(uint32_t) + (splits + 1) * sizeof(Leaf);
    if (out.batches.empty() || static_cast<size_t>(out.batches.back().splits) * sizeof(uint32_t) +
                                       static_cast<size_t>(out.batches.back().leaves) * sizeof(Leaf) + bytes >
                                   kStagedBytes)
      out.batches.push_back({static_cast<int32_t>(out.trees.size()), 0,
                             static_cast<int32_t>(out.splits.size()), 0,
                             static_cast<int32_t>(out.leaves.size()), 0});
    Batch& batch = out.batches.back();
    // level by level; below a leaf every number goes left, and all leaves there are that one
    std::vector<uint32_t> level{0}, next;
    for (int32_t d = 0; d < depth; ++d) {
      next.clear();
      for (uint32_t at : level) {
        const N& node = nodes[at];
        if (forest::is_leaf(nodes, at)) {
          out.splits.push_back(kMaxRanks);
          next.insert(next.end(), {at, at});
          continue;
        }
        out.splits.push_back(static_cast<uint32_t>(node.column_index()) << 16 | tests.find(node));
        next.insert(next.end(), {static_cast<uint32_t>(node.left), static_cast<uint32_t>(node.left) + 1});
      }
      level.swap(next);
    }
    for (uint32_t at : level) out.leaves.push_back(arrays.node_value[tree.first + at]);
    out.trees.push_back({depth, tree.output});
    ++batch.trees;
    batch.splits += static_cast<int32_t>(splits);
    batch.leaves += static_cast<int32_t>(splits + 1);
    out.split_bytes = std::max(out.split_bytes, static_cast<size_t>(batch.splits) * sizeof(uint32_t));
    out.leaf_bytes = std::max(out.leaf_bytes, static_cast<size_t>(batch.leaves) * sizeof(Leaf));
  }
  if (out.batches.empty()) return std::nullopt;
  return out;
}

}  // namespace mlcore::device

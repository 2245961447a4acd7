// How a forest becomes what the rank walk reads.
#pragma once

#include <optional>
#include <vector>

#include "rank_walk.h"

namespace mlcore::device {

inline constexpr int32_t kMaxDepth = 10;                  // of a complete tree: its leaves are 2^depth
inline constexpr size_t kStagedBytes = size_t{24} << 10;  // of splits and leaves in shared memory

// Entry: as in RankWalk.
template <class Entry>
struct RankTrees {
  std::vector<RankTree> trees;
  std::vector<Batch> batches;
  std::vector<uint32_t> splits;  // as in RankWalk, but with columns for places
  std::vector<Entry> leaves;
  size_t split_bytes = 0, leaf_bytes = 0;  // most of a batch
};

// Begins another batch where a tree of `splits` and `leaves` finds no room, and adds it.
template <class Entry>
void add_to_batch(std::vector<Batch>& batches, size_t splits, size_t leaves, size_t most_bytes,
                  int32_t most_trees, size_t& split_bytes, size_t& leaf_bytes) {
  const auto bytes = [](size_t s, size_t l) { return s * sizeof(uint32_t) + l * sizeof(Entry); };
  Batch last = batches.empty() ? Batch{} : batches.back();
  if (batches.empty() || last.trees == most_trees ||
      bytes(static_cast<size_t>(last.splits) + splits, static_cast<size_t>(last.leaves) + leaves) >
          most_bytes) {
    last = {last.first_tree + last.trees,  0, last.first_split + last.splits, 0,
            last.first_leaf + last.leaves, 0};
    batches.push_back(last);
  }
  Batch& batch = batches.back();
  ++batch.trees;
  batch.splits += static_cast<int32_t>(splits);
  batch.leaves += static_cast<int32_t>(leaves);
  split_bytes = std::max(split_bytes, bytes(static_cast<size_t>(batch.splits), 0));
  leaf_bytes = std::max(leaf_bytes, bytes(0, static_cast<size_t>(batch.leaves)));
}

// Nothing: some tree is too deep, or there are too many columns or cuts. `entry(node)`: what its leaf is
// looked up as, of a node counted from the forest's first and from its tree's.
template <class Entry, class N, class EntryOf>
std::optional<RankTrees<Entry>> rank_trees(const forest::Layout<N>& layout, const RankColumns<N>& columns,
                                           const EntryOf& entry) {
  if (columns.columns.size() > kMaxRank || columns.most_cuts > kMaxRank || layout.trees.empty())
    return std::nullopt;
  size_t entries = 0;
  for (const forest::Tree& tree : layout.trees) {
    if (tree.depth > static_cast<uint32_t>(kMaxDepth)) return std::nullopt;
    entries += size_t{2} << tree.depth;
  }
  // a chain as deep as that would take far more room as a complete tree
  if (entries > 8 * layout.nodes.size() + 1024) return std::nullopt;

  RankTrees<Entry> out;
  for (const forest::Tree& tree : layout.trees) {
    const N* nodes = layout.nodes.data() + tree.first;
    const auto depth = static_cast<int32_t>(tree.depth);
    const size_t splits = (size_t{1} << depth) - 1;
    add_to_batch<Entry>(out.batches, splits, splits + 1, kStagedBytes, 1 << 30, out.split_bytes,
                        out.leaf_bytes);
    // level by level; below a leaf every number goes left, and all leaves there are that one
    std::vector<uint32_t> level{0}, next;
    for (int32_t d = 0; d < depth; ++d) {
      next.clear();
      for (uint32_t at : level) {
        const N& node = nodes[at];
        if (forest::is_leaf(nodes, at)) {
          out.splits.push_back(kMaxRank << 16);
          next.insert(next.end(), {at, at});
          continue;
        }
        const auto split = columns.of(node);
        out.splits.push_back(split.cut << 16 | split.column);
        next.insert(next.end(), {static_cast<uint32_t>(node.left), static_cast<uint32_t>(node.left) + 1});
      }
      level.swap(next);
    }
    for (uint32_t at : level) out.leaves.push_back(entry(tree.first, at));
    out.trees.push_back({depth, tree.output});
  }
  return out;
}

}  // namespace mlcore::device

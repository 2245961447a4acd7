// How a forest becomes what sliced_rows.h reads.
#pragma once

#include <limits>
#include <optional>
#include <vector>

#include "kernels/sliced_layout.h"
#include "rank_trees.h"
#include "sliced_rows.h"

namespace mlcore::device {

inline constexpr size_t kSlicedBytes = size_t{16} << 10;  // of splits and leaves in shared memory

template <class Entry>
struct SlicedTrees {
  std::vector<SlicedColumn> columns;
  std::vector<SlicedTree> trees;
  std::vector<Batch> batches;
  std::vector<uint32_t> splits, links;
  std::vector<Entry> leaves;
  int32_t word_bits = 0;
  size_t number_place = 0, split_place = 0, leaf_place = 0, bytes = 0;
};

template <class Entry, class N>
class Slicer {
  using Key = typename N::Key;

 public:
  Slicer(const forest::Layout<N>& layout, const RankColumns<N>& columns, CategoryRule rule,
         size_t shared_bytes)
      : layout_(layout),
        columns_(columns),
        shared_bytes_(shared_bytes),
        // one mask for each test, and complete trees over those
        forest_(
            sliced::slice(layout, 0, layout.trees.size(), rule, std::numeric_limits<uint32_t>::max(), 0)) {}

  template <class EntryOf>
  std::optional<SlicedTrees<Entry>> build(const EntryOf& entry) {
    if (layout_.trees.empty() || columns_.most_cuts > kMaxRank) return std::nullopt;
    for (const sliced::Tree& tree : forest_.trees)
      if (tree.bits == sliced::kNotSliced) return std::nullopt;
    place_masks();
    add_batches();
    if (!place_words()) return std::nullopt;
    name_tests();
    for (size_t tree = 0; tree < layout_.trees.size(); ++tree) add_tree(tree, entry);
    return std::move(out_);
  }

 private:
  using Rows = SlicedRows<Key, Entry, Entry>;

  // Words that a tree's splits take: four at a time are read.
  static uint32_t places_of(uint32_t height) { return std::max(4u, 1u << height); }

  // Two digits, cut where they need the fewest masks, or one.
  void place_masks() {
    masks_ = Rows::kFirstMask;
    for (const RankColumn& column : columns_.columns) {
      const uint32_t bits = static_cast<uint32_t>(std::bit_width(column.cuts));
      uint32_t low = 0, fewest = column.cuts;
      for (uint32_t l = 1; l < bits; ++l)
        if (const uint32_t count = (column.cuts >> l) + 1 + (1u << l); count < fewest) {
          low = l;
          fewest = count;
        }
      out_.columns.push_back({static_cast<uint16_t>(std::min(masks_, 0xffffu)), static_cast<uint8_t>(bits),
                              static_cast<uint8_t>(low)});
      masks_ += fewest;
    }
  }

  void add_batches() {
    chains_.assign(forest_.masks, nullptr);
    for (const sliced::Chain& chain : forest_.chains) chains_[chain.to] = &chain;
    for (size_t tree = 0; tree < layout_.trees.size(); ++tree) {
      const uint32_t bits = forest_.trees[tree].bits;
      const uint32_t* splits = forest_.splits.data() + forest_.trees[tree].first_split;
      const bool linked = std::any_of(splits, splits + (size_t{1} << bits) - 1,
                                      [&](uint32_t mask) { return chains_[mask] != nullptr; });
      const uint32_t height = linked ? std::max<uint32_t>(bits, SlicedEvaluation<true>::kBase) : bits;
      add_to_batch<Entry>(out_.batches, places_of(height), size_t{1} << bits, kSlicedBytes, Rows::kTrees,
                          split_bytes_, leaf_bytes_);
      const Batch& batch = out_.batches.back();
      out_.trees.push_back({bits, height, layout_.trees[tree].output,
                            static_cast<uint32_t>(batch.first_split + batch.splits) - places_of(height), 0,
                            linked ? 1u : 0u});
    }
  }

  // As many words as find room.
  bool place_words() {
    const auto up = [](size_t bytes) { return (bytes + 15) / 16 * 16; };
    for (int32_t bits = 5; (sizeof(uint32_t) << bits) >= SlicedSplit::kPlace; --bits) {
      out_.word_bits = bits;
      out_.number_place = up((size_t{masks_} << bits) * sizeof(uint32_t));
      out_.split_place = out_.number_place + (size_t{Rows::kTrees} * 8 << bits) * sizeof(uint32_t);
      out_.leaf_place = out_.split_place + up(split_bytes_);
      out_.bytes = out_.leaf_place + leaf_bytes_;
      if (out_.bytes <= std::min(shared_bytes_, SlicedSplit::kBytes)) return true;
    }
    return false;
  }

  uint32_t split_of(uint32_t upper, uint32_t lower) const {
    const uint32_t bytes = static_cast<uint32_t>(sizeof(uint32_t)) << out_.word_bits;
    return upper * bytes / SlicedSplit::kPlace | (lower * bytes) << SlicedSplit::kLowerShift;
  }
  // Zeros and ones lie side by side, so that their majority with a mask is the mask.
  uint32_t split_of(uint32_t mask) const { return split_of(Rows::kZeros, mask); }

  // What each mask of sliced::Forest is here.
  void name_tests() {
    splits_.assign(forest_.masks, split_of(Rows::kZeros));
    splits_[sliced::kOnes] = split_of(Rows::kOnes);
    size_t next = 0;
    for (size_t column = 0; column < layout_.columns.size(); ++column) {
      if (columns_.tests.of(column).empty()) continue;
      const sliced::Column& source = forest_.columns[next++];
      for (uint32_t test = 0; test < source.count; ++test)
        splits_[source.first + test] = split_of_test(columns_.of(column, test));
    }
  }

  // Ranks above `cut` are those of at least cut + 1.
  uint32_t split_of_test(typename RankColumns<N>::Split test) const {
    const SlicedColumn& column = out_.columns[test.column];
    const uint32_t bound = test.cut + 1, upper = bound >> column.low,
                   lower = bound & ((1u << column.low) - 1);
    if (column.low == 0) return split_of(column.first + test.cut);
    if (lower == 0) return split_of(column.first + upper);
    const uint32_t uppers = (columns_.columns[test.column].cuts >> column.low) + 1;
    return split_of(column.first + upper, column.first + uppers + lower);
  }

  template <class EntryOf>
  void add_tree(size_t index, const EntryOf& entry) {
    SlicedTree& tree = out_.trees[index];
    const int base = tree.linked != 0 ? SlicedEvaluation<true>::kBase : SlicedEvaluation<false>::kBase;
    tree.link = static_cast<uint32_t>(out_.links.size());
    out_.splits.resize(tree.split + places_of(tree.height), split_of(Rows::kZeros));
    next_ = tree.split;
    above_ = tree.split + (1u << base) - 1;
    add_split(forest_.splits.data() + forest_.trees[index].first_split, tree.bits, 1, tree.height, base);
    const uint32_t first = forest_.first_leaf[index];
    for (uint32_t leaf = 0; leaf < 1u << tree.bits; ++leaf)
      out_.leaves.push_back(entry(layout_.trees[index].first, forest_.leaf_nodes[first + leaf]));
  }

  // Node `node` of a complete tree and those below, in the order in which they are evaluated. node 0: one
  // beside the tree's own, below splits that send all rows left.
  void add_split(const uint32_t* splits, uint32_t bits, uint32_t node, uint32_t height, int base) {
    if (height == 0) return;
    const bool above = height > bits;
    add_split(splits, bits, above ? node : 2 * node, height - 1, base);
    add_split(splits, bits, above || node == 0 ? 0 : 2 * node + 1, height - 1, base);
    const auto own_height = static_cast<int>(height);
    uint32_t& to = out_.splits[own_height > base ? above_ : next_];
    if (own_height > base) above_ += 1u << base;
    else next_ += own_height == base ? 2 : 1;
    if (above || node == 0) return;
    const uint32_t mask = splits[node - 1];
    const sliced::Chain* chain = chains_[mask];
    to = splits_[chain != nullptr ? chain->first : mask];
    if (chain == nullptr) return;
    to |= SlicedSplit::kMore;
    for (uint32_t i = 0; i < chain->links; ++i) {
      const sliced::Link& link = forest_.links[chain->first_link + i];
      out_.links.push_back(splits_[link.of] | (link.with == sliced::kOnes ? SlicedSplit::kOr : 0) |
                           (i + 1 < chain->links ? SlicedSplit::kMore : 0));
    }
  }

  const forest::Layout<N>& layout_;
  const RankColumns<N>& columns_;
  size_t shared_bytes_;
  sliced::Forest<Key> forest_;
  SlicedTrees<Entry> out_;
  uint32_t masks_ = 0, next_ = 0, above_ = 0;
  size_t split_bytes_ = 0, leaf_bytes_ = 0;
  std::vector<uint32_t> splits_;  // by mask
  std::vector<const sliced::Chain*> chains_;
};

// Nothing: some tree has more than 256 leaves, or the masks of 256 rows find no room.
template <class Entry, class N, class EntryOf>
std::optional<SlicedTrees<Entry>> sliced_trees(const forest::Layout<N>& layout, const RankColumns<N>& columns,
                                               CategoryRule rule, size_t shared_bytes, const EntryOf& entry) {
  return Slicer<Entry, N>(layout, columns, rule, shared_bytes).build(entry);
}

}  // namespace mlcore::device

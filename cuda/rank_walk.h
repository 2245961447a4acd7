// The rank walk: complete trees whose splits are one word each, cut << 16 | place, and rows as ranks, all in
// shared memory. A row whose rank at the place, that of its column, is above the cut goes right.
#pragma once

#include <type_traits>

#include "ranks.h"

namespace mlcore::device {

inline constexpr uint32_t kRankPlace = 32;  // bytes that places count: a column has as many or more

struct RankTree {
  int32_t depth, output;
};

// Rank: uint8_t where no column has more cuts than that counts, else uint16_t.
// Entry: what a leaf is looked up as: its number (Leaf), or for all other kinds the node.
template <class Key, class Leaf, class Rank, class Entry>
struct RankWalk {
  static constexpr int kBlockThreads = 128, kBlocks = 5;
  static constexpr bool kNumbers = std::is_same_v<Entry, Leaf>;
  // Rows that a thread takes at a time, so that their walks hide each other's waiting. They lie in one word
  // of shared memory, or two: threads side by side read banks side by side, whatever the columns.
  static constexpr int kRows = 4;
  static constexpr int kInWord = 4 / sizeof(Rank);

  LeafView<Key, Leaf> view;
  Ranks<Key> ranks;
  const RankTree* trees;
  const Batch* batches;
  int64_t batch_count;
  const uint32_t* splits;
  const Entry* leaves;
  int32_t row_bits;                // of a block's rows
  size_t split_place, leaf_place;  // in shared memory, behind the ranks

  struct State {};

  MLCORE_BODY int64_t phases() const { return batch_count; }
  MLCORE_BODY int32_t block_rows() const { return 1 << row_bits; }

  // The k-th row of a thread's `part`, in the block.
  MLCORE_BODY int32_t row_of(int32_t part, int k) const {
    return (k / kInWord) * (block_rows() / (kRows / kInWord)) + part * kInWord + k % kInWord;
  }

  MLCORE_BODY void begin(State&, int64_t block, int thread, unsigned char* shared) const {
    auto* to = reinterpret_cast<Rank*>(shared);
    const int64_t first = block << row_bits;
    for (int32_t column = 0; column < ranks.count; ++column, to += block_rows()) {
      const RankColumn source = ranks.columns[column];
      for (int32_t row = thread; row < block_rows(); row += kRows * kBlockThreads) {
        uint32_t found[kRows];
        ranks.template of<kRows>(view, source, first + row, kBlockThreads, found);
        MLCORE_UNROLL for (int k = 0; k < kRows; ++k) if (row + k * kBlockThreads < block_rows())
            to[row + k * kBlockThreads] = static_cast<Rank>(found[k]);
      }
    }
    for (int32_t row = thread; row < block_rows() && first + row < view.rows; row += kBlockThreads)
      view.start(first + row);
  }

  MLCORE_BODY void stage(State&, int64_t phase, int64_t, int thread, unsigned char* shared) const {
    const Batch& batch = batches[phase];
    copy_together<kBlockThreads>(reinterpret_cast<uint32_t*>(shared + split_place),
                                 splits + batch.first_split, batch.splits, thread);
    copy_together<kBlockThreads>(reinterpret_cast<Entry*>(shared + leaf_place), leaves + batch.first_leaf,
                                 batch.leaves, thread);
  }

  MLCORE_BODY void evaluate(State&, int64_t phase, int64_t block, int thread, unsigned char* shared) const {
    const Batch batch = batches[phase];
    const int64_t first = block << row_bits;
    for (int32_t part = thread; part < block_rows() / kRows; part += kBlockThreads) {
      uint32_t rank[kRows];  // as all below, bytes from the beginning of shared memory
      MLCORE_UNROLL for (int k = 0; k < kRows; ++k) rank[k] =
          static_cast<uint32_t>(row_of(part, k)) * static_cast<uint32_t>(sizeof(Rank));
      auto split = static_cast<uint32_t>(split_place), leaf = static_cast<uint32_t>(leaf_place);
      int32_t output = trees[batch.first_tree].output;
      Leaf sums[kRows];
      if constexpr (kNumbers) move<true>(first, part, output, sums);
      for (int32_t t = 0; t < batch.trees; ++t) {
        const RankTree tree = trees[batch.first_tree + t];
        if (kNumbers && tree.output != output) {
          move<false>(first, part, output, sums);
          output = tree.output;
          move<true>(first, part, output, sums);
        }
        // the children of split i are 2i + 1 and 2i + 2
        uint32_t at[kRows];
        MLCORE_UNROLL for (int k = 0; k < kRows; ++k) at[k] = split;
        const uint32_t below = 4 - split;
        for (int32_t level = 0; level < tree.depth; ++level) MLCORE_UNROLL for (int k = 0; k < kRows; ++k) {
            const uint32_t node = load<uint32_t>(shared, at[k]);
            const uint32_t found = load<Rank>(shared, rank[k] + (node & 0xffff) * kRankPlace);
            at[k] = 2 * at[k] + below;
            if (found << 16 > node) at[k] += 4;
          }
        split += 4u << tree.depth;
        split -= 4;  // behind the tree's splits
        MLCORE_UNROLL for (int k = 0; k < kRows; ++k) {
          const Entry entry = load<Entry>(shared, leaf + (at[k] - split) / 4 * sizeof(Entry));
          if constexpr (kNumbers) sums[k] += entry;
          else if (const int64_t row = first + row_of(part, k); row < view.rows)
            view.add(row, batch.first_tree + t, entry);
        }
        leaf += static_cast<uint32_t>(sizeof(Entry)) << tree.depth;
      }
      if constexpr (kNumbers) move<false>(first, part, output, sums);
    }
  }

  MLCORE_BODY void end(State&, int64_t block, int thread) const {
    const int64_t first = block << row_bits;
    for (int32_t row = thread; row < block_rows() && first + row < view.rows; row += kBlockThreads)
      view.finish(first + row);
  }

 private:
  template <class T>
  MLCORE_BODY static T load(const unsigned char* shared, size_t place) {
    return *reinterpret_cast<const T*>(shared + place);
  }

  // Between the sums and an output.
  template <bool kLoad>
  MLCORE_BODY void move(int64_t first, int32_t part, int32_t output, Leaf* sums) const {
    MLCORE_UNROLL for (int k = 0; k < kRows; ++k) {
      const int64_t row = first + row_of(part, k);
      if constexpr (kLoad) sums[k] = row < view.rows ? view.output(output)[row] : Leaf{0};
      else if (row < view.rows) view.output(output)[row] = sums[k];
    }
  }
};

}  // namespace mlcore::device

// Forests of small trees, bit by bit. A thread holds 32 rows as the bits of a word and evaluates a whole tree
// for them in registers, without a branch that depends on a row:
//
// - Of each column, masks over its ranks lie in shared memory, one word for 32 rows: whether a rank's upper
//   digit is at least h, and its lower digit at least l. A split then is `majority(upper[h], upper[h + 1],
//   lower[l])`: above the upper digit, or equal to it and at least l below.
// - A tree is a complete tree over such splits (kernels/sliced_layout.h): bit b of the leaf number is that of
//   the right child where the split is set, else that of the left.
// - The bits become a byte per row, and the row's owner adds the leaves in order.
//
// Row `word + words * i` of a block is bit i of `word`, so that threads side by side read rows side by side.
#pragma once

#include <type_traits>

#include "ranks.h"

namespace mlcore::device {

// A split names two words of shared memory: the upper mask (the next one lies behind it) as a number of
// kPlace bytes, and the lower one as bytes, so that a shift and an addition make its address.
struct SlicedSplit {
  static constexpr uint32_t kPlace = 32;              // a mask has at least as many bytes
  static constexpr uint32_t kUpper = (1u << 13) - 1;  // its bits
  static constexpr uint32_t kMore = 1u << 13;         // a link follows,
  static constexpr uint32_t kOr = 1u << 14;           // and joins those before it with "or", not "and"
  static constexpr int kLowerShift = 14;              // what a link shifts in is not part of an address
  static constexpr size_t kBytes = size_t{1} << 18;   // of shared memory that it can name
};

// Masks of a rank column. One digit: of ranks of at least 1 .. cuts. Two: of upper digits of at least 0 ..
// and as many as there are, then of lower digits of at least 1 .. .
struct SlicedColumn {
  uint16_t first;  // mask
  uint8_t bits;    // of a rank
  uint8_t low;     // of them in the lower digit; 0: there is one digit
};

struct SlicedTree {
  uint32_t bits;    // of the leaf number
  uint32_t height;  // of the complete tree as it is evaluated, at least as much
  int32_t output;
  uint32_t split, link;  // the first of each
  uint32_t linked;
};

MLCORE_BODY inline uint32_t choose(uint32_t mask, uint32_t one, uint32_t zero) {
  return (mask & one) | (~mask & zero);
}

// Eight words as eight columns of bytes: bit 8k + j of word b and bit b of byte k of word j change places.
MLCORE_BODY inline void transpose_bits(uint32_t* words) {
  MLCORE_UNROLL for (int step = 0; step < 3; ++step) {
    const int size = 4 >> step;
    const uint32_t mask = step == 0 ? 0x0f0f0f0fu : step == 1 ? 0x33333333u : 0x55555555u;
    MLCORE_UNROLL for (int i = 0; i < 8; ++i) {
      if ((i & size) != 0) continue;
      const uint32_t swap = ((words[i] >> size) ^ words[i + size]) & mask;
      words[i + size] ^= swap;
      words[i] ^= swap << size;
    }
  }
}

// Evaluates a tree for the rows of one word. Splits lie in the order in which they are evaluated, each behind
// those below it: subtrees of kBase levels take 2^kBase places each, whose last ones hold the splits above
// them.
template <bool kLinked>
struct SlicedEvaluation {
  static constexpr int kBase = kLinked ? 5 : 6;  // levels in straight code
  struct alignas(16) Four {
    uint32_t split[4];
  };

  const Four* splits;
  const uint32_t* links;
  const unsigned char* masks;  // of this word
  uint32_t mask_bytes;
  Four now{};

  MLCORE_BODY uint32_t at(uint32_t place) const { return *reinterpret_cast<const uint32_t*>(masks + place); }
  MLCORE_BODY uint32_t test(uint32_t split) const {
    const uint32_t upper = (split & SlicedSplit::kUpper) * SlicedSplit::kPlace;
    const uint32_t lower = split >> SlicedSplit::kLowerShift;
    const uint32_t a = at(upper), b = at(upper + mask_bytes), c = at(kLinked ? lower & ~3u : lower);
    return (a & b) | (c & (a | b));
  }
  MLCORE_BODY uint32_t mask(uint32_t split) {
    uint32_t out = test(split);
    if constexpr (kLinked)
      while ((split & SlicedSplit::kMore) != 0) {
        split = *links++;
        const uint32_t other = test(split);
        out = (split & SlicedSplit::kOr) != 0 ? out | other : out & other;
      }
    return out;
  }

  // The leaf number's bits below a node of height kHeight, whose splits begin kFirst behind `splits`.
  template <int kHeight, int kFirst = 0>
  MLCORE_BODY void run(uint32_t* bits) {
    if constexpr (kHeight > 0) {
      uint32_t left[kHeight], right[kHeight];
      run<kHeight - 1, kFirst>(left);
      run<kHeight - 1, kFirst + (1 << (kHeight - 1)) - 1>(right);
      constexpr int kOwn = kFirst + (1 << kHeight) - 2;
      if constexpr (kOwn % 4 == 0) now = splits[kOwn / 4];
      bits[kHeight - 1] = mask(now.split[kOwn % 4]);
      MLCORE_UNROLL for (int b = 0; b < kHeight - 1; ++b) bits[b] =
          choose(bits[kHeight - 1], right[b], left[b]);
    }
  }

  // Subtrees one after the other through the same code, and what lies above them.
  MLCORE_BODY void run_all(uint32_t height, uint32_t* bits) {
    constexpr int kLevels = 8 - kBase, kFours = 1 << (kBase - 2);
    const Four* above = splits + kFours - 1;  // the last place is of the next split above
    uint32_t left[kLevels][8] = {};
    for (uint32_t subtree = 0; subtree < 1u << (height - kBase); ++subtree, splits += kFours) {
      run<kBase>(bits);
      bool whole = true;  // `bits` are of all that lies below the level
      MLCORE_UNROLL for (int level = 0; level < kLevels; ++level) {
        const bool right = (subtree >> level & 1) != 0;
        if (whole && right) {
          const uint32_t split = mask(above->split[3]);
          above += kFours;
          MLCORE_UNROLL for (int b = 0; b < kBase + level; ++b) bits[b] =
              choose(split, bits[b], left[level][b]);
          bits[kBase + level] = split;
        } else if (whole) {
          MLCORE_UNROLL for (int b = 0; b < kBase + level; ++b) left[level][b] = bits[b];
        }
        whole = whole && right;
      }
    }
  }

  MLCORE_BODY void leaf_numbers(uint32_t height, uint32_t* bits) {
    if constexpr (kLinked) {
      run_all(height, bits);
    } else {
      switch (height) {
        case 0: break;
        case 1: run<1>(bits); break;
        case 2: run<2>(bits); break;
        case 3: run<3>(bits); break;
        case 4: run<4>(bits); break;
        case 5: run<5>(bits); break;
        default: run_all(height, bits);
      }
    }
  }
};

// Entry: as in RankWalk.
template <class Key, class Leaf, class Entry>
struct SlicedRows {
  static constexpr int kBlockThreads = 256, kBlocks = 1;
  static constexpr bool kNumbers = std::is_same_v<Entry, Leaf>;
  static constexpr int32_t kTrees = 16;  // of a batch
  static constexpr uint32_t kZeros = 0, kOnes = 1, kFirstMask = 2;

  LeafView<Key, Leaf> view;
  Ranks<Key> ranks;
  const SlicedColumn* columns;  // of each rank column
  const SlicedTree* trees;
  const Batch* batches;
  int64_t batch_count;
  const uint32_t* splits;
  const uint32_t* links;
  const Entry* leaves;
  int32_t word_bits;                             // of a block's words
  size_t number_place, split_place, leaf_place;  // in shared memory, behind the masks

  struct State {};

  MLCORE_BODY int64_t phases() const { return batch_count; }
  MLCORE_BODY uint32_t words() const { return 1u << word_bits; }
  MLCORE_BODY int64_t first_row(int64_t block) const { return block << (word_bits + 5); }

  MLCORE_BODY void begin(State&, int64_t block, int thread, unsigned char* shared) const {
    auto* masks = reinterpret_cast<uint32_t*>(shared);
    for (uint32_t word = static_cast<uint32_t>(thread); word < words(); word += kBlockThreads) {
      masks[kZeros * words() + word] = 0;
      masks[kOnes * words() + word] = ~0u;
    }
    for (int32_t i = thread; i < ranks.count << word_bits; i += kBlockThreads) {
      const uint32_t word = static_cast<uint32_t>(i) & (words() - 1);
      fill(block, i >> word_bits, word, masks + word);
    }
    const int64_t first = first_row(block);
    for (int64_t row = first + thread; row < first + (words() << 5) && row < view.rows; row += kBlockThreads)
      view.start(row);
    load_splits(0, thread, shared);
  }

  // The trees of a batch, and the numbers of the leaves that each row of a word reaches.
  MLCORE_BODY void stage(State&, int64_t phase, int64_t, int thread, unsigned char* shared) const {
    const Batch batch = batches[phase];
    copy_together<kBlockThreads>(reinterpret_cast<Entry*>(shared + leaf_place), leaves + batch.first_leaf,
                                 batch.leaves, thread);
    const auto* masks = reinterpret_cast<const uint32_t*>(shared);
    auto* numbers = reinterpret_cast<uint32_t*>(shared + number_place);
    for (int32_t i = thread; i < batch.trees << word_bits; i += kBlockThreads) {
      const SlicedTree tree = trees[batch.first_tree + (i >> word_bits)];
      const uint32_t word = static_cast<uint32_t>(i) & (words() - 1);
      const auto* split = reinterpret_cast<const uint32_t*>(shared + split_place) +
                          (tree.split - static_cast<uint32_t>(batch.first_split));
      uint32_t bits[8] = {};
      if (tree.linked != 0) evaluate_tree<true>(tree, split, masks + word, bits);
      else evaluate_tree<false>(tree, split, masks + word, bits);
      transpose_bits(bits);
      MLCORE_UNROLL for (int j = 0; j < 8; ++j)
          numbers[(((i >> word_bits) * 8 + j) << word_bits) + static_cast<int32_t>(word)] = bits[j];
    }
  }

  // Four rows of a thread add what they reached.
  MLCORE_BODY void evaluate(State&, int64_t phase, int64_t block, int thread, unsigned char* shared) const {
    const Batch batch = batches[phase];
    const auto* numbers = reinterpret_cast<const uint32_t*>(shared + number_place);
    for (int32_t part = thread; part < 8 << word_bits; part += kBlockThreads) {
      const int64_t first = first_row(block) + (part & ((1 << word_bits) - 1));
      const int32_t bit = part >> word_bits;
      const auto* entries = reinterpret_cast<const Entry*>(shared + leaf_place);
      int32_t output = trees[batch.first_tree].output;
      Leaf sums[4];
      if constexpr (kNumbers) move<true>(first, bit, output, sums);
      for (int32_t t = 0; t < batch.trees; ++t) {
        const SlicedTree tree = trees[batch.first_tree + t];
        if (kNumbers && tree.output != output) {
          move<false>(first, bit, output, sums);
          output = tree.output;
          move<true>(first, bit, output, sums);
        }
        const uint32_t found = numbers[(t * 8 << word_bits) + part];
        MLCORE_UNROLL for (int k = 0; k < 4; ++k) {
          const Entry entry = entries[found >> (8 * k) & 0xff];
          if constexpr (kNumbers) sums[k] += entry;
          else if (const int64_t row = row_of(first, bit, k); row < view.rows)
            view.add(row, batch.first_tree + t, entry);
        }
        entries += 1u << tree.bits;
      }
      if constexpr (kNumbers) move<false>(first, bit, output, sums);
    }
    load_splits(phase + 1, thread, shared);
  }

  MLCORE_BODY void end(State&, int64_t block, int thread) const {
    const int64_t first = first_row(block);
    for (int64_t row = first + thread; row < first + (words() << 5) && row < view.rows; row += kBlockThreads)
      view.finish(row);
  }

 private:
  // The k-th of the rows whose leaf numbers are bytes of one word.
  MLCORE_BODY int64_t row_of(int64_t first, int32_t bit, int k) const {
    return first + (static_cast<int64_t>(8 * k + bit) << word_bits);
  }
  template <bool kLoad>
  MLCORE_BODY void move(int64_t first, int32_t bit, int32_t output, Leaf* sums) const {
    MLCORE_UNROLL for (int k = 0; k < 4; ++k) {
      const int64_t row = row_of(first, bit, k);
      if constexpr (kLoad) sums[k] = row < view.rows ? view.output(output)[row] : Leaf{0};
      else if (row < view.rows) view.output(output)[row] = sums[k];
    }
  }

  MLCORE_BODY void load_splits(int64_t phase, int thread, unsigned char* shared) const {
    if (phase >= batch_count) return;
    const Batch& batch = batches[phase];
    copy_together<kBlockThreads>(reinterpret_cast<uint32_t*>(shared + split_place),
                                 splits + batch.first_split, batch.splits, thread);
  }

  template <bool kLinked>
  MLCORE_BODY void evaluate_tree(const SlicedTree& tree, const uint32_t* split, const uint32_t* masks,
                                 uint32_t* bits) const {
    SlicedEvaluation<kLinked> evaluation{
        reinterpret_cast<const typename SlicedEvaluation<kLinked>::Four*>(split), links + tree.link,
        reinterpret_cast<const unsigned char*>(masks), 4u << word_bits};
    evaluation.leaf_numbers(tree.height, bits);
  }

  // The masks of a column for the rows of a word, of which `masks` is the first of all.
  MLCORE_BODY void fill(int64_t block, int32_t index, uint32_t word, uint32_t* masks) const {
    const RankColumn source = ranks.columns[index];
    const SlicedColumn column = columns[index];
    uint32_t planes[16] = {};  // bit by bit
    for (int k = 0; k < 4; ++k) {
      uint32_t found[8];
      ranks.template of<8>(view, source, first_row(block) + word + (static_cast<int64_t>(8 * k) << word_bits),
                           words(), found);
      MLCORE_UNROLL for (int j = 0; j < 8; ++j) {
        planes[j] |= (found[j] & 0xff) << (8 * k);
        planes[8 + j] |= (found[j] >> 8) << (8 * k);
      }
    }
    transpose_bits(planes);
    if (column.bits > 8) transpose_bits(planes + 8);
    uint32_t* to = masks + (static_cast<size_t>(column.first) << word_bits);
    if (column.low == 0) return fill_digit(planes, 0, column.bits, source.cuts, to - words());
    const uint32_t uppers = (source.cuts >> column.low) + 1;
    to[0] = ~0u;
    to[static_cast<size_t>(uppers) << word_bits] = 0;
    fill_digit(planes, column.low, column.bits - column.low, uppers - 1, to);
    fill_digit(planes, 0, column.low, (1u << column.low) - 1,
               to + (static_cast<size_t>(uppers) << word_bits));
  }

  // to[n]: that the digit of `bits` bits from bit `from` on is at least n, for 1 <= n <= count.
  MLCORE_BODY void fill_digit(const uint32_t* planes, int from, int bits, uint32_t count,
                              uint32_t* to) const {
    MLCORE_UNROLL for (int b = 0; b < 16; ++b) {
      if (b < from || b >= from + bits) continue;
      const uint32_t plane = planes[b], size = 1u << (b - from);
      for (uint32_t n = 1; n < size && n <= count; ++n) {
        const uint32_t below = to[n << word_bits];
        if (size + n <= count) to[(size + n) << word_bits] = plane & below;
        to[n << word_bits] = plane | below;
      }
      if (size <= count) to[size << word_bits] = plane;
    }
  }
};

}  // namespace mlcore::device

// One row through a forest: by bytes (kernels/one_row.h), or walked where trees are too deep for that.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "base/release.h"
#include "kernels/forest_leaves.h"
#include "kernels/forest_walk.h"
#include "kernels/one_row_layout.h"
#include "kernels/sliced.h"

namespace mlcore::forest {

template <class N, class Leaf>
class RowEvaluator {
  using Key = typename N::Key;

 public:
  RowEvaluator(const Layout<N>& layout, const Leaves<N, Leaf>& leaves, Isa isa)
      : kernels_(one_row::kernels(isa)),
        sliced_(sliced::kernels(isa)),
        complete_(one_row::lay_out(layout, kernels_)) {
    if (leaves.kind() != Leaves<N, Leaf>::Kind::scalar) return;
    end_values_.resize(complete_.ends.size());
    for (size_t i = 0; i < end_values_.size(); ++i)
      end_values_[i] = leaves.value(layout.trees[i >> complete_.depth].first + complete_.ends[i], 0);
    release(complete_.ends);
  }

  // Nanoseconds; 0 when trees are walked.
  float cost() const { return complete_.cost; }

  size_t scratch_bytes() const {
    return sizeof(Memory) + (complete_.ends_of_a_tree() - 1) * kWords * sizeof(uint64_t);
  }

  // Row `row` of the run, whose keys are given. `scratch` has scratch_bytes(), 64-byte aligned.
  void run(const Layout<N>& layout, const Leaves<N, Leaf>& leaves, const Run<Key>& run, int64_t row,
           const Key* keys, void* scratch) const {
    Memory& memory = *static_cast<Memory*>(scratch);
    const size_t trees = layout.trees.size();
    if (complete_.depth > 0) kernels_.bytes(complete_.columns(layout.pool.data()), keys, memory.bytes);
    for (size_t first = 0; first < trees; first += kGroup) {
      const size_t count = std::min(kGroup, trees - first);
      if (complete_.depth > 0) find_ends(first, count, memory);
      if (end_values_.empty()) add_leaves(layout, leaves, run, row, keys, first, count, memory);
      else add_values(layout, leaves.outputs(), run, row, first, count, memory.ends);
    }
  }

 private:
  static constexpr size_t kGroup = sliced::kRows[1],
                          kWords = kGroup / 64;  // trees whose ends are found at once
  static constexpr size_t kFewWords = 3;         // of masks: up to here one at a time is faster
  static constexpr size_t kWalks = 64;

  struct alignas(64) Memory {
    uint8_t bytes[one_row::kMaxBytes + 64];
    uint8_t ends[kGroup];
    uint32_t at[kWalks];
    uint64_t* masks() { return reinterpret_cast<uint64_t*>(this + 1); }
  };

  // Numbers of the ends of the trees [first, first + count).
  void find_ends(size_t first, size_t count, Memory& memory) const {
    // the masks lie in the order of the nodes
    static constexpr auto kSplits = [] {
      std::array<uint32_t, (1 << one_row::kMaxDepth) - 1> splits{};
      for (size_t i = 0; i < splits.size(); ++i) splits[i] = static_cast<uint32_t>(i);
      return splits;
    }();
    if (kernels_.masks == nullptr)
      return kernels_.walk(complete_.nodes_from(first, false), complete_.depth, count, memory.bytes,
                           memory.ends);
    const size_t words = (count + 63) / 64, nodes = complete_.ends_of_a_tree() - 1;
    const bool apart = words <= kFewWords;
    for (size_t word = 0; word < words; ++word) {
      kernels_.masks(complete_.nodes_from(first + 64 * word, true), nodes, memory.bytes, complete_.byte_count,
                     memory.masks() + (apart ? 0 : word), apart ? 1 : kWords);
      if (apart) sliced_.leaves[0](kSplits.data(), complete_.depth, memory.masks(), memory.ends + 64 * word);
    }
    if (!apart) sliced_.leaves[1](kSplits.data(), complete_.depth, memory.masks(), memory.ends);
  }

  void add_values(const Layout<N>& layout, int64_t outputs, const Run<Key>& run, int64_t row, size_t first,
                  size_t count, const uint8_t* ends) const {
    Leaf* sums = static_cast<Leaf*>(run.out) + row;
    const Leaf* values = end_values_.data() + (first << complete_.depth);
    if (outputs == 1) {  // in a register
      Leaf sum = *sums;
      for (size_t i = 0; i < count; ++i) sum += values[(i << complete_.depth) + ends[i]];
      *sums = sum;
      return;
    }
    const Tree* trees = layout.trees.data() + first;
    for (size_t i = 0; i < count; ++i)
      sums[trees[i].output * run.rows] += values[(i << complete_.depth) + ends[i]];
  }

  void add_leaves(const Layout<N>& layout, const Leaves<N, Leaf>& leaves, const Run<Key>& run, int64_t row,
                  const Key* keys, size_t first, size_t count, Memory& memory) const {
    for (size_t t = first; t < first + count; t += kWalks) {
      const size_t some = std::min(kWalks, first + count - t);
      if (complete_.depth == 0) walk_trees(layout, t, some, keys, memory.at);
      for (size_t i = 0; i < some && complete_.depth > 0; ++i)
        memory.at[i] = complete_.ends[((t + i) << complete_.depth) + memory.ends[t + i - first]];
      leaves.add_trees(run, layout, t, some, row, memory.at);
    }
  }

  const one_row::Kernels& kernels_;
  const sliced::Kernels& sliced_;
  one_row::Trees<Key> complete_;
  std::vector<Leaf> end_values_;  // [tree][end], where every end is a leaf with a number
};

}  // namespace mlcore::forest

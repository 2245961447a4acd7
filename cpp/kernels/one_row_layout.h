// How the trees of a forest lie for one row (kernels/one_row.h).
#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned_vector.h"
#include "kernels/forest_layout.h"
#include "kernels/one_row.h"

namespace mlcore::one_row {

template <class K>
struct Trees {
  uint32_t depth = 0;  // of the complete trees; 0: walk
  float cost = 0;      // nanoseconds for a row
  uint32_t byte_count = 0;
  std::vector<Bytes> bytes;
  AlignedVector<K> cuts;
  std::vector<uint32_t> sets;
  std::vector<uint8_t> by_code;
  AlignedVector<uint8_t> nodes;  // as Kernels reads them
  std::vector<uint32_t> ends;    // [tree][end]: the leaf's node, counted from the tree's first

  size_t ends_of_a_tree() const { return size_t{1} << depth; }
  // Of `tree` and those after it; side by side a multiple of kTogether.
  const uint8_t* nodes_from(size_t tree, bool side_by_side) const {
    return nodes.data() + 2 * tree * (side_by_side ? ends_of_a_tree() - 1 : ends_of_a_tree());
  }
  Columns<K> columns(const uint32_t* pool) const {
    return {bytes.data(), bytes.size(), cuts.data(), sets.data(), pool, by_code.data()};
  }
};

// Depth 0 where a tree is deeper than kMaxDepth, walks cost less, or a row has more than kMaxBytes bytes.
template <class N>
Trees<typename N::Key> lay_out(const forest::Layout<N>& layout, const Kernels& kernels);

}  // namespace mlcore::one_row

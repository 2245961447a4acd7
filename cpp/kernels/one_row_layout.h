// How the trees of a forest lie for one row (kernels/one_row.h).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/forest_layout.h"
#include "kernels/one_row.h"

namespace mlcore::one_row {

template <class K>
struct Tops {
  uint32_t depth = 0;  // of every top; 0: walk
  bool whole = false;  // every end is a leaf
  float cost = 0;      // nanoseconds for a row
  uint32_t byte_count = 0;
  std::vector<Bytes> bytes;
  std::vector<K> cuts;
  std::vector<uint32_t> sets;
  std::vector<uint8_t>
      nodes;  // as one_row::Kernels reads them; side by side level by level, without a place 0
  std::vector<uint32_t> ends;  // [tree][end]: the node, counted from the tree's first

  size_t ends_of_a_tree() const { return size_t{1} << depth; }
  // Of `tree` and those after it; side by side a multiple of kTogether.
  const uint8_t* nodes_from(size_t tree, bool side_by_side) const {
    return nodes.data() + 2 * tree * (side_by_side ? ends_of_a_tree() - 1 : ends_of_a_tree());
  }
  Columns<K> columns(const uint32_t* pool) const {
    return {bytes.data(), bytes.size(), cuts.data(), sets.data(), pool};
  }
};

// Of the depth that costs least; depth 0 where walks cost less, or a row has more than kMaxBytes bytes.
template <class N>
Tops<typename N::Key> lay_out(const forest::Layout<N>& layout, const Kernels& kernels);

}  // namespace mlcore::one_row

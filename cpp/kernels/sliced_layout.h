// How a forest is sliced: the tests that its trees share, and each tree as a complete tree over their masks.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/forest_layout.h"
#include "kernels/sliced.h"

namespace mlcore::sliced {

// A range of a forest's trees and the tests that they share.
template <class K>
struct Forest {
  size_t first_tree = 0;
  std::vector<Column> columns;
  std::vector<SignedKey<K>> cuts;
  std::vector<uint8_t> classes, sets;
  std::vector<uint32_t> places;
  std::vector<Chain> chains;
  std::vector<Link> links;
  std::vector<uint32_t> splits;
  std::vector<Tree> trees;  // one for each of the range
  std::vector<uint32_t>
      leaf_nodes;  // of all sliced trees, by leaf number: the node, counted from the tree's first
  std::vector<uint32_t> first_leaf;  // by tree; it has 2^bits leaf numbers, and some may be of no leaf
  uint32_t masks = kFirstMask;       // that a block of rows needs
  CategoryRule rule = CategoryRule::none;

  Slices<K> slices(const uint32_t* pool) const {
    return {columns.data(), columns.size(), cuts.data(),   classes.data(), sets.data(), places.data(),
            pool,           chains.data(),  chains.size(), links.data(),   rule};
  }
};

// Slices the trees [first, end): those of up to kMaxLeaves leaves whole, of larger ones their first
// `top_leaves` - 1 splits, level by level; 0 for none. Defined for the nodes of forest_layout.h.
template <class N>
Forest<typename N::Key> slice(const forest::Layout<N>& layout, size_t first, size_t end, CategoryRule rule,
                              uint32_t max_compares, uint32_t top_leaves);

// Leaves of the top of a large tree: one more level costs less than a step of a walk.
template <class K>
uint32_t best_top(const Costs& costs);

// Nanoseconds that a row of a large block takes; the trees that are not sliced, and what lies below the tops
// of others, apart.
template <class K>
float cost_of(const Forest<K>& forest, const Costs& costs);

}  // namespace mlcore::sliced

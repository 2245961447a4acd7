// How a forest is sliced: the tests that its trees share, and each tree as a complete tree over their masks.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/forest_layout.h"
#include "kernels/sliced.h"

namespace mlcore::sliced {

template <class K>
struct Forest {
  std::vector<Column> columns;
  std::vector<SignedKey<K>> cuts;
  std::vector<uint8_t> classes, sets;
  std::vector<uint32_t> places;
  std::vector<Chain> chains;
  std::vector<Link> links;
  std::vector<uint32_t> splits;
  std::vector<Tree> trees;  // one for each of the layout's
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

// Slices the trees of up to kMaxLeaves leaves. Defined for the nodes of forest_layout.h.
template <class N>
Forest<typename N::Key> slice(const forest::Layout<N>& layout, CategoryRule rule, uint32_t max_compares);

// Nanoseconds that a row of a large block takes; the trees that are not sliced apart.
template <class K>
float cost_of(const Forest<K>& forest, const Costs& costs);

}  // namespace mlcore::sliced

// The loops of the forest evaluator: from keys of rows to the leaf that each row reaches.
#pragma once

#include <cstdint>

#include "kernels/forest_layout.h"

namespace mlcore::forest {

// Walks in flight together: enough to hide the latency of one behind the others.
inline constexpr int64_t kLanes = 8;

template <class N>
uint32_t step(const N* nodes, uint32_t at, const typename N::Key* keys) {
  const N& node = nodes[at];
  return node.left + static_cast<uint32_t>(keys[node.column] > node.span);
}

// `keys` is anything that gives the key of a column.
template <class N, class Keys>
constexpr uint32_t step_any(const N* nodes, uint32_t at, const Keys& keys, const uint32_t* pool) {
  const N& node = nodes[at];
  if ((node.column & N::kCategory) == 0)
    return node.left + static_cast<uint32_t>(keys[node.column] > node.span);
  const auto code = keys[node.column & static_cast<typename N::Index>(~N::kCategory)];
  return node.left + goes_right(pool + node.span, code);
}

template <class N, class Keys>
constexpr uint32_t walk_any(const N* nodes, const Keys& keys, const uint32_t* pool, uint32_t at = 0) {
  for (;;) {
    const uint32_t next = step_any(nodes, at, keys, pool);
    if (next == at) return at;
    at = next;
  }
}

// One row through kLanes trees, whose nodes begin at `nodes[k]`.
template <class N>
void walk_lanes(const N* const* nodes, const typename N::Key* keys, uint32_t free_steps, uint32_t depth,
                uint32_t* at) {
  uint32_t lane[kLanes] = {};
  for (uint32_t s = 0; s < free_steps; ++s)
    for (int64_t k = 0; k < kLanes; ++k) lane[k] = step(nodes[k], lane[k], keys);
  for (uint32_t s = free_steps; s < depth; ++s) {
    uint32_t moved = 0;
    for (int64_t k = 0; k < kLanes; ++k) {
      const uint32_t next = step(nodes[k], lane[k], keys);
      moved |= next ^ lane[k];
      lane[k] = next;
    }
    if (moved == 0) break;
  }
  for (int64_t k = 0; k < kLanes; ++k) at[k] = lane[k];
}

// One tree, many rows. `keys` is row-major; `rows` is a multiple of kLanes; at[r]: the node that row r begins
// at, no split of which is less than `skipped` steps below the root, then the one that it ends in.
template <class N>
void walk_rows(const Layout<N>& layout, const Tree& tree, uint32_t skipped, const typename N::Key* keys,
               int64_t rows, uint32_t* at) {
  const N* nodes = layout.nodes.data() + tree.first;
  const size_t stride = layout.columns.size();
  if (tree.categories) {
    for (int64_t r = 0; r < rows; ++r)
      at[r] = walk_any(nodes, keys + static_cast<size_t>(r) * stride, layout.pool.data(), at[r]);
    return;
  }
  const uint32_t free_steps = tree.free_steps > skipped ? tree.free_steps - skipped : 0;
  const uint32_t steps = tree.depth - skipped;
  for (int64_t r = 0; r < rows; r += kLanes) {
    const typename N::Key* row = keys + static_cast<size_t>(r) * stride;
    uint32_t lane[kLanes];
    for (int64_t k = 0; k < kLanes; ++k) lane[k] = at[r + k];
    for (uint32_t s = 0; s < free_steps; ++s)
      for (int64_t k = 0; k < kLanes; ++k)
        lane[k] = step(nodes, lane[k], row + static_cast<size_t>(k) * stride);
    for (uint32_t s = free_steps; s < steps; ++s) {
      uint32_t moved = 0;
      for (int64_t k = 0; k < kLanes; ++k) {
        const uint32_t next = step(nodes, lane[k], row + static_cast<size_t>(k) * stride);
        moved |= next ^ lane[k];
        lane[k] = next;
      }
      if (moved == 0) break;
    }
    for (int64_t k = 0; k < kLanes; ++k) at[r + k] = lane[k];
  }
}

// One row, the trees [first, first + count): at[i] is the node that it ends in.
template <class N>
void walk_trees(const Layout<N>& layout, size_t first, size_t count, const typename N::Key* keys,
                uint32_t* at) {
  const Tree* trees = layout.trees.data() + first;
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const N* nodes[kLanes];
    uint32_t free_steps = 0, depth = 0;
    bool categories = false;
    for (size_t k = 0; k < kLanes; ++k) {
      const Tree& tree = trees[i + k];
      nodes[k] = layout.nodes.data() + tree.first;
      free_steps = tree.free_steps > free_steps ? tree.free_steps : free_steps;
      depth = tree.depth > depth ? tree.depth : depth;
      categories |= tree.categories;
    }
    if (categories)
      for (size_t k = 0; k < kLanes; ++k) at[i + k] = walk_any(nodes[k], keys, layout.pool.data());
    else walk_lanes(nodes, keys, free_steps, depth, at + i);
  }
  for (; i < count; ++i) at[i] = walk_any(layout.nodes.data() + trees[i].first, keys, layout.pool.data());
}

}  // namespace mlcore::forest

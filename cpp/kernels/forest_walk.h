// The loops of the forest evaluator: from keys of rows to the leaf that each row reaches.
#pragma once

#include <algorithm>
#include <bit>
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
template <class N>
uint32_t step(const N* nodes, uint32_t at, const typename N::Key* keys, typename N::Index mask) {
  const N& node = nodes[at];
  return node.left + static_cast<uint32_t>(keys[node.column & mask] > node.span);
}

// Row-major keys of many rows; `mask`: what of a node's column is its place in a row.
template <class N>
struct RowKeys {
  const typename N::Key* keys;
  size_t stride;
  typename N::Index mask = static_cast<typename N::Index>(~typename N::Index{0});
};

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

// Steps after which walk_sorted sorts: few rows then share a node.
inline uint32_t steps_before_sort(int64_t rows) {
  return static_cast<uint32_t>(std::bit_width(static_cast<uint64_t>(rows))) - 2;
}
// Words of memory that walk_sorted needs for up to so many rows.
inline size_t words_of_sort(int64_t rows) {
  return static_cast<size_t>(rows) + (size_t{2} << steps_before_sort(rows)) + 1;
}

// walk_rows from the root, for a tree without categories that does not stay in the first-level cache, and
// many rows (kSortedRows at least): after some steps the rows are sorted by their nodes. Rows that walk on
// side by side then read the same part of the tree, and are about as deep.
inline constexpr int64_t kSortedRows = 1024;
template <class N>
void walk_sorted(const Layout<N>& layout, const Tree& tree, const RowKeys<N>& rows_keys, int64_t rows,
                 uint32_t* at, uint32_t* memory) {
  using Key = typename N::Key;
  const N* nodes = layout.nodes.data() + tree.first;
  const auto [keys, stride, mask] = rows_keys;
  const uint32_t top = std::min(steps_before_sort(rows), tree.free_steps);
  for (int64_t r = 0; r < rows; r += kLanes) {
    const Key* row = keys + static_cast<size_t>(r) * stride;
    uint32_t lane[kLanes] = {};
    for (uint32_t s = 0; s < top; ++s)
      for (int64_t k = 0; k < kLanes; ++k)
        lane[k] = step(nodes, lane[k], row + static_cast<size_t>(k) * stride, mask);
    for (int64_t k = 0; k < kLanes; ++k) at[r + k] = lane[k];
  }
  // nodes lie level by level, so those that `top` steps lead to are among the first
  const size_t most = size_t{2} << top;
  uint32_t* const order = memory;
  uint32_t* const place = memory + rows;  // by node: the next place of a row in it
  std::fill_n(place, most + 1, 0u);
  for (int64_t r = 0; r < rows; ++r) ++place[at[r] + 1];
  for (size_t node = 0; node < most; ++node) place[node + 1] += place[node];
  for (int64_t r = 0; r < rows; ++r) order[place[at[r]]++] = static_cast<uint32_t>(r);

  for (int64_t r = 0; r < rows;) {
    constexpr int64_t kWide = 2 * kLanes;
    const int64_t count = std::min(kWide, rows - r);  // kLanes or kWide
    uint32_t lane[kWide] = {};
    const Key* row[kWide];
    for (int64_t k = 0; k < kWide; ++k) {
      const uint32_t one = order[r + (k < count ? k : 0)];
      lane[k] = at[one];
      row[k] = keys + one * stride;
    }
    for (uint32_t s = top; s < tree.free_steps; ++s)
      for (int64_t k = 0; k < kWide; ++k) lane[k] = step(nodes, lane[k], row[k], mask);
    for (uint32_t s = tree.free_steps; s < tree.depth; ++s) {
      uint32_t moved = 0;
      for (int64_t k = 0; k < kWide; ++k) {
        const uint32_t next = step(nodes, lane[k], row[k], mask);
        moved |= next ^ lane[k];
        lane[k] = next;
      }
      if (moved == 0) break;
    }
    for (int64_t k = 0; k < count; ++k) at[order[r + k]] = lane[k];
    r += count;
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

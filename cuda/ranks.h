// Numbers of rows as ranks among the cuts of their column, so that every split compares two small integers.
// A set of categories is a column of its own, whose ranks are 0 (left) and 1 (right).
#pragma once

#include <bit>
#include <limits>
#include <optional>
#include <vector>

#include "forest.h"
#include "kernels/forest_tests.h"

namespace mlcore::device {

inline constexpr uint32_t kMaxRank = 65535;

struct RankColumn {
  forest::View view;
  uint8_t levels;  // of the search tree
  int32_t feature;
  uint32_t place;  // of the search tree among the cuts, or of the set in the pool
  uint32_t cuts;
};

// The columns in the device's memory.
template <class Key>
struct Ranks {
  using Float = forest::FloatOf<Key>;

  const RankColumn* columns;
  int32_t count;
  // Of each column a search tree of 2^levels places: the root at 1, the children of i at 2i and 2i + 1. The
  // nodes of a level lie side by side, so that up to 32 of them are read from as many banks.
  const Key* cuts;
  const uint32_t* pool;

  // Of kCount rows, `step` apart from `first`; those from `rows` on get rank 0.
  template <int kCount, class Leaf>
  MLCORE_BODY void of(const LeafView<Key, Leaf>& view, const RankColumn& column, int64_t first, int64_t step,
                      uint32_t* ranks) const {
    Key keys[kCount];
    const Float* data = view.data + column.feature * view.stride;
    MLCORE_UNROLL for (int k = 0; k < kCount; ++k) {
      const int64_t row = first + k * step;
      keys[k] = row < view.rows ? key_in<Key>(column.view, data[row], view.rule) : Key{0};
    }
    if (column.view == forest::View::category) {
      MLCORE_UNROLL for (int k = 0; k < kCount; ++k) ranks[k] =
          forest::goes_right(pool + column.place, keys[k]);
      return;
    }
    const Key* tree = cuts + column.place;
    MLCORE_UNROLL for (int k = 0; k < kCount; ++k) ranks[k] = 1;
    for (uint32_t level = 0; level < column.levels; ++level)
      MLCORE_UNROLL for (int k = 0; k < kCount; ++k) ranks[k] =
          2 * ranks[k] + static_cast<uint32_t>(tree[ranks[k]] < keys[k]);
    MLCORE_UNROLL for (int k = 0; k < kCount; ++k) ranks[k] -= 1u << column.levels;
  }
};

// The columns of a forest, as they are made.
template <class N>
struct RankColumns {
  using Key = typename N::Key;

  std::vector<RankColumn> columns;
  std::vector<Key> cuts;
  std::vector<uint32_t> first;  // by column of the layout: that of its numbers, or of its first set
  uint32_t most_cuts = 0;       // of a column
  forest::Tests<N> tests;

  // A row goes right where its rank in the column is above the cut's number.
  struct Split {
    uint32_t column, cut;
  };
  Split of(const N& node) const { return of(node.column_index(), tests.find(node)); }
  Split of(size_t column, uint32_t test) const {
    if (tests.is_category(column)) return {first[column] + test, 0};
    return {first[column], test};
  }

  explicit RankColumns(const forest::Layout<N>& layout) : tests(layout) {
    for (size_t tree = 0; tree < layout.trees.size(); ++tree) {
      const N* nodes = layout.nodes.data() + layout.trees[tree].first;
      for (size_t at = 0; at < forest::size_of_tree(layout, tree); ++at)
        if (!forest::is_leaf(nodes, at)) tests.add(nodes[at]);
    }
    tests.sort();
    for (size_t column = 0; column < layout.columns.size(); ++column) {
      first.push_back(static_cast<uint32_t>(columns.size()));
      const forest::Column& source = layout.columns[column];
      if (tests.is_category(column)) {
        for (Key place : tests.of(column))
          columns.push_back({source.view, 0, source.feature, static_cast<uint32_t>(place), 1});
        most_cuts = std::max(most_cuts, 1u);
      } else {
        add_search_tree(source, tests.of(column));
      }
    }
  }

 private:
  void add_search_tree(const forest::Column& source, const std::vector<Key>& sorted) {
    const auto count = static_cast<uint32_t>(sorted.size());
    const auto levels = static_cast<uint32_t>(std::bit_width(count));
    const uint32_t size = 1u << levels;
    cuts.resize((cuts.size() + 31) / 32 * 32, 0);  // 32 nodes of a level are one line of the cache
    columns.push_back({source.view, static_cast<uint8_t>(levels), source.feature,
                       static_cast<uint32_t>(cuts.size()), count});
    most_cuts = std::max(most_cuts, count);
    Key* const tree =
        (cuts.resize(cuts.size() + size, std::numeric_limits<Key>::max()), &cuts.back() + 1 - size);
    for (uint32_t node = 1; node < size; ++node) {
      const auto level = static_cast<uint32_t>(std::bit_width(node)) - 1;
      const uint32_t step = size >> level;
      const uint32_t rank = (node - (1u << level)) * step + step / 2 - 1;
      if (rank < count) tree[node] = sorted[rank];
    }
  }
};

}  // namespace mlcore::device

// The different tests of some nodes of a forest, by column: bounds of numbers, or sets of categories.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "kernels/forest_layout.h"

namespace mlcore::forest {

// Words of all sets of categories up to which they are listed: sorting them has its price.
inline constexpr size_t kMaxSetWords = size_t{1} << 22;

// A set of Layout::pool as it stands there.
inline std::span<const uint32_t> set_at(const std::vector<uint32_t>& pool, size_t place) {
  return {pool.data() + place, 1 + (size_t{pool[place]} + 31) / 32};
}

template <class N>
class Tests {
  using K = typename N::Key;

 public:
  explicit Tests(const Layout<N>& layout) : layout_(&layout), tests_(layout.columns.size()) {}

  void add(const N& node) { tests_[node.column_index()].push_back(node.span); }

  // In order, each once.
  void sort() {
    for (size_t column = 0; column < tests_.size(); ++column) {
      auto& tests = tests_[column];
      in_order(column, [&](auto before) {
        std::sort(tests.begin(), tests.end(), before);
        tests.erase(std::unique(tests.begin(), tests.end(), [&](K a, K b) { return !before(a, b); }),
                    tests.end());
      });
    }
  }

  // Spans of nodes: the largest keys that go left, or places of sets in the layout's pool.
  const std::vector<K>& of(size_t column) const { return tests_[column]; }

  // The number of a node's test among those of its column.
  uint32_t find(const N& node) const {
    const auto& tests = tests_[node.column_index()];
    uint32_t found = 0;
    in_order(node.column_index(), [&](auto before) {
      found = static_cast<uint32_t>(std::lower_bound(tests.begin(), tests.end(), node.span, before) -
                                    tests.begin());
    });
    return found;
  }

  // Codes that the sets of a column list; for all others they say what they say of kCodeLarge.
  uint32_t codes(size_t column) const {
    uint32_t codes = 0;
    for (K place : tests_[column]) codes = std::max(codes, layout_->pool[static_cast<size_t>(place)]);
    return codes;
  }

  bool is_category(size_t column) const { return layout_->columns[column].view == View::category; }

 private:
  template <class F>
  void in_order(size_t column, F f) const {
    if (is_category(column)) f([this](K a, K b) { return is_set_before(a, b); });
    else f([](K a, K b) { return a < b; });
  }

  bool is_set_before(K a, K b) const {
    const auto left = set_at(layout_->pool, static_cast<size_t>(a));
    const auto right = set_at(layout_->pool, static_cast<size_t>(b));
    return std::lexicographical_compare(left.begin(), left.end(), right.begin(), right.end());
  }

  const Layout<N>* layout_;
  std::vector<std::vector<K>> tests_;
};

}  // namespace mlcore::forest

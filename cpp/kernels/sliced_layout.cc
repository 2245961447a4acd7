#include "kernels/sliced_layout.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "kernels/forest_tests.h"

namespace mlcore::sliced {
namespace {

using forest::is_leaf, forest::Layout, forest::size_of_tree;

constexpr size_t kMaxClassCodes = 1 << 16;             // categories of a column that are put into classes
constexpr uint64_t kMaxClassWork = uint64_t{1} << 26;  // times its sets

constexpr float kMemoryCost = 0.012f;  // nanoseconds per row and mask beyond it

template <class N>
class Builder {
  using K = typename N::Key;

 public:
  Builder(const Layout<N>& layout, size_t first, size_t end, CategoryRule rule, uint32_t max_compares,
          uint32_t top_leaves)
      : layout_(layout), max_compares_(max_compares), top_leaves_(top_leaves), tests_(layout) {
    out_.first_tree = first;
    out_.trees.resize(end - first);
    out_.rule = rule;
  }

  Forest<K> build() {
    find_trees();
    for (size_t column = 0; column < layout_.columns.size(); ++column) add_column(column);
    // search trees are read a few registers at a time
    out_.cuts.insert(out_.cuts.end(), 32, std::numeric_limits<SignedKey<K>>::max());
    for (size_t tree = 0; tree < out_.trees.size(); ++tree) {
      out_.first_leaf.push_back(static_cast<uint32_t>(out_.leaf_nodes.size()));
      if (out_.trees[tree].bits != kNotSliced) add_tree(tree);
    }
    std::stable_sort(out_.chains.begin(), out_.chains.end(),
                     [](const Chain& a, const Chain& b) { return a.links < b.links; });
    return std::move(out_);
  }

 private:
  void find_trees() {
    tops_.resize(out_.trees.size());
    for (size_t i = 0; i < out_.trees.size(); ++i) {
      const forest::Tree& source = layout_.trees[out_.first_tree + i];
      const N* nodes = layout_.nodes.data() + source.first;
      const size_t size = size_of_tree(layout_, out_.first_tree + i);
      const size_t leaves = (size + 1) / 2;  // every split has two children
      Tree& tree = out_.trees[i];
      const bool large_sets = source.categories && layout_.pool.size() > forest::kMaxSetWords;
      const bool whole = leaves <= kMaxLeaves;
      if (large_sets || (!whole && top_leaves_ == 0)) {
        tree.bits = kNotSliced;
        continue;
      }
      tree.bits = static_cast<uint32_t>(std::bit_width((whole ? leaves : top_leaves_) - 1));
      tops_[i] = whole ? size : top_of(nodes, tree);
      for (size_t node = 0; node < tops_[i]; ++node)
        if (!is_leaf(nodes, node)) tests_.add(nodes[node]);
    }
    tests_.sort();
  }

  // The end of the first splits of a tree, whose nodes lie level by level, and the steps to the next split.
  size_t top_of(const N* nodes, Tree& tree) const {
    size_t end = 0, level_end = 1, next_level_end = 1;
    uint32_t depth = 0;
    for (uint32_t splits = 0;; ++end) {
      if (end == level_end) {
        level_end = next_level_end;
        ++depth;
      }
      if (is_leaf(nodes, end)) continue;
      if (splits == top_leaves_ - 1) break;
      ++splits;
      next_level_end = size_t{nodes[end].left} + 2;
    }
    tree.skipped = depth;
    return end;
  }

  void add_column(size_t index) {
    const std::vector<K>& tests = tests_.of(index);
    if (tests.empty()) return;
    const forest::Column& source = layout_.columns[index];
    const auto count = static_cast<uint32_t>(tests.size());
    Column column{source.view, Encoding::codes, source.feature, out_.masks, count, 0, 0, 0};
    out_.masks += count;
    if (!tests_.is_category(index)) add_cuts(tests, column);
    else if (!add_classes(index, column)) {
      column.data = static_cast<uint32_t>(out_.places.size());
      for (K place : tests) out_.places.push_back(static_cast<uint32_t>(place));
    }
    first_mask_.resize(layout_.columns.size());
    first_mask_[index] = column.first;
    out_.columns.push_back(column);
  }

  void add_cuts(const std::vector<K>& tests, Column& column) {
    column.data = static_cast<uint32_t>(out_.cuts.size());
    if (tests.size() <= max_compares_) {
      column.encoding = Encoding::compares;
      for (K cut : tests) out_.cuts.push_back(flipped(cut));
      return;
    }
    column.encoding = Encoding::ranks;
    column.size = static_cast<uint32_t>(std::bit_width(tests.size()));
    const size_t size = size_t{1} << column.size;
    out_.cuts.resize(column.data + size, std::numeric_limits<SignedKey<K>>::max());
    // in the order of the cuts, the nodes of a level are every second of those that the levels below leave
    // out
    for (size_t node = 1; node < size; ++node) {
      const auto level = static_cast<int>(std::bit_width(node)) - 1;
      const size_t step = size >> level;
      const size_t rank = (node - (size_t{1} << level)) * step + step / 2 - 1;
      if (rank < tests.size()) out_.cuts[column.data + node] = flipped(tests[rank]);
    }
  }

  // False when there are too many classes or too much work.
  bool add_classes(size_t index, Column& column) {
    const std::vector<K>& tests = tests_.of(index);
    const uint32_t codes = tests_.codes(index);
    if (codes > kMaxClassCodes || uint64_t{codes} * tests.size() > kMaxClassWork) return false;
    std::vector<uint32_t> class_of(codes, 0);
    uint32_t count = 1;
    for (K place : tests) {
      const auto set = forest::set_at(layout_.pool, static_cast<size_t>(place));
      std::array<std::array<uint32_t, 2>, kMaxClasses> split{};  // class and side: the new class, plus one
      uint32_t found = 0;
      for (uint32_t code = 0; code < codes; ++code) {
        uint32_t& to = split[class_of[code]][forest::goes_right(set.data(), code)];
        if (to == 0) {
          if (found == kMaxClasses) return false;
          to = ++found;
        }
        class_of[code] = to - 1;
      }
      count = found;
    }
    std::vector<uint32_t> member(count);
    for (uint32_t code = 0; code < codes; ++code) member[class_of[code]] = code;
    column.encoding = Encoding::classes;
    column.data = static_cast<uint32_t>(out_.classes.size());
    column.size = codes;
    column.sets = static_cast<uint32_t>(out_.sets.size());
    for (uint32_t code : class_of) out_.classes.push_back(static_cast<uint8_t>(code));
    for (K place : tests) {
      const auto set = forest::set_at(layout_.pool, static_cast<size_t>(place));
      const size_t first = out_.sets.size();
      out_.sets.resize(first + kMaxClasses / 8);
      for (uint32_t c = 0; c < count; ++c)
        if (forest::goes_right(set.data(), member[c]))
          out_.sets[first + c / 8] |= static_cast<uint8_t>(1 << (c % 8));
    }
    return true;
  }

  uint32_t mask_of(const N& node) const { return first_mask_[node.column_index()] + tests_.find(node); }

  // A split of the tree at hand. The leaves below it are [first, end), those on its right [middle, end).
  struct Split {
    uint32_t mask, first, middle, end, depth;
    int32_t parent;
  };

  void add_tree(size_t index) {
    const N* nodes = layout_.nodes.data() + layout_.trees[out_.first_tree + index].first;
    top_ = tops_[index];
    splits_.clear();
    leaves_.clear();
    add_node(nodes, 0, -1, 0);
    // every split is between two leaves, and every two neighbours have one between them
    split_before_.assign(leaves_.size(), 0);
    for (size_t i = 0; i < splits_.size(); ++i) split_before_[splits_[i].middle] = i;
    Tree& tree = out_.trees[index];
    tree.first_split = static_cast<uint32_t>(out_.splits.size());
    out_.splits.resize(out_.splits.size() + (size_t{1} << tree.bits) - 1, kZeros);
    const size_t first_leaf = out_.leaf_nodes.size();
    out_.leaf_nodes.resize(first_leaf + (size_t{1} << tree.bits));
    complete(tree, 1, 0, static_cast<uint32_t>(leaves_.size()), tree.bits,
             out_.leaf_nodes.data() + first_leaf);
  }

  void add_node(const N* nodes, size_t node, int32_t parent, uint32_t depth) {
    if (node >= top_ || is_leaf(nodes, node)) {
      leaves_.push_back(static_cast<uint32_t>(node));
      return;
    }
    const size_t at = splits_.size();
    const auto first = static_cast<uint32_t>(leaves_.size());
    splits_.push_back({mask_of(nodes[node]), first, 0, 0, depth, parent});
    add_node(nodes, nodes[node].left, static_cast<int32_t>(at), depth + 1);
    splits_[at].middle = static_cast<uint32_t>(leaves_.size());
    add_node(nodes, size_t{nodes[node].left} + 1, static_cast<int32_t>(at), depth + 1);
    splits_[at].end = static_cast<uint32_t>(leaves_.size());
  }

  // Node `node` of the complete tree, `height` above its leaves, tells the leaves [first, end) apart.
  void complete(const Tree& tree, uint32_t node, uint32_t first, uint32_t end, uint32_t height,
                uint32_t* numbers) {
    if (height == 0) {
      *numbers = leaves_[first];
      return;
    }
    const uint32_t half = 1u << (height - 1);
    if (end - first == 1)  // the split stays kZeros: all go left
      return complete(tree, 2 * node, first, end, height - 1, numbers);
    // the highest split of the tree whose sides both fit
    uint32_t middle = end - first > half ? end - half : first + 1;
    const uint32_t last = end - first > half ? first + half : end - 1;
    for (uint32_t m = middle; m <= last; ++m)
      if (splits_[split_before_[m]].depth < splits_[split_before_[middle]].depth) middle = m;
    out_.splits[tree.first_split + node - 1] = mask_between(first, middle, end);
    complete(tree, 2 * node, first, middle, height - 1, numbers);
    complete(tree, 2 * node + 1, middle, end, height - 1, numbers + half);
  }

  // A mask that is set for leaves [middle, end), not set for [first, middle), and whatever for others.
  uint32_t mask_between(uint32_t first, uint32_t middle, uint32_t end) {
    const Split& lowest = splits_[split_before_[middle]];
    const auto first_link = static_cast<uint32_t>(out_.links.size());
    for (int32_t up = lowest.parent; up >= 0; up = splits_[static_cast<size_t>(up)].parent) {
      const Split& split = splits_[static_cast<size_t>(up)];
      const bool on_left = middle < split.middle;
      // a side without leaves of the range changes nothing
      if (on_left ? split.middle < end : first < split.middle)
        out_.links.push_back({split.mask, on_left ? kOnes : kZeros});
    }
    const auto links = static_cast<uint32_t>(out_.links.size()) - first_link;
    if (links == 0) return lowest.mask;
    out_.chains.push_back({out_.masks, lowest.mask, first_link, links});
    return out_.masks++;
  }

  const Layout<N>& layout_;
  uint32_t max_compares_, top_leaves_;
  Forest<K> out_;
  std::vector<size_t> tops_;  // by tree: the end of the nodes whose splits are sliced
  size_t top_ = 0;            // of the tree at hand
  forest::Tests<N> tests_;
  std::vector<uint32_t> first_mask_;  // by column of the layout
  std::vector<Split> splits_;         // of the tree at hand
  std::vector<uint32_t> leaves_;      // its leaves, from left to right
  std::vector<size_t> split_before_;  // by leaf but the first: the split between it and the one before
};

}  // namespace

template <class N>
Forest<typename N::Key> slice(const Layout<N>& layout, size_t first, size_t end, CategoryRule rule,
                              uint32_t max_compares, uint32_t top_leaves) {
  return Builder<N>(layout, first, end, rule, max_compares, top_leaves).build();
}
template Forest<uint32_t> slice(const Layout<forest::Narrow32>&, size_t, size_t, CategoryRule, uint32_t,
                                uint32_t);
template Forest<uint32_t> slice(const Layout<forest::Wide32>&, size_t, size_t, CategoryRule, uint32_t,
                                uint32_t);
template Forest<uint64_t> slice(const Layout<forest::Wide64>&, size_t, size_t, CategoryRule, uint32_t,
                                uint32_t);

template <class K>
uint32_t best_top(const Costs& costs) {
  const float step = sizeof(K) == 8 ? kStepCost64 : kStepCost32;
  uint32_t leaves = kMaxLeaves;
  while (leaves > 16 && static_cast<float>(leaves / 2) * (costs.mask + costs.split) > step) leaves /= 2;
  return leaves;
}
template uint32_t best_top<uint32_t>(const Costs&);
template uint32_t best_top<uint64_t>(const Costs&);

template <class K>
float cost_of(const Forest<K>& forest, const Costs& costs) {
  constexpr bool kWide = sizeof(K) == 8;
  float total = 0;
  for (const Column& column : forest.columns) {
    const auto count = static_cast<float>(column.count);
    total += costs.key;
    switch (column.encoding) {
      case Encoding::compares: total += count * (kWide ? costs.compare64 : costs.compare32); break;
      case Encoding::ranks:
        total +=
            static_cast<float>(column.size) * (kWide ? costs.level64 : costs.level32) + count * costs.mask;
        break;
      case Encoding::classes: total += 0.5f + count * costs.member; break;
      case Encoding::codes: total += count * costs.code; break;
    }
  }
  for (const Chain& chain : forest.chains) total += static_cast<float>(chain.links + 1) * costs.mask;
  for (const Tree& tree : forest.trees)
    if (tree.bits != kNotSliced)
      total += static_cast<float>(1u << tree.bits) * costs.split + (kWide ? costs.leaf64 : costs.leaf32);
  if (forest.masks > kCachedMasks) total += static_cast<float>(forest.masks) * kMemoryCost;
  return total;
}
template float cost_of(const Forest<uint32_t>&, const Costs&);
template float cost_of(const Forest<uint64_t>&, const Costs&);

}  // namespace mlcore::sliced

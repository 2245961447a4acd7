#include "kernels/one_row_layout.h"

#include <algorithm>
#include <limits>

#include "kernels/forest_tests.h"

namespace mlcore::one_row {
namespace {

using forest::is_leaf, forest::Layout;

constexpr uint32_t kMaxNestedCodes = 1 << 13;
constexpr size_t kMaxTableBytes = 1 << 14;  // of a column: it shall stay in the first-level cache
constexpr size_t kMaxEnds = 8;              // for each node of the forest

template <class N>
class Builder {
  using K = typename N::Key;

 public:
  Builder(const Layout<N>& layout, const Kernels& kernels)
      : layout_(layout), side_by_side_(kernels.masks != nullptr), costs_(kernels.costs), tests_(layout) {}

  Trees<K> build() {
    for (const forest::Tree& tree : layout_.trees) out_.depth = std::max(out_.depth, tree.depth);
    if (out_.depth == 0 || out_.depth > kMaxDepth) return {};
    out_.cost = cost();
    if (out_.cost >= walk_cost() || layout_.pool.size() > forest::kMaxSetWords ||
        (layout_.trees.size() << out_.depth) > kMaxEnds * layout_.nodes.size() || !list_tests())
      return {};
    add_columns();
    const size_t trees = layout_.trees.size();
    out_.nodes.resize(
        2 * (side_by_side_ ? groups() * (out_.ends_of_a_tree() - 1) * kTogether : trees << out_.depth));
    // what is no split has a bound that no byte is above
    const size_t run = side_by_side_ ? kTogether : 1;
    for (size_t i = run; i < out_.nodes.size(); i += 2 * run)
      std::fill_n(out_.nodes.begin() + static_cast<ptrdiff_t>(i), run, kMaxRank);
    out_.ends.resize(trees << out_.depth);
    for (size_t tree = 0; tree < trees; ++tree) add_node(tree, 0, 1, 0);
    return std::move(out_);
  }

 private:
  const N* nodes_of(size_t tree) const { return layout_.nodes.data() + layout_.trees[tree].first; }

  float walk_cost() const {
    float steps = 0;
    for (const forest::Tree& tree : layout_.trees) steps += 1 + tree.mean_depth;
    return steps * kWalkCost;
  }

  float cost() const {
    const auto trees = static_cast<float>(layout_.trees.size());
    const float nodes = side_by_side_
                            ? static_cast<float>(groups() * (out_.ends_of_a_tree() - 1)) * costs_.node
                            : trees * static_cast<float>(out_.depth) * costs_.step;
    return nodes + trees * kTreeCost + static_cast<float>(layout_.columns.size()) * kColumnCost;
  }

  size_t groups() const { return (layout_.trees.size() + kTogether - 1) / kTogether; }

  // The tests of the trees; false when there are too many for the bytes of a row.
  bool list_tests() {
    for (size_t tree = 0; tree < layout_.trees.size(); ++tree)
      for (size_t node = 0; node < forest::size_of_tree(layout_, tree); ++node)
        if (!is_leaf(nodes_of(tree), node)) tests_.add(nodes_of(tree)[node]);
    tests_.sort();
    nested_.resize(layout_.columns.size());
    size_t bytes = 0;
    for (size_t column = 0; column < layout_.columns.size(); ++column) {
      const size_t count = tests_.of(column).size();
      if (tests_.is_category(column)) nested_[column] = nest(column);
      bytes +=
          tests_.is_category(column) && nested_[column].empty() ? count : (count + kMaxRank - 1) / kMaxRank;
    }
    return bytes <= kMaxBytes;
  }

  // The bound of each of a column's sets, when each contains the next smaller one: how many sets a code is in
  // then tells in which. Splits on an ordinal or target encoding become such sets. Empty: they are not so.
  std::vector<uint8_t> nest(size_t column) const {
    const std::vector<K>& sets = tests_.of(column);
    const uint32_t codes = tests_.codes(column);
    if (sets.size() < 2 || sets.size() > kMaxRank || codes > kMaxNestedCodes) return {};
    const auto holds = [&](size_t set, uint32_t code) {
      return forest::goes_right(layout_.pool.data() + sets[set], code) != 0;
    };
    std::vector<uint32_t> size(sets.size()), order(sets.size());
    for (uint32_t set = 0; set < sets.size(); ++set) {
      order[set] = set;
      for (uint32_t code = 0; code < codes; ++code) size[set] += holds(set, code) ? 1 : 0;
    }
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return size[a] < size[b]; });
    std::vector<uint8_t> bounds(sets.size());
    for (size_t i = 0; i < order.size(); ++i) {
      bounds[order[i]] = static_cast<uint8_t>(sets.size() - 1 - i);
      for (uint32_t code = 0; i > 0 && code < codes; ++code)
        if (holds(order[i - 1], code) && !holds(order[i], code)) return {};
    }
    return bounds;
  }

  void add_columns() {
    first_byte_.resize(layout_.columns.size());
    for (size_t column = 0; column < layout_.columns.size(); ++column) {
      const std::vector<K>& tests = tests_.of(column);
      if (tests.empty()) continue;
      const auto count = static_cast<uint32_t>(tests.size());
      Bytes bytes{static_cast<uint32_t>(column), kSets, out_.byte_count, count, 0, 0};
      first_byte_[column] = out_.byte_count;
      if (!nested_[column].empty()) {
        add_nested(column, bytes);
      } else if (tests_.is_category(column) && size_t{tests_.codes(column)} * count <= kMaxTableBytes) {
        add_table(column, bytes);
      } else if (tests_.is_category(column)) {
        bytes.data = static_cast<uint32_t>(out_.sets.size());
        for (K place : tests) out_.sets.push_back(static_cast<uint32_t>(place));
      } else {
        if (count > 1) start_line();
        bytes.data = static_cast<uint32_t>(out_.cuts.size());
        bytes.count = (count + kMaxRank - 1) / kMaxRank;
        bytes.kind = count == 1 ? kOneCut : kOneCut + add_search_tree(tests);
        if (count == 1) out_.cuts.push_back(tests[0]);
      }
      out_.byte_count += bytes.count;
      out_.bytes.push_back(bytes);
    }
    out_.by_code.resize(out_.by_code.size() + kCopied);  // the last line is copied in whole pieces, too
    // the loop's branches are foreseen when alike columns are neighbours
    std::stable_sort(out_.bytes.begin(), out_.bytes.end(),
                     [](const Bytes& a, const Bytes& b) { return a.kind < b.kind; });
  }

  void add_table(size_t column, Bytes& bytes) {
    bytes.kind = kTable;
    bytes.data = static_cast<uint32_t>(out_.by_code.size());
    bytes.size = tests_.codes(column);
    for (uint32_t code = 0; code < bytes.size; ++code)
      for (K place : tests_.of(column))
        out_.by_code.push_back(static_cast<uint8_t>(forest::goes_right(layout_.pool.data() + place, code)));
  }

  void add_nested(size_t column, Bytes& bytes) {
    bytes.kind = kNested;
    bytes.count = 1;
    bytes.data = static_cast<uint32_t>(out_.by_code.size());
    bytes.size = tests_.codes(column);
    for (uint32_t code = 0; code < bytes.size; ++code) {
      uint32_t in = 0;
      for (K place : tests_.of(column)) in += forest::goes_right(layout_.pool.data() + place, code);
      out_.by_code.push_back(static_cast<uint8_t>(in));
    }
  }

  void start_line() { out_.cuts.resize((out_.cuts.size() + kFan - 1) / kFan * kFan); }

  // Returns its number of levels.
  uint32_t add_search_tree(const std::vector<K>& cuts) {
    constexpr K kLargest = std::numeric_limits<K>::max();
    uint32_t levels = 1;
    for (size_t width = kFan; width < cuts.size(); width *= kFan) ++levels;
    size_t below = 1;  // cuts under a key of the level
    for (uint32_t level = 1; level < levels; ++level) below *= kFan;
    for (size_t nodes = 1; below > 0; below /= kFan, nodes *= kFan)
      for (size_t i = 0; i < nodes * kFan; ++i) {
        const size_t last = (i + 1) * below - 1;
        const bool separates = below == 1 || (i + 1) % kFan != 0;
        out_.cuts.push_back(last < cuts.size() && separates ? cuts[last] : kLargest);
      }
    return levels;
  }

  // Node `at` of a complete tree, `depth` below its root, is `node` of the tree.
  void add_node(size_t tree, size_t node, size_t at, uint32_t depth) {
    const N* nodes = nodes_of(tree);
    const bool leaf = is_leaf(nodes, node);
    if (depth == out_.depth) {
      out_.ends[(tree << depth) + at - (size_t{1} << depth)] = static_cast<uint32_t>(node);
      return;
    }
    if (!leaf) {
      const uint32_t test = tests_.find(nodes[node]);
      const auto& nested = nested_[nodes[node].column_index()];
      const uint32_t shared = nodes[node].is_category() && nested.empty() ? 1 : kMaxRank;
      const size_t ends = out_.ends_of_a_tree();
      uint8_t* place =
          out_.nodes.data() +
          (side_by_side_ ? (tree / kTogether * (ends - 1) + at - 1) * 2 * kTogether + tree % kTogether
                         : 2 * (tree * ends + at));
      place[0] = static_cast<uint8_t>(first_byte_[nodes[node].column_index()] + test / shared);
      place[side_by_side_ ? kTogether : 1] =
          nested.empty() ? static_cast<uint8_t>(test % shared) : nested[test];
    }
    add_node(tree, leaf ? node : nodes[node].left, 2 * at, depth + 1);
    add_node(tree, leaf ? node : size_t{nodes[node].left} + 1, 2 * at + 1, depth + 1);
  }

  const Layout<N>& layout_;
  bool side_by_side_;
  Costs costs_;
  Trees<K> out_;
  forest::Tests<N> tests_;
  std::vector<uint32_t> first_byte_;          // by column of the layout
  std::vector<std::vector<uint8_t>> nested_;  // by column: the bounds of its sets, if they are nested
};

}  // namespace

template <class N>
Trees<typename N::Key> lay_out(const Layout<N>& layout, const Kernels& kernels) {
  return Builder<N>(layout, kernels).build();
}
template Trees<uint32_t> lay_out(const Layout<forest::Narrow32>&, const Kernels&);
template Trees<uint32_t> lay_out(const Layout<forest::Wide32>&, const Kernels&);
template Trees<uint64_t> lay_out(const Layout<forest::Wide64>&, const Kernels&);

}  // namespace mlcore::one_row

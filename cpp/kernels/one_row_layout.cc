#include "kernels/one_row_layout.h"

#include <algorithm>
#include <limits>

#include "kernels/forest_tests.h"

namespace mlcore::one_row {
namespace {

using forest::Layout;

constexpr size_t kMaxSetWords = size_t{1} << 22;  // sorting sets has its price
constexpr size_t kMaxEnds = 8;                    // for each node of the forest

template <class N>
class Builder {
  using K = typename N::Key;

 public:
  Builder(const Layout<N>& layout, const Kernels& kernels)
      : layout_(layout), side_by_side_(kernels.masks != nullptr), costs_(kernels.costs), tests_(layout) {}

  Tops<K> build() {
    const float walk = cost_of(0);
    out_.depth = 1;
    for (uint32_t depth = 2; depth <= kMaxDepth; ++depth)
      if (cost_of(depth) < cost_of(out_.depth)) out_.depth = depth;
    out_.cost = cost_of(out_.depth);
    if (out_.cost >= walk || layout_.pool.size() > kMaxSetWords ||
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
    out_.whole = true;
    for (size_t tree = 0; tree < trees; ++tree) add_node(tree, 0, 1, 0);
    return std::move(out_);
  }

 private:
  const N* nodes_of(size_t tree) const { return layout_.nodes.data() + layout_.trees[tree].first; }
  static bool is_leaf(const N* nodes, size_t node) { return nodes[node].left == node; }

  float cost_of(uint32_t depth) const {
    const auto trees = static_cast<float>(layout_.trees.size());
    float steps = 0;
    for (const forest::Tree& tree : layout_.trees)
      if (tree.depth > depth) steps += 1 + std::max(tree.mean_depth - static_cast<float>(depth), 0.0f);
    const float cost = trees * kTreeCost + steps * kWalkCost;
    if (depth == 0) return cost;
    const float tops = side_by_side_ ? static_cast<float>(groups() * ((size_t{1} << depth) - 1)) * costs_.node
                                     : trees * static_cast<float>(depth) * costs_.step;
    return cost + tops + static_cast<float>(layout_.columns.size()) * kColumnCost;
  }

  size_t groups() const { return (layout_.trees.size() + kTogether - 1) / kTogether; }

  // The tests of the tops; false when there are too many for the bytes of a row.
  bool list_tests() {
    for (size_t tree = 0; tree < layout_.trees.size(); ++tree) list_tests(nodes_of(tree), 0, 0);
    tests_.sort();
    size_t bytes = 0;
    for (size_t column = 0; column < layout_.columns.size(); ++column) {
      const size_t count = tests_.of(column).size();
      bytes += tests_.is_category(column) ? count : (count + kMaxRank - 1) / kMaxRank;
    }
    return bytes <= kMaxBytes;
  }

  void list_tests(const N* nodes, size_t node, uint32_t depth) {
    if (depth == out_.depth || is_leaf(nodes, node)) return;
    tests_.add(nodes[node]);
    list_tests(nodes, nodes[node].left, depth + 1);
    list_tests(nodes, size_t{nodes[node].left} + 1, depth + 1);
  }

  void add_columns() {
    first_byte_.resize(layout_.columns.size());
    for (size_t column = 0; column < layout_.columns.size(); ++column) {
      const std::vector<K>& tests = tests_.of(column);
      if (tests.empty()) continue;
      const auto count = static_cast<uint32_t>(tests.size());
      Bytes bytes{static_cast<uint32_t>(column), kSets, out_.byte_count, count, 0};
      first_byte_[column] = out_.byte_count;
      if (tests_.is_category(column)) {
        bytes.data = static_cast<uint32_t>(out_.sets.size());
        for (K place : tests) out_.sets.push_back(static_cast<uint32_t>(place));
      } else {
        bytes.data = static_cast<uint32_t>(out_.cuts.size());
        bytes.count = (count + kMaxRank - 1) / kMaxRank;
        bytes.kind = count == 1 ? kOneCut : 1 + add_search_tree(tests);
        if (count == 1) out_.cuts.push_back(tests[0]);
      }
      out_.byte_count += bytes.count;
      out_.bytes.push_back(bytes);
    }
    // the loop's branches are foreseen when alike columns are neighbours
    std::stable_sort(out_.bytes.begin(), out_.bytes.end(),
                     [](const Bytes& a, const Bytes& b) { return a.kind < b.kind; });
  }

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

  // Node `at` of the top of a tree, `depth` below its root, is `node` of the tree.
  void add_node(size_t tree, size_t node, size_t at, uint32_t depth) {
    const N* nodes = nodes_of(tree);
    const bool leaf = is_leaf(nodes, node);
    if (depth == out_.depth) {
      out_.ends[(tree << depth) + at - (size_t{1} << depth)] = static_cast<uint32_t>(node);
      out_.whole &= leaf;
      return;
    }
    if (!leaf) {
      const uint32_t test = tests_.find(nodes[node]);
      const uint32_t shared = nodes[node].is_category() ? 1 : kMaxRank;
      const size_t ends = out_.ends_of_a_tree();
      uint8_t* place =
          out_.nodes.data() +
          (side_by_side_ ? (tree / kTogether * (ends - 1) + at - 1) * 2 * kTogether + tree % kTogether
                         : 2 * (tree * ends + at));
      place[0] = static_cast<uint8_t>(first_byte_[nodes[node].column_index()] + test / shared);
      place[side_by_side_ ? kTogether : 1] = static_cast<uint8_t>(test % shared);
    }
    add_node(tree, leaf ? node : nodes[node].left, 2 * at, depth + 1);
    add_node(tree, leaf ? node : size_t{nodes[node].left} + 1, 2 * at + 1, depth + 1);
  }

  const Layout<N>& layout_;
  bool side_by_side_;
  Costs costs_;
  Tops<K> out_;
  forest::Tests<N> tests_;
  std::vector<uint32_t> first_byte_;  // by column of the layout
};

}  // namespace

const Kernels& kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return avx512_kernels();
  if (isa == Isa::avx2) return avx2_kernels();
#endif
  (void)isa;
  return baseline_kernels();
}

template <class N>
Tops<typename N::Key> lay_out(const Layout<N>& layout, const Kernels& kernels) {
  return Builder<N>(layout, kernels).build();
}
template Tops<uint32_t> lay_out(const Layout<forest::Narrow32>&, const Kernels&);
template Tops<uint32_t> lay_out(const Layout<forest::Wide32>&, const Kernels&);
template Tops<uint64_t> lay_out(const Layout<forest::Wide64>&, const Kernels&);

}  // namespace mlcore::one_row

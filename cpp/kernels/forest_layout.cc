#include "kernels/forest_layout.h"

#include <algorithm>
#include <bit>

namespace mlcore::forest {
namespace {

bool is_category(const ForestSpec& spec, size_t node) {
  return !spec.category_words.empty() && spec.category_words[node] > 0;
}

double threshold(const ForestSpec& spec, size_t node) {
  return spec.threshold_f64.empty() ? static_cast<double>(spec.threshold_f32[node])
                                    : spec.threshold_f64[node];
}

// Where NaN goes is known once the threshold is, also when it counts as 0.0.
View view_of(const ForestSpec& spec, size_t node) {
  if (is_category(spec, node)) return View::category;
  const double t = threshold(spec, node);
  switch (spec.missing[node]) {
    case 1: return View::nan_left;
    case 2: return (spec.strict ? 0.0 < t : 0.0 <= t) ? View::nan_left : View::nan_right;
    case 4: return View::zero_right;
    case 5: return View::zero_left;
    default: return View::nan_right;
  }
}

// Largest value of the key's float type that is <= t; its infinities included.
template <class K>
FloatOf<K> rounded_down(double t) {
  if constexpr (sizeof(K) == 8) {
    return t;
  } else {
    const float nearest = static_cast<float>(t);
    if (static_cast<double>(nearest) <= t) return nearest;
    // the next float below: one key lower, and keys of numbers turn back into floats
    if (nearest > 0) return std::bit_cast<float>(std::bit_cast<uint32_t>(nearest) - 1);
    if (nearest < 0) return std::bit_cast<float>(std::bit_cast<uint32_t>(nearest) + 1);
    return -std::numeric_limits<float>::denorm_min();
  }
}

// The largest key that goes left. Both zeros are one number: a bound at zero includes or excludes both.
template <class K>
K span_of(double t, bool strict) {
  const FloatOf<K> bound = rounded_down<K>(t);
  const bool exact = static_cast<double>(bound) == t;
  const FloatOf<K> zero = strict && exact ? -FloatOf<K>{0} : FloatOf<K>{0};
  const K key = key_of<K>(bound == FloatOf<K>{0} ? zero : bound);
  return strict && exact ? static_cast<K>(key - 1) : key;
}

void set_bit(std::vector<uint32_t>& pool, size_t first_word, uint32_t bit) {
  pool[first_word + bit / 32] |= uint32_t{1} << (bit % 32);
}

// Appends the node's set in the one form the loop knows (Layout::pool) and returns its place.
uint32_t add_category_bits(const ForestSpec& spec, size_t node, std::vector<uint32_t>& pool) {
  const bool sklearn = spec.rule == CategoryRule::sklearn;
  const auto words = static_cast<size_t>(spec.category_words[node]) / (sklearn ? 2 : 1);
  const uint32_t* set = spec.category_bits.data() + spec.category_offset[node];
  const auto count = static_cast<uint32_t>(words * 32) + kCodeFirst;
  const auto place = static_cast<uint32_t>(pool.size());
  pool.push_back(count);
  const size_t first = pool.size();
  pool.resize(first + (count + 31) / 32);
  const bool missing_right = spec.missing[node] != 1;
  const auto right = [&](uint32_t code, bool goes_right) {
    if (goes_right) set_bit(pool, first, code);
  };
  right(kCodeNaN, spec.rule == CategoryRule::lightgbm || missing_right);
  right(kCodeNegative, spec.rule == CategoryRule::lightgbm || (sklearn && missing_right));
  right(kCodeLarge, spec.rule == CategoryRule::lightgbm || (sklearn && missing_right));
  for (uint32_t c = 0; c < words * 32; ++c) {
    const bool in_set = (set[c / 32] >> (c % 32)) & 1;
    const bool known = sklearn && ((set[words + c / 32] >> (c % 32)) & 1);
    switch (spec.rule) {
      case CategoryRule::xgboost: right(c + kCodeFirst, in_set); break;
      case CategoryRule::sklearn: right(c + kCodeFirst, !in_set && (known || missing_right)); break;
      default: right(c + kCodeFirst, !in_set); break;
    }
  }
  return place;
}

// Trees whose leaves lie at very different depths are asked now and then whether all rows have arrived.
uint32_t free_steps_of(uint32_t depth, uint64_t leaf_depths, uint64_t leaves) {
  const auto mean = static_cast<uint32_t>((leaf_depths + leaves - 1) / leaves);
  return depth <= mean + 2 ? depth : mean;
}

template <class N>
class Builder {
 public:
  Builder(const ForestSpec& spec, std::vector<Column> columns) : spec_(spec) {
    layout_.columns = std::move(columns);
    for (const Column& column : layout_.columns) ++layout_.view_begin[static_cast<size_t>(column.view) + 1];
    for (size_t v = 0; v < kViews; ++v) layout_.view_begin[v + 1] += layout_.view_begin[v];
    layout_.nodes.reserve(spec.feature.size());
    layout_.source.reserve(spec.feature.size());
  }

  Layout<N> build() {
    for (size_t tree = 0; tree + 1 < spec_.tree_offsets.size(); ++tree) add_tree(tree);
    return std::move(layout_);
  }

 private:
  // Breadth first: both children are placed when their parent is visited, so they are neighbours.
  void add_tree(size_t tree) {
    const auto first = static_cast<size_t>(spec_.tree_offsets[tree]);
    const size_t base = layout_.nodes.size();
    std::vector<uint32_t> depths{0};
    layout_.source.push_back(static_cast<uint32_t>(first));
    Tree out{
        static_cast<uint32_t>(base), 0, 0, 0, spec_.tree_output.empty() ? 0 : spec_.tree_output[tree], false};
    uint64_t leaves = 0, leaf_depths = 0;
    for (size_t at = 0; at < depths.size(); ++at) {
      const size_t node = layout_.source[base + at];
      if (spec_.feature[node] < 0) {
        layout_.nodes.push_back({static_cast<typename N::Key>(~typename N::Key{0}), 0, index(at)});
        ++leaves;
        leaf_depths += depths[at];
        out.depth = std::max(out.depth, depths[at]);
        continue;
      }
      layout_.nodes.push_back(split(node, index(depths.size())));
      out.categories |= is_category(spec_, node);
      for (int32_t child : {spec_.left[node], spec_.right[node]}) {
        layout_.source.push_back(static_cast<uint32_t>(first + static_cast<size_t>(child)));
        depths.push_back(depths[at] + 1);
      }
    }
    out.mean_depth = static_cast<float>(leaf_depths) / static_cast<float>(leaves);
    out.free_steps = free_steps_of(out.depth, leaf_depths, leaves);
    layout_.trees.push_back(out);
  }

  N split(size_t node, typename N::Index left) {
    using Key = typename N::Key;
    const View view = view_of(spec_, node);
    const auto& columns = layout_.columns;
    const auto found = std::lower_bound(columns.begin(), columns.end(), Column{view, spec_.feature[node]});
    const auto at = static_cast<typename N::Index>(found - columns.begin());
    if (view == View::category)
      return {static_cast<Key>(add_category_bits(spec_, node, layout_.pool)),
              static_cast<typename N::Index>(at | N::kCategory), left};
    return {span_of<Key>(threshold(spec_, node), spec_.strict), at, left};
  }

  static typename N::Index index(size_t at) { return static_cast<typename N::Index>(at); }

  const ForestSpec& spec_;
  Layout<N> layout_;
};

}  // namespace

std::vector<Column> columns_of(const ForestSpec& spec) {
  std::vector<Column> columns;
  for (size_t node = 0; node < spec.feature.size(); ++node)
    if (spec.feature[node] >= 0) columns.push_back({view_of(spec, node), spec.feature[node]});
  std::sort(columns.begin(), columns.end());
  columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
  columns.shrink_to_fit();
  return columns;
}

std::vector<Column> pair_views(std::vector<Column> columns) {
  if (columns.empty() || columns.front().view != View::nan_right || columns.back().view != View::nan_left)
    return columns;
  std::vector<int32_t> features;
  for (const Column& column : columns) features.push_back(column.feature);
  std::sort(features.begin(), features.end());
  features.erase(std::unique(features.begin(), features.end()), features.end());
  columns.clear();
  for (int32_t feature : features) columns.push_back({View::nan_right, feature});
  columns.resize(std::bit_ceil(features.size()), columns.back());
  for (int32_t feature : features) columns.push_back({View::nan_left, feature});
  return columns;
}

bool fits_narrow(const ForestSpec& spec, const std::vector<Column>& columns) {
  int64_t largest = 0;
  for (size_t tree = 0; tree + 1 < spec.tree_offsets.size(); ++tree)
    largest = std::max(largest, spec.tree_offsets[tree + 1] - spec.tree_offsets[tree]);
  return columns.size() < Narrow32::kCategory && largest <= std::numeric_limits<uint16_t>::max();
}

template <class N>
Layout<N> build_layout(const ForestSpec& spec, std::vector<Column> columns) {
  return Builder<N>(spec, std::move(columns)).build();
}
template Layout<Narrow32> build_layout(const ForestSpec&, std::vector<Column>);
template Layout<Wide32> build_layout(const ForestSpec&, std::vector<Column>);
template Layout<Wide64> build_layout(const ForestSpec&, std::vector<Column>);

}  // namespace mlcore::forest

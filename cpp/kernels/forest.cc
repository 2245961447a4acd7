#include "kernels/forest.h"

#include <algorithm>
#include <cstring>

#include "kernels/forest_layout.h"
#include "kernels/forest_walk.h"

namespace mlcore {
namespace forest {
namespace {

// Keys of a tile of rows share the first-level cache with a small tree. A large tree does not fit there
// anyway; then it pays to take more rows through it while it is in the second-level cache (up to 20 % faster
// at 20,000 nodes).
constexpr size_t kSmallTileBytes = size_t{24} << 10;
constexpr size_t kLargeTileBytes = size_t{256} << 10;
constexpr size_t kSmallTree = size_t{8} << 10;  // bytes of nodes
constexpr int64_t kMaxTile = 512;
constexpr int64_t kFewRows = 4;      // up to here each row walks alone, several trees at a time
constexpr size_t kTreesAtOnce = 64;  // of such a walk; at most kMaxTile

int64_t round_up(int64_t rows) { return (rows + kLanes - 1) / kLanes * kLanes; }

// Leaves of linear models: const + coef * x.
struct LinearLeaves {
  std::vector<int64_t> offsets;
  std::vector<int32_t> feature;
  std::vector<double> coef;
  std::vector<double> constant;
  bool drops_tiny = true;
};

// What a run reads and writes.
template <class K>
struct Run {
  const FloatOf<K>* data;
  int64_t rows;
  void* out;

  FloatOf<K> value(int32_t feature, int64_t row) const { return data[feature * rows + row]; }
};

template <class N, class Leaf>
class Evaluator final : public Forest {
  using Key = typename N::Key;
  using Float = FloatOf<Key>;

 public:
  Evaluator(const ForestSpec& spec, std::vector<Column> columns)
      : layout_(build_layout<N>(spec, std::move(columns))),
        rule_(spec.rule),
        outputs_(spec.outputs),
        kind_(spec.leaf_ids                 ? Kind::ids
              : spec.vector_leaf            ? Kind::vector
              : spec.linear_offsets.empty() ? Kind::scalar
                                            : Kind::linear) {
    const size_t width = std::max<size_t>(layout_.columns.size(), 1);
    const bool small = layout_.nodes.size() * sizeof(N) <= kSmallTree * layout_.trees.size();
    const auto fitting =
        static_cast<int64_t>((small ? kSmallTileBytes : kLargeTileBytes) / (width * sizeof(Key)));
    tile_ = std::clamp(fitting / kLanes * kLanes, kLanes, kMaxTile);
    take_leaves(spec);
    layout_.source = {};
  }

  size_t scratch_bytes(int64_t rows) const override {
    const auto tile = static_cast<size_t>(std::min(tile_, round_up(rows)));
    return key_bytes(tile) + sizeof(uint32_t) * std::max(tile, kTreesAtOnce);
  }

  void run(const void* data, int64_t rows, void* out, void* scratch) const override {
    const Run<Key> run{static_cast<const Float*>(data), rows, out};
    const int64_t tile = std::min(tile_, round_up(rows));
    Key* keys = static_cast<Key*>(scratch);
    auto* at =
        reinterpret_cast<uint32_t*>(static_cast<std::byte*>(scratch) + key_bytes(static_cast<size_t>(tile)));
    start(run);
    for (int64_t first = 0; first < rows; first += tile) {
      const int64_t count = std::min(tile, rows - first);
      make_keys(run, first, count, keys);
      if (count <= kFewRows)
        for (int64_t r = 0; r < count; ++r)
          run_row(run, first + r, keys + static_cast<size_t>(r) * layout_.columns.size(), at);
      else run_tile(run, first, count, keys, at);
    }
    finish(run);
  }

 private:
  enum class Kind : uint8_t { scalar, vector, linear, ids };

  size_t key_bytes(size_t tile) const { return (tile * layout_.columns.size() * sizeof(Key) + 63) / 64 * 64; }

  void take_leaves(const ForestSpec& spec) {
    const Leaf* values = static_cast<const Leaf*>(spec.leaf_values);
    const Leaf* base = static_cast<const Leaf*>(spec.base);
    base_.assign(base, base + outputs_);
    if (spec.divisor != nullptr) {
      divisor_ = *static_cast<const Leaf*>(spec.divisor);
      divides_ = true;
    }
    const auto row_of = [&](size_t node) { return spec.leaf_row[layout_.source[node]]; };
    const size_t nodes = layout_.nodes.size();
    if (kind_ == Kind::scalar || kind_ == Kind::linear) {
      node_value_.resize(nodes);
      for (size_t node = 0; node < nodes; ++node)
        if (is_leaf(spec, node)) node_value_[node] = values[row_of(node)];
    }
    if (kind_ == Kind::vector || kind_ == Kind::linear) {
      node_row_.resize(nodes);
      for (size_t node = 0; node < nodes; ++node)
        if (is_leaf(spec, node)) node_row_[node] = row_of(node);
    }
    if (kind_ == Kind::vector) leaf_values_.assign(values, values + spec.leaf_rows * outputs_);
    if (kind_ == Kind::linear) {
      linear_.drops_tiny = spec.linear_drops_tiny;
      linear_.offsets.assign(spec.linear_offsets.begin(), spec.linear_offsets.end());
      linear_.feature.assign(spec.linear_feature.begin(), spec.linear_feature.end());
      linear_.coef.assign(spec.linear_coef.begin(), spec.linear_coef.end());
      linear_.constant.assign(spec.linear_const.begin(), spec.linear_const.end());
    }
    if (kind_ == Kind::ids) {
      node_row_.resize(nodes);
      for (const Tree& tree : layout_.trees) {
        const size_t end = &tree == &layout_.trees.back() ? nodes : (&tree + 1)->first;
        for (size_t node = tree.first; node < end; ++node)
          node_row_[node] = spec.leaf_id.empty()
                                ? static_cast<int32_t>(layout_.source[node] - layout_.source[tree.first])
                                : spec.leaf_id[layout_.source[node]];
      }
    }
  }

  bool is_leaf(const ForestSpec& spec, size_t node) const { return spec.feature[layout_.source[node]] < 0; }

  void start(const Run<Key>& run) const {
    if (kind_ == Kind::ids) return;
    for (int64_t o = 0; o < outputs_; ++o)
      std::fill_n(static_cast<Leaf*>(run.out) + o * run.rows, run.rows, base_[static_cast<size_t>(o)]);
  }

  void finish(const Run<Key>& run) const {
    if (kind_ == Kind::ids || !divides_) return;
    Leaf* out = static_cast<Leaf*>(run.out);
    for (int64_t i = 0; i < outputs_ * run.rows; ++i) out[i] /= divisor_;
  }

  template <class View>
  void view_keys(const Run<Key>& run, int64_t first, int64_t count, forest::View which, Key* keys,
                 const View& view) const {
    const size_t stride = layout_.columns.size();
    const auto v = static_cast<size_t>(which);
    for (size_t c = layout_.view_begin[v]; c < layout_.view_begin[v + 1]; ++c) {
      const Float* x = run.data + layout_.columns[c].feature * run.rows + first;
      for (int64_t r = 0; r < count; ++r) keys[static_cast<size_t>(r) * stride + c] = view(x[r]);
    }
  }

  // Row-major keys of rows [first, first + count); rows up to the next multiple of kLanes get some valid key.
  void make_keys(const Run<Key>& run, int64_t first, int64_t count, Key* keys) const {
    constexpr Key kNaN = static_cast<Key>(~Key{0});
    view_keys(run, first, count, View::nan_right, keys, [](Float x) { return key_of<Key>(x); });
    view_keys(run, first, count, View::nan_left, keys,
              [](Float x) { return static_cast<Key>(key_of<Key>(x) + 1); });
    view_keys(run, first, count, View::zero_right, keys,
              [](Float x) { return counts_as_zero<Key>(x) ? kNaN : key_of<Key>(x); });
    view_keys(run, first, count, View::zero_left, keys,
              [](Float x) { return static_cast<Key>((counts_as_zero<Key>(x) ? kNaN : key_of<Key>(x)) + 1); });
    view_keys(run, first, count, View::category, keys,
              [this](Float x) { return category_code<Key>(x, rule_); });
    const size_t stride = layout_.columns.size();
    if (count > kFewRows)
      std::memset(keys + static_cast<size_t>(count) * stride, 0,
                  static_cast<size_t>(round_up(count) - count) * stride * sizeof(Key));
  }

  void run_tile(const Run<Key>& run, int64_t first, int64_t count, const Key* keys, uint32_t* at) const {
    for (size_t t = 0; t < layout_.trees.size(); ++t) {
      walk_rows(layout_, layout_.trees[t], keys, round_up(count), at);
      add(run, t, first, count, at);
    }
  }

  void run_row(const Run<Key>& run, int64_t row, const Key* keys, uint32_t* at) const {
    for (size_t t = 0; t < layout_.trees.size(); t += kTreesAtOnce) {
      const size_t count = std::min(kTreesAtOnce, layout_.trees.size() - t);
      walk_trees(layout_, t, count, keys, at);
      for (size_t i = 0; i < count; ++i) add(run, t + i, row, 1, at + i);
    }
  }

  // Adds the leaves of tree `t` to rows [first, first + count).
  void add(const Run<Key>& run, size_t t, int64_t first, int64_t count, const uint32_t* at) const {
    const Tree& tree = layout_.trees[t];
    switch (kind_) {
      case Kind::scalar: {
        Leaf* sum = static_cast<Leaf*>(run.out) + tree.output * run.rows + first;
        const Leaf* value = node_value_.data() + tree.first;
        for (int64_t r = 0; r < count; ++r) sum[r] += value[at[r]];
        break;
      }
      case Kind::vector: {
        Leaf* sum = static_cast<Leaf*>(run.out) + first;
        const int32_t* leaf = node_row_.data() + tree.first;
        for (int64_t r = 0; r < count; ++r) {
          const Leaf* value = leaf_values_.data() + leaf[at[r]] * outputs_;
          for (int64_t o = 0; o < outputs_; ++o) sum[o * run.rows + r] += value[o];
        }
        break;
      }
      case Kind::linear: {
        Leaf* sum = static_cast<Leaf*>(run.out) + tree.output * run.rows + first;
        for (int64_t r = 0; r < count; ++r) sum[r] += linear_value(run, tree.first + at[r], first + r);
        break;
      }
      case Kind::ids: {
        int64_t* id = static_cast<int64_t*>(run.out) + static_cast<int64_t>(t) * run.rows + first;
        const int32_t* leaf = node_row_.data() + tree.first;
        for (int64_t r = 0; r < count; ++r) id[r] = leaf[at[r]];
        break;
      }
    }
  }

  Leaf linear_value(const Run<Key>& run, size_t node, int64_t row) const {
    const auto leaf = static_cast<size_t>(node_row_[node]);
    double sum = linear_.constant[leaf];
    for (auto i = static_cast<size_t>(linear_.offsets[leaf]);
         i < static_cast<size_t>(linear_.offsets[leaf + 1]); ++i) {
      const Float x = run.value(linear_.feature[i], row);
      if (x != x) return node_value_[node];
      sum += linear_.coef[i] * (linear_.drops_tiny && counts_as_zero<Key>(x) ? 0.0 : static_cast<double>(x));
    }
    return static_cast<Leaf>(sum);
  }

  Layout<N> layout_;
  CategoryRule rule_;
  int64_t outputs_;
  Kind kind_;
  int64_t tile_ = kLanes;
  bool divides_ = false;
  Leaf divisor_ = 1;
  std::vector<Leaf> base_;
  std::vector<Leaf> node_value_;   // per node: its value, for scalar and linear leaves
  std::vector<int32_t> node_row_;  // per node: row of leaf_values_ or of linear_, or its id
  std::vector<Leaf> leaf_values_;  // [rows, outputs] for vector leaves
  LinearLeaves linear_;
};

template <class N>
std::unique_ptr<Forest> make(const ForestSpec& spec, std::vector<Column> columns) {
  if (spec.leaf == DType::f64) return std::make_unique<Evaluator<N, double>>(spec, std::move(columns));
  return std::make_unique<Evaluator<N, float>>(spec, std::move(columns));
}

}  // namespace
}  // namespace forest

std::unique_ptr<Forest> Forest::build(const ForestSpec& spec) {
  std::vector<forest::Column> columns = forest::columns_of(spec);
  if (spec.block == DType::f64) return forest::make<forest::Wide64>(spec, std::move(columns));
  if (forest::fits_narrow(spec, columns)) return forest::make<forest::Narrow32>(spec, std::move(columns));
  return forest::make<forest::Wide32>(spec, std::move(columns));
}

}  // namespace mlcore

// What the leaves of a forest hold, and how rows add them up: in the order of the trees, in the dtype of the
// leaf values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/forest_layout.h"

namespace mlcore::forest {

// What a run reads and writes.
template <class K>
struct Run {
  const FloatOf<K>* data;
  int64_t rows;
  void* out;

  FloatOf<K> value(int32_t feature, int64_t row) const { return data[feature * rows + row]; }
};

enum class LeafKind : uint8_t { scalar, vector, linear, ids };

// Leaves of linear models: constant + coef * x, one after the other; a NaN gives the plain value. `x` gives
// the row's number in a feature. Constexpr, so that a compiler for GPUs may take it too.
template <class Key, class Leaf, class X>
constexpr Leaf linear_leaf(const int64_t* offsets, const int32_t* features, const double* coef,
                           double constant, int32_t leaf, Leaf plain, bool drops_tiny, const X& x) {
  double sum = constant;
  for (int64_t i = offsets[leaf]; i < offsets[leaf + 1]; ++i) {
    const FloatOf<Key> value = x(features[i]);
    if (value != value) return plain;
    sum += coef[i] * (drops_tiny && counts_as_zero<Key>(value) ? 0.0 : static_cast<double>(value));
  }
  return static_cast<Leaf>(sum);
}

template <class N, class Leaf>
class Leaves {
  using Key = typename N::Key;
  using Float = FloatOf<Key>;

 public:
  using Kind = LeafKind;

  // What there is of each leaf; empty where the kind has none of it.
  struct Arrays {
    std::span<const Leaf> base, node_value, leaf_values;
    std::span<const int32_t> node_row;
    std::span<const int64_t> linear_offsets;
    std::span<const int32_t> linear_feature;
    std::span<const double> linear_coef, linear_constant;
    bool divides, linear_drops_tiny;
    Leaf divisor;
  };
  Arrays arrays() const {
    return {base_,           node_value_,        leaf_values_, node_row_,
            linear_offsets_, linear_feature_,    linear_coef_, linear_constant_,
            divides_,        linear_drops_tiny_, divisor_};
  }

  Leaves(const ForestSpec& spec, const Layout<N>& layout)
      : kind_(spec.leaf_ids                 ? Kind::ids
              : spec.vector_leaf            ? Kind::vector
              : spec.linear_offsets.empty() ? Kind::scalar
                                            : Kind::linear),
        outputs_(spec.outputs) {
    const Leaf* values = static_cast<const Leaf*>(spec.leaf_values);
    const Leaf* base = static_cast<const Leaf*>(spec.base);
    base_.assign(base, base + outputs_);
    if (spec.divisor != nullptr) {
      divisor_ = *static_cast<const Leaf*>(spec.divisor);
      divides_ = true;
    }
    const auto is_leaf = [&](size_t node) { return spec.feature[layout.source[node]] < 0; };
    const auto row_of = [&](size_t node) { return spec.leaf_row[layout.source[node]]; };
    const size_t nodes = layout.nodes.size();
    if (kind_ == Kind::scalar || kind_ == Kind::linear) {
      node_value_.resize(nodes);
      for (size_t node = 0; node < nodes; ++node)
        if (is_leaf(node)) node_value_[node] = values[row_of(node)];
    }
    if (kind_ == Kind::vector || kind_ == Kind::linear) {
      node_row_.resize(nodes);
      for (size_t node = 0; node < nodes; ++node)
        if (is_leaf(node)) node_row_[node] = row_of(node);
    }
    if (kind_ == Kind::vector) leaf_values_.assign(values, values + spec.leaf_rows * outputs_);
    if (kind_ == Kind::linear) {
      linear_drops_tiny_ = spec.linear_drops_tiny;
      linear_offsets_.assign(spec.linear_offsets.begin(), spec.linear_offsets.end());
      linear_feature_.assign(spec.linear_feature.begin(), spec.linear_feature.end());
      linear_coef_.assign(spec.linear_coef.begin(), spec.linear_coef.end());
      linear_constant_.assign(spec.linear_const.begin(), spec.linear_const.end());
    }
    if (kind_ == Kind::ids) {
      node_row_.resize(nodes);
      for (const Tree& tree : layout.trees) {
        const size_t end = &tree == &layout.trees.back() ? nodes : (&tree + 1)->first;
        for (size_t node = tree.first; node < end; ++node)
          node_row_[node] = spec.leaf_id.empty()
                                ? static_cast<int32_t>(layout.source[node] - layout.source[tree.first])
                                : spec.leaf_id[layout.source[node]];
      }
    }
  }

  Kind kind() const { return kind_; }
  int64_t outputs() const { return outputs_; }
  // Numbers that vector leaves hold together.
  size_t vector_values() const { return leaf_values_.size(); }
  // What a leaf adds to output `output`; scalar and vector leaves.
  Leaf value(size_t node, size_t output) const {
    return kind_ == Kind::scalar
               ? node_value_[node]
               : leaf_values_[static_cast<size_t>(node_row_[node]) * static_cast<size_t>(outputs_) + output];
  }

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

  // Adds the leaves at[i] of the trees [first, first + count) to one row.
  void add_trees(const Run<Key>& run, const Layout<N>& layout, size_t first, size_t count, int64_t row,
                 const uint32_t* at) const {
    const Tree* trees = layout.trees.data() + first;
    if (kind_ != Kind::scalar || outputs_ != 1) {
      for (size_t i = 0; i < count; ++i) add(run, trees[i], first + i, row, 1, at + i);
      return;
    }
    Leaf* to = static_cast<Leaf*>(run.out) + row;
    Leaf sum = *to;  // in a register: a sum in memory waits for its own last store
    for (size_t i = 0; i < count; ++i) sum += node_value_[trees[i].first + at[i]];
    *to = sum;
  }

  // Adds the leaves `at` of a tree, the forest's t-th, to rows [first, first + count).
  void add(const Run<Key>& run, const Tree& tree, size_t t, int64_t first, int64_t count,
           const uint32_t* at) const {
    switch (kind_) {
      case Kind::scalar: {
        Leaf* sum = static_cast<Leaf*>(run.out) + tree.output * run.rows + first;
        const Leaf* value = node_value_.data() + tree.first;
        for (int64_t r = 0; r < count; ++r) sum[r] += value[at[r]];
        break;
      }
      case Kind::vector:
        switch (outputs_) {
          case 1: add_vectors<1>(run, tree, first, count, at); break;
          case 2: add_vectors<2>(run, tree, first, count, at); break;
          case 3: add_vectors<3>(run, tree, first, count, at); break;
          default: add_vectors<0>(run, tree, first, count, at);
        }
        break;
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

 private:
  // kOutputs: how many there are, where the compiler may know; else 0.
  template <int64_t kOutputs>
  void add_vectors(const Run<Key>& run, const Tree& tree, int64_t first, int64_t count,
                   const uint32_t* at) const {
    const int64_t outputs = kOutputs > 0 ? kOutputs : outputs_, stride = run.rows;
    Leaf* __restrict sum = static_cast<Leaf*>(run.out) + first;
    const int32_t* leaf = node_row_.data() + tree.first;
    const Leaf* values = leaf_values_.data();
    for (int64_t r = 0; r < count; ++r) {
      const Leaf* value = values + leaf[at[r]] * outputs;
      for (int64_t o = 0; o < outputs; ++o) sum[o * stride + r] += value[o];
    }
  }

  Leaf linear_value(const Run<Key>& run, size_t node, int64_t row) const {
    const int32_t leaf = node_row_[node];
    return linear_leaf<Key>(linear_offsets_.data(), linear_feature_.data(), linear_coef_.data(),
                            linear_constant_[static_cast<size_t>(leaf)], leaf, node_value_[node],
                            linear_drops_tiny_, [&](int32_t feature) { return run.value(feature, row); });
  }

  Kind kind_;
  int64_t outputs_;
  bool divides_ = false;
  Leaf divisor_ = 1;
  std::vector<Leaf> base_;
  std::vector<Leaf> node_value_;   // per node: its value, for scalar and linear leaves
  std::vector<int32_t> node_row_;  // per node: row of leaf_values_ or of the linear leaves, or its id
  std::vector<Leaf> leaf_values_;  // [rows, outputs] for vector leaves

  // Leaves of linear models: constant + coef * x.
  std::vector<int64_t> linear_offsets_;
  std::vector<int32_t> linear_feature_;
  std::vector<double> linear_coef_, linear_constant_;
  bool linear_drops_tiny_ = true;
};

}  // namespace mlcore::forest

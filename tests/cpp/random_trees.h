// Random forests of odd shapes, rows at and beside their thresholds, and the instruction sets of this
// processor: for the tests of the evaluators.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <random>
#include <vector>

#include "kernels/forest_keys.h"
#include "kernels/isa.h"

namespace mlcore::random_trees {

inline constexpr int kFeatures = 5;

inline int draw(std::mt19937& random, int below) {
  return std::uniform_int_distribution<int>(0, below - 1)(random);
}

struct Shape {
  int trees, leaves;    // at most so many leaves
  bool deep;            // grows at its end, as a chain
  int cuts;             // different thresholds of a feature
  int categories;       // 0 for none
  bool common_sets;     // sets are unions of few groups of categories
  bool nested = false;  // sets are the categories up to some one
  int depth = 0;        // at most so deep; 0: any
};

// Trees that grow leaf by leaf.
struct Trees {
  std::vector<int64_t> offsets{0};
  std::vector<int32_t> output, feature, left, right, leaf, words, place;
  std::vector<uint8_t> missing;
  std::vector<double> threshold;
  std::vector<uint32_t> bits;
  double value = 0, base = 0;

  Trees(const Shape& shape, std::mt19937& random) {
    for (int t = 0; t < shape.trees; ++t) {
      const size_t first = feature.size();
      std::vector<std::pair<size_t, int>> open;  // leaves that may be split, and their depths
      const auto add_leaf = [&](int depth) {
        if (shape.depth == 0 || depth < shape.depth) open.emplace_back(feature.size(), depth);
        feature.push_back(-1);
        for (auto* side : {&left, &right}) side->push_back(-1);
        for (auto* zero : {&leaf, &words, &place}) zero->push_back(0);
        missing.push_back(0);
        threshold.push_back(0);
      };
      add_leaf(0);
      const int leaves = 1 + draw(random, shape.leaves);
      for (int k = 1; k < leaves && !open.empty(); ++k) {
        const size_t at = shape.deep && draw(random, 8) != 0
                              ? open.size() - 1
                              : static_cast<size_t>(draw(random, static_cast<int>(open.size())));
        const auto [node, depth] = open[at];
        open.erase(open.begin() + static_cast<ptrdiff_t>(at));
        split(node, shape, random);
        left[node] = static_cast<int32_t>(feature.size() - first);
        add_leaf(depth + 1);
        right[node] = static_cast<int32_t>(feature.size() - first);
        add_leaf(depth + 1);
      }
      offsets.push_back(static_cast<int64_t>(feature.size()));
      output.push_back(0);
    }
  }

  void split(size_t node, const Shape& shape, std::mt19937& random) {
    const uint8_t kinds[] = {0, 1, 2, 4, 5};
    feature[node] = draw(random, kFeatures);
    missing[node] = kinds[draw(random, 5)];
    // thresholds of the first feature are two, whatever the shape
    const int cuts = feature[node] == 0 ? 2 : shape.cuts;
    threshold[node] = draw(random, cuts) * 0.25 - 3;
    if (shape.categories == 0 || feature[node] < 3) return;
    const int count = 1 + draw(random, shape.categories);
    words[node] = (count + 31) / 32;
    place[node] = static_cast<int32_t>(bits.size());
    const auto groups = static_cast<uint32_t>(random());
    const int last = draw(random, 32 * words[node]);
    for (int w = 0; w < words[node]; ++w) {
      uint32_t word = shape.common_sets || shape.nested ? 0 : static_cast<uint32_t>(random());
      for (int b = 0; shape.nested && b < 32; ++b)
        if (32 * w + b <= last) word |= uint32_t{1} << b;
      for (uint32_t b = 0; shape.common_sets && b < 32; ++b)
        word |= ((groups >> ((32 * static_cast<uint32_t>(w) + b) % 7)) & 1) << b;
      bits.push_back(word);
    }
  }

  ForestSpec spec(DType block) const {
    ForestSpec out;
    out.block = block;
    out.rule = CategoryRule::lightgbm;
    out.tree_offsets = offsets;
    out.tree_output = output;
    out.feature = feature;
    out.threshold_f64 = threshold;
    out.left = left;
    out.right = right;
    out.missing = missing;
    out.category_offset = place;
    out.category_words = words;
    out.category_bits = bits;
    out.leaf_row = leaf;
    out.leaf_values = &value;
    out.leaf_rows = 1;
    out.base = &base;
    return out;
  }
};

template <class F>
std::vector<F> column_major_rows(std::mt19937& random, int64_t rows, const Shape& shape) {
  const double odd[] = {-0.0, 0.0, 1e-36, std::nan(""), INFINITY, -INFINITY, 1e30, -0.5};
  std::vector<F> out(static_cast<size_t>(rows * kFeatures));
  for (F& x : out) {
    const int kind = draw(random, 4);
    x = static_cast<F>(kind == 0   ? odd[draw(random, 8)]
                       : kind == 1 ? draw(random, shape.cuts) * 0.25 - 3
                       : kind == 2 ? draw(random, shape.categories + 40) - 2
                                   : std::normal_distribution<double>(0, 4)(random));
  }
  return out;
}

template <class K>
K key(forest::View view, forest::FloatOf<K> x) {
  using forest::View;
  const K plain = forest::key_of<K>(x);
  const bool zero = forest::counts_as_zero<K>(x);
  switch (view) {
    case View::nan_right: return plain;
    case View::nan_left: return plain == static_cast<K>(~K{0}) ? K{0} : plain;
    case View::zero_right: return zero ? static_cast<K>(~K{0}) : plain;
    case View::zero_left: return zero || plain == static_cast<K>(~K{0}) ? K{0} : plain;
    default: return forest::category_code<K>(x, CategoryRule::lightgbm);
  }
}

// Memory of exactly the promised size.
template <class T>
using Aligned = std::unique_ptr<T, void (*)(T*)>;
template <class T>
Aligned<T> aligned(size_t count) {
  return {static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{64})),
          [](T* memory) { ::operator delete(memory, std::align_val_t{64}); }};
}

inline std::vector<Isa> levels() {
  std::vector<Isa> out;
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (is_available(isa)) out.push_back(isa);
  return out;
}

}  // namespace mlcore::random_trees

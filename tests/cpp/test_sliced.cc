// Sliced forests against the walk of the same layout, at every instruction set of this processor.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/forest_walk.h"
#include "kernels/sliced_layout.h"

namespace {

using namespace mlcore;
using forest::FloatOf;

constexpr int kFeatures = 5;

int draw(std::mt19937& random, int below) { return std::uniform_int_distribution<int>(0, below - 1)(random); }

struct Shape {
  int trees, leaves;  // at most so many leaves
  bool deep;          // grows at its end, as a chain
  int cuts;           // different thresholds of a feature
  int categories;     // 0 for none
  bool common_sets;   // sets are unions of few groups of categories
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
      std::vector<size_t> open;
      const auto add_leaf = [&] {
        open.push_back(feature.size());
        feature.push_back(-1);
        for (auto* side : {&left, &right}) side->push_back(-1);
        for (auto* zero : {&leaf, &words, &place}) zero->push_back(0);
        missing.push_back(0);
        threshold.push_back(0);
      };
      add_leaf();
      const int leaves = 1 + draw(random, shape.leaves);
      for (int k = 1; k < leaves; ++k) {
        const size_t at = shape.deep && draw(random, 8) != 0
                              ? open.size() - 1
                              : static_cast<size_t>(draw(random, static_cast<int>(open.size())));
        const size_t node = open[at];
        open.erase(open.begin() + static_cast<ptrdiff_t>(at));
        split(node, shape, random);
        left[node] = static_cast<int32_t>(feature.size() - first);
        add_leaf();
        right[node] = static_cast<int32_t>(feature.size() - first);
        add_leaf();
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
    for (int w = 0; w < words[node]; ++w) {
      uint32_t word = shape.common_sets ? 0 : static_cast<uint32_t>(random());
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
K key(forest::View view, FloatOf<K> x) {
  using forest::View;
  const K plain = forest::key_of<K>(x);
  const bool zero = forest::counts_as_zero<K>(x);
  switch (view) {
    case View::nan_right: return plain;
    case View::nan_left: return static_cast<K>(plain + 1);
    case View::zero_right: return zero ? static_cast<K>(~K{0}) : plain;
    case View::zero_left: return static_cast<K>((zero ? static_cast<K>(~K{0}) : plain) + 1);
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

std::vector<Isa> levels() {
  std::vector<Isa> out;
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (is_available(isa)) out.push_back(isa);
  return out;
}

// The leaf of every row in every sliced tree; counts the encodings met.
template <class N>
void check(const Shape& shape, DType block, std::mt19937& random, std::vector<int>& met) {
  using K = typename N::Key;
  const Trees trees(shape, random);
  const ForestSpec spec = trees.spec(block);
  const forest::Layout<N> layout = forest::build_layout<N>(spec, forest::columns_of(spec));
  for (Isa isa : levels()) {
    const sliced::Kernels& kernels = sliced::kernels(isa);
    const auto& tests = kernels.template tests<K>();
    // the last trees of a forest on their own, and tops of various sizes
    const size_t first_tree = static_cast<size_t>(draw(random, static_cast<int>(layout.trees.size())));
    const uint32_t top = shape.leaves > 500 ? 1u << draw(random, 9) : 0;
    const sliced::Forest<K> forest = sliced::slice(layout, first_tree, layout.trees.size(), spec.rule,
                                                   tests.max_compares, top < 16 ? 0 : top);
    for (const sliced::Column& column : forest.columns) ++met[static_cast<size_t>(column.encoding)];
    met[4] += !forest.chains.empty();
    for (const auto& [large, rows] :
         {std::pair{false, 1}, {false, 64}, {true, 65}, {true, 448}, {true, 512}}) {
      const auto data = column_major_rows<FloatOf<K>>(random, rows, shape);
      auto masks = aligned<uint64_t>(forest.masks * (large ? 8 : 1));
      auto keys = aligned<sliced::SignedKey<K>>(512);
      auto ranks = aligned<uint32_t>(512);
      auto bytes = aligned<uint8_t>(512);
      auto index = aligned<uint8_t>(512);
      tests.run[large](forest.slices(layout.pool.data()), data.data(), rows, rows,
                       {masks.get(), keys.get(), ranks.get(), bytes.get()});
      for (size_t t = 0; t < forest.trees.size(); ++t) {
        const sliced::Tree& tree = forest.trees[t];
        const forest::Tree& source = layout.trees[first_tree + t];
        const N* nodes = layout.nodes.data() + source.first;
        if (tree.bits == sliced::kNotSliced) {
          BOOST_REQUIRE(trees.offsets[first_tree + t + 1] - trees.offsets[first_tree + t] >
                        2 * sliced::kMaxLeaves - 1);
          ++met[5];
          continue;
        }
        kernels.leaves[large](forest.splits.data() + tree.first_split, tree.bits, masks.get(), index.get());
        for (int64_t r = 0; r < rows; ++r) {
          std::vector<K> row;
          for (const forest::Column& column : layout.columns)
            row.push_back(key<K>(column.view, data[static_cast<size_t>(column.feature * rows + r)]));
          const uint32_t expected = forest::walk_any(nodes, row.data(), layout.pool.data());
          uint32_t found = forest.leaf_nodes[forest.first_leaf[t] + index.get()[r]];
          if (tree.skipped > 0) {
            ++met[6];
            found = forest::walk_any(nodes, row.data(), layout.pool.data(), found);
          }
          BOOST_REQUIRE_MESSAGE(found == expected, name_of(isa)
                                                       << ", tree " << t << ", row " << r << " of " << rows
                                                       << ": node " << found << " instead of " << expected);
        }
      }
    }
  }
}

template <class Leaf>
void check_sums(std::mt19937& random) {
  for (Isa isa : levels()) {
    const sliced::Kernels& kernels = sliced::kernels(isa);
    for (uint32_t bits = 0; bits <= sliced::kMaxBits; ++bits) {
      const size_t entries = std::max<size_t>(size_t{1} << bits, 16);
      std::vector<Leaf> table(entries);
      for (Leaf& value : table) value = std::normal_distribution<Leaf>()(random);
      for (int64_t rows : {1, 7, 16, 63, 200, 512}) {
        std::vector<uint8_t> index(512);
        for (uint8_t& i : index) i = static_cast<uint8_t>(draw(random, 1 << bits));
        std::vector<Leaf> sums(static_cast<size_t>(rows), Leaf{0.1f});
        std::vector<Leaf> expected = sums;
        for (size_t r = 0; r < expected.size(); ++r) expected[r] += table[index[r]];
        if constexpr (sizeof(Leaf) == 4) kernels.add_f32(table.data(), bits, index.data(), rows, sums.data());
        else kernels.add_f64(table.data(), bits, index.data(), rows, sums.data());
        BOOST_REQUIRE(sums == expected);
      }
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sliced)

BOOST_AUTO_TEST_CASE(leaves_are_those_of_the_walk) {
  const Shape shapes[] = {
      {40, 8, false, 3, 0, false},     {20, 64, false, 60, 0, false},    {12, 64, true, 200, 0, false},
      {6, 256, true, 1200, 0, false},  {6, 256, false, 3000, 0, false},  {4, 600, false, 50, 0, false},
      {9, 3000, false, 500, 0, false}, {9, 1200, true, 90, 40, true},    {30, 31, true, 20, 12, false},
      {20, 40, false, 20, 500, true},  {20, 40, false, 20, 1000, false}, {3, 20, false, 20, 70'000, true},
  };
  std::mt19937 random(11);
  std::vector<int> met(7);
  for (const Shape& shape : shapes) {
    check<forest::Narrow32>(shape, DType::f32, random, met);
    check<forest::Wide32>(shape, DType::f32, random, met);
    check<forest::Wide64>(shape, DType::f64, random, met);
  }
  // every encoding, chains, trees too large to slice, and tops of such
  for (int count : met) BOOST_TEST(count > 0);
}

// Blocks, tops of large trees and walks together, by way of leaf ids: each row alone walks from the roots.
BOOST_AUTO_TEST_CASE(every_row_alone_finds_the_leaves_of_the_batch) {
  const Shape shapes[] = {{20, 40, false, 60, 0, false},    {90, 450, false, 4000, 0, false},
                          {12, 400, false, 30, 40, true},   {5, 2000, false, 900, 0, false},
                          {30, 300, false, 9000, 0, false}, {0, 1, false, 1, 0, false}};
  std::mt19937 random(13);
  for (const Shape& shape : shapes) {
    const Trees trees(shape, random);
    ForestSpec spec = trees.spec(DType::f32);
    spec.leaf_ids = true;
    const auto width = static_cast<size_t>(shape.trees);
    for (Isa isa : levels()) {
      const auto forest = Forest::build(spec, isa);
      for (const int64_t rows : {2, 40, 64, 65, 520, 600}) {
        const auto data = column_major_rows<float>(random, rows, shape);
        const auto run = [&](const std::vector<float>& block, int64_t count) {
          std::vector<int64_t> out(static_cast<size_t>(count) * width);
          const auto scratch = aligned<std::byte>(forest->scratch_bytes(count));
          forest->run(block.data(), count, out.data(), scratch.get());
          return out;
        };
        const std::vector<int64_t> batch = run(data, rows);
        for (int64_t r = 0; r < rows; ++r) {
          std::vector<float> row;
          for (int64_t c = 0; c < kFeatures; ++c) row.push_back(data[static_cast<size_t>(c * rows + r)]);
          const std::vector<int64_t> alone = run(row, 1);
          for (size_t t = 0; t < width; ++t)
            BOOST_REQUIRE_EQUAL(batch[t * static_cast<size_t>(rows) + static_cast<size_t>(r)], alone[t]);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(sums_are_those_of_scalar_code) {
  std::mt19937 random(12);
  check_sums<float>(random);
  check_sums<double>(random);
}

BOOST_AUTO_TEST_CASE(the_environment_chooses_the_level) {
  const auto chosen = [](const char* value) -> std::string {
    ::setenv("MLCORE_ISA", value, 1);
    std::string out;
    try {
      out = name_of(chosen_isa());
    } catch (const Error& error) {
      out = error.what();
    }
    ::unsetenv("MLCORE_ISA");
    return out;
  };
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    const std::string name(name_of(isa));
    BOOST_TEST(chosen(name.c_str()) == (is_available(isa)
                                            ? name
                                            : "MLCORE_ISA: expected a level of this processor but found '" +
                                                  name + "', which it lacks"));
  }
  BOOST_TEST(chosen("sse9") == "MLCORE_ISA: expected 'baseline', 'avx2' or 'avx512' but found 'sse9'");
  BOOST_TEST(chosen("") == name_of(levels().back()));
}

BOOST_AUTO_TEST_SUITE_END()

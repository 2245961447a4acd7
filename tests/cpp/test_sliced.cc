// Sliced forests against the walk of the same layout, at every instruction set of this processor.
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/forest_walk.h"
#include "kernels/sliced_layout.h"
#include "random_trees.h"

namespace {

using namespace mlcore;
using forest::FloatOf;
using namespace mlcore::random_trees;

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

// Trees that do not stay in a cache: many rows are sorted on their way, and rows without NaN have one key for
// both of a feature's views. Each row alone walks from the roots.
#include <boost/test/unit_test.hpp>
#include <random>
#include <vector>

#include "kernels/forest_walk.h"
#include "random_trees.h"

namespace {

using namespace mlcore;
using namespace mlcore::random_trees;

template <class F>
void check(const Trees& trees, DType block, size_t width, const std::vector<F>& data, int64_t rows) {
  ForestSpec spec = trees.spec(block);
  spec.leaf_ids = true;
  const auto forest = Forest::build(spec, levels().back());
  const auto run = [&](const std::vector<F>& some, int64_t count) {
    std::vector<int64_t> out(static_cast<size_t>(count) * width);
    const auto scratch = aligned<std::byte>(forest->scratch_bytes(count));
    forest->run(some.data(), count, out.data(), scratch.get());
    return out;
  };
  const std::vector<int64_t> batch = run(data, rows);
  for (int64_t r = 0; r < rows; r += r < 32 || r > rows - 32 ? 1 : 7) {
    std::vector<F> row;
    for (int64_t c = 0; c < kFeatures; ++c) row.push_back(data[static_cast<size_t>(c * rows + r)]);
    const std::vector<int64_t> alone = run(row, 1);
    for (size_t t = 0; t < width; ++t)
      BOOST_REQUIRE_EQUAL(batch[t * static_cast<size_t>(rows) + static_cast<size_t>(r)], alone[t]);
  }
}

// `missing`: what all splits do with missing values; -1: each as it is drawn, zeros among them.
void check_all(Trees trees, const Shape& shape, const std::vector<uint8_t>& missing, std::mt19937& random) {
  if (!missing.empty())
    for (uint8_t& kind : trees.missing)
      kind = missing[static_cast<size_t>(draw(random, static_cast<int>(missing.size())))];
  const auto width = static_cast<size_t>(shape.trees);
  for (const int64_t rows : {1000, 1024, 1031, 8192, 20'011}) {
    for (const bool with_nan : {false, true}) {
      auto floats = column_major_rows<float>(random, rows, shape);
      auto doubles = column_major_rows<double>(random, rows, shape);
      const auto clean = [&](auto& values) {
        for (auto& x : values)
          if (x != x) x = 0.75f;
        // in the last tile only
        if (with_nan) values[static_cast<size_t>(2 * rows - 1)] = std::numeric_limits<float>::quiet_NaN();
      };
      clean(floats);
      clean(doubles);
      check(trees, DType::f32, width, floats, rows);
      check(trees, DType::f64, width, doubles, rows);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(large_trees)

BOOST_AUTO_TEST_CASE(every_row_alone_finds_the_leaves_of_the_batch) {
  std::mt19937 random(3);
  const Shape shape{3, 16'000, false, 400, 0, false};
  check_all(Trees(shape, random), shape, {0, 1}, random);
  check_all(Trees(shape, random), shape, {1}, random);
  check_all(Trees(shape, random), shape, {}, random);
  const Shape categories{2, 9'000, false, 400, 40, true};
  check_all(Trees(categories, random), categories, {}, random);
}

BOOST_AUTO_TEST_CASE(more_nodes_than_a_short_index_reaches) {
  std::mt19937 random(4);
  const Shape shape{2, 70'000, false, 9'000, 0, false};
  const Trees trees(shape, random);
  BOOST_TEST(*std::max_element(trees.offsets.begin(), trees.offsets.end()) > 65'535);
  check_all(trees, shape, {0, 1}, random);
}

// What the sort counts on: `steps` steps lead to the first 2^(steps + 1) nodes.
BOOST_AUTO_TEST_CASE(nodes_lie_level_by_level) {
  std::mt19937 random(5);
  for (const bool deep : {false, true}) {
    const Shape shape{2, 3'000, deep, 400, 0, false};
    const Trees trees(shape, random);
    const ForestSpec spec = trees.spec(DType::f32);
    const auto layout =
        forest::build_layout<forest::Wide32>(spec, forest::pair_views(forest::columns_of(spec)));
    for (size_t tree = 0; tree < layout.trees.size(); ++tree) {
      std::vector<size_t> level{0};
      for (uint32_t steps = 0; steps < 20 && !level.empty(); ++steps) {
        std::vector<size_t> next;
        for (size_t at : level) {
          BOOST_REQUIRE_LT(at, size_t{2} << steps);
          const auto& node = layout.nodes[layout.trees[tree].first + at];
          if (node.left != at) next.insert(next.end(), {node.left, size_t{node.left} + 1});
        }
        level.swap(next);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(paired_views_are_a_power_of_two_apart) {
  using forest::Column, forest::View;
  const std::vector<Column> both{{View::nan_right, 1},
                                 {View::nan_right, 4},
                                 {View::nan_right, 7},
                                 {View::nan_left, 2},
                                 {View::nan_left, 4}};
  const std::vector<Column> paired = forest::pair_views(both);
  BOOST_REQUIRE_EQUAL(paired.size(), 8u);
  const int32_t features[] = {1, 2, 4, 7};
  for (size_t i = 0; i < 4; ++i) {
    BOOST_TEST((paired[i] == Column{View::nan_right, features[i]}));
    BOOST_TEST((paired[4 + i] == Column{View::nan_left, features[i]}));
  }
  const std::vector<Column> three =
      forest::pair_views({{View::nan_right, 1}, {View::nan_right, 2}, {View::nan_left, 9}});
  BOOST_REQUIRE_EQUAL(three.size(), 7u);
  BOOST_TEST((three[3] == Column{View::nan_right, 9}));
  BOOST_TEST((three[4] == Column{View::nan_left, 1}));
  for (const std::vector<Column>& others :
       {std::vector<Column>{},
        {{View::nan_right, 1}},
        {{View::nan_left, 1}},
        {{View::nan_right, 1}, {View::nan_left, 1}, {View::zero_left, 1}}})
    BOOST_TEST((forest::pair_views(others) == others));
}

BOOST_AUTO_TEST_SUITE_END()

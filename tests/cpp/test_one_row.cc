// Trees as one row sees them against walks of them, at every instruction set.
#include <boost/test/unit_test.hpp>
#include <random>
#include <vector>

#include "kernels/forest_row.h"
#include "random_trees.h"

namespace {

using namespace mlcore;
using namespace mlcore::random_trees;

struct Met {
  int complete = 0, deep_searches = 0, pages = 0, tables = 0, sets = 0, nested = 0, too_many = 0;
};

// What the evaluator writes for one row.
template <class Out, class N>
std::vector<Out> run(const ForestSpec& spec, const forest::Layout<N>& layout, Isa isa,
                     const std::vector<typename N::Key>& keys, size_t width) {
  const forest::Leaves<N, double> leaves(spec, layout);
  const forest::RowEvaluator<N, double> evaluator(layout, leaves, isa);
  auto memory = aligned<std::byte>(evaluator.scratch_bytes());
  std::vector<Out> out(width, Out{1});
  evaluator.run(layout, leaves, {nullptr, 1, out.data()}, 0, keys.data(), memory.get());
  return out;
}

template <class N>
void check(const Shape& shape, DType block, std::mt19937& random, Met& met) {
  using K = typename N::Key;
  const Trees trees(shape, random);
  ForestSpec spec = trees.spec(block);
  const forest::Layout<N> layout = forest::build_layout<N>(spec, forest::columns_of(spec));
  // every leaf has a value of its own
  std::vector<int32_t> leaf_row(spec.feature.size());
  std::vector<double> values(spec.feature.size());
  for (size_t i = 0; i < leaf_row.size(); ++i) {
    leaf_row[i] = static_cast<int32_t>(i);
    values[i] = std::normal_distribution<double>()(random);
  }
  spec.leaf_row = leaf_row;
  spec.leaf_values = values.data();
  ForestSpec ids = spec;
  ids.leaf_ids = true;
  // drawn once: the next shapes must not depend on how many levels this processor has
  const int rows = 10;
  const auto data = column_major_rows<forest::FloatOf<K>>(random, rows, shape);
  for (Isa isa : levels()) {
    const one_row::Trees<K> complete = one_row::lay_out(layout, one_row::kernels(isa));
    met.too_many += complete.depth == 0;
    met.complete += complete.depth > 0;
    for (const one_row::Bytes& bytes : complete.bytes) {
      met.deep_searches += bytes.kind > one_row::kOneCut + 2 && bytes.kind != one_row::kNested;
      met.pages += bytes.kind > one_row::kOneCut && bytes.kind != one_row::kNested && bytes.count > 1;
      met.tables += bytes.kind == one_row::kTable;
      met.sets += bytes.kind == one_row::kSets;
      met.nested += bytes.kind == one_row::kNested;
    }
    for (int r = 0; r < rows; ++r) {
      std::vector<K> keys;
      for (const forest::Column& column : layout.columns)
        keys.push_back(key<K>(column.view, data[static_cast<size_t>(column.feature * rows + r)]));
      keys.push_back(0);  // a leaf looks at the first key, also where there are no columns
      const auto found = run<int64_t>(ids, layout, isa, keys, layout.trees.size());
      double sum = 1;
      for (size_t t = 0; t < found.size(); ++t) {
        const size_t first = layout.trees[t].first;
        const size_t leaf =
            first + forest::walk_any(layout.nodes.data() + first, keys.data(), layout.pool.data());
        const int64_t expected = layout.source[leaf] - layout.source[first];
        BOOST_REQUIRE_MESSAGE(found[t] == expected, name_of(isa) << ", tree " << t << " of " << found.size()
                                                                 << ", row " << r << ": leaf " << found[t]
                                                                 << " instead of " << expected);
        sum += values[layout.source[leaf]];
      }
      BOOST_REQUIRE_EQUAL(run<double>(spec, layout, isa, keys, 1)[0], sum);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(one_row)

BOOST_AUTO_TEST_CASE(ends_are_those_of_the_walk) {
  const Shape shapes[] = {
      {700, 8, false, 3, 0, false, false, 6},
      {900, 2, false, 90, 0, false},
      {70, 64, false, 60, 0, false, false, 7},
      {130, 64, true, 200, 0, false},
      {600, 256, false, 1200, 0, false, false, 8},
      {90, 600, false, 50, 0, false},
      {400, 200, false, 9000, 0, false, false, 8},
      {90, 60, true, 90, 40, true},
      {60, 31, false, 20, 12, false, false, 6},
      {70, 40, false, 20, 60, false, false, 5},
      {2000, 64, false, 9000, 0, false, false, 6},
      {3, 20, false, 20, 70'000, true, false, 4},
      {1, 1, false, 1, 0, false},
      {90, 40, false, 50, 200, false, true, 6},
      {1500, 40, false, 50, 12, false, false, 3},
      {60, 9, false, 5, 30, true, false, 4},
      {2, 4, false, 5, 12, false, true, 2},
      {40, 9, false, 5, 12, false, true, 4},
      {20, 8, false, 20, 9000, false, false, 4},
  };
  std::mt19937 random(17);
  Met met;
  for (const Shape& shape : shapes) {
    check<forest::Narrow32>(shape, DType::f32, random, met);
    check<forest::Wide32>(shape, DType::f32, random, met);
    check<forest::Wide64>(shape, DType::f64, random, met);
  }
  BOOST_TEST(met.complete > 0);
  BOOST_TEST(met.deep_searches > 0);
  BOOST_TEST(met.pages > 0);
  BOOST_TEST(met.tables > 0);
  BOOST_TEST(met.sets > 0);
  BOOST_TEST(met.nested > 0);
  BOOST_TEST(met.too_many > 0);
}

BOOST_AUTO_TEST_SUITE_END()

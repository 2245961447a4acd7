// The evaluator of forests: keys, bounds of splits, memory it may touch; and `trees` nodes with random
// damage.
#include <bit>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "kernels/forest_layout.h"
#include "op_samples.h"

namespace {

using namespace samples;

template <class T>
std::vector<T> special_numbers() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> points{T{0}, Limits::denorm_min(), Limits::min(),     T(1e-35f), T{1}, T{0.1f},
                        T{3}, Limits::max(),        Limits::infinity()};
  std::vector<T> out;
  for (T point : points)
    for (T x : {point, -point})
      for (T y : {std::nextafter(x, -Limits::infinity()), x, std::nextafter(x, Limits::infinity())})
        out.push_back(y);
  return out;
}

// One split on feature 0: leaf 1 on the left, 2 on the right.
struct Stump {
  std::vector<int64_t> offsets{0, 3};
  std::vector<int32_t> output{0}, feature{0, -1, -1}, left{1, -1, -1}, right{2, -1, -1}, leaf{0, 0, 1};
  std::vector<uint8_t> missing{0, 0, 0};
  std::vector<double> threshold{0, 0, 0}, values{1, 2};
  double base = 0;

  ForestSpec spec(DType block, bool strict) const {
    ForestSpec out;
    out.block = block;
    out.strict = strict;
    out.tree_offsets = offsets;
    out.tree_output = output;
    out.feature = feature;
    out.left = left;
    out.right = right;
    out.leaf_row = leaf;
    out.missing = missing;
    out.threshold_f64 = threshold;
    out.leaf_values = values.data();
    out.leaf_rows = 2;
    out.base = &base;
    return out;
  }
};

template <class T>
std::vector<double> run(const Forest& forest, const std::vector<T>& data, int64_t rows, int64_t width = 1) {
  std::vector<double> out(static_cast<size_t>(rows * width), -1.0);
  const size_t size = forest.scratch_bytes(rows);
  std::vector<std::byte> memory(size + 128);
  void* scratch = memory.data();
  size_t space = memory.size();
  std::align(64, size, scratch, space);
  forest.run(data.data(), rows, out.data(), scratch);
  return out;
}

// Every special number against every special threshold, as the processor itself compares them in double.
template <class T>
void check_stumps(DType block) {
  const std::vector<T> x = special_numbers<T>();
  std::vector<double> thresholds = special_numbers<double>();
  for (T t : x) thresholds.push_back(static_cast<double>(t));
  std::vector<std::vector<double>> expected, got;
  std::vector<std::unique_ptr<Forest>> forests;
  for (double t : thresholds) {
    for (bool strict : {false, true}) {
      Stump stump;
      stump.threshold[0] = t;
      forests.push_back(Forest::build(stump.spec(block, strict)));
      expected.emplace_back();
      for (T value : x) {
        const auto wide = static_cast<double>(value);
        expected.back().push_back((strict ? wide < t : wide <= t) ? 1.0 : 2.0);
      }
    }
  }
#if defined(__SSE__)
  const unsigned saved = _mm_getcsr();
  for (unsigned state :
       {0x1f80u, 0x9fc0u, 0x3f80u, 0x5f80u}) {  // default; flush to zero; round down; round up
    _mm_setcsr(state);
    for (const auto& forest : forests) got.push_back(run(*forest, x, static_cast<int64_t>(x.size())));
    _mm_setcsr(saved);
#else
  {
    for (const auto& forest : forests) got.push_back(run(*forest, x, static_cast<int64_t>(x.size())));
#endif
    BOOST_CHECK(got == expected);
    got.clear();
  }
}

template <class K>
void check_keys() {
  using T = forest::FloatOf<K>;
  std::vector<T> x = special_numbers<T>();
  x.push_back(-std::numeric_limits<T>::infinity());
  for (T a : x)
    for (T b : x)
      if (a < b) BOOST_CHECK(forest::key_of<K>(a) < forest::key_of<K>(b));
  BOOST_CHECK(forest::key_of<K>(T{0}) == forest::key_of<K>(-T{0}) + 1);
  const auto nan = std::numeric_limits<T>::quiet_NaN();
  const auto signalling =
      std::bit_cast<T>(static_cast<K>(std::bit_cast<K>(std::numeric_limits<T>::infinity()) + 1));
  for (T a : {nan, -nan, signalling, -signalling}) BOOST_CHECK(forest::key_of<K>(a) == static_cast<K>(~K{0}));
}

// 9 trees of depth 3 on 4 features, two outputs.
Program forest_program(std::mt19937& random) {
  Program program;
  std::vector<int32_t> columns;
  for (int i = 0; i < 4; ++i) {
    program.schema.push_back({"x" + std::to_string(i), {Kind::float64, TimeUnit::nano, {}}, true, false});
    columns.push_back(append_column(program, i, "f64"));
  }
  const int32_t block = append(program, "concat", columns);
  std::vector<int64_t> offsets{0};
  std::vector<int32_t> tree_output, feature, left, right, leaf, words, place;
  std::vector<uint8_t> missing;
  std::vector<double> threshold, values;
  const auto draw = [&](int below) { return std::uniform_int_distribution<int32_t>(0, below - 1)(random); };
  for (int tree = 0; tree < 9; ++tree) {
    for (int32_t node = 0; node < 15; ++node) {
      const bool inner = node < 7;
      feature.push_back(inner ? draw(4) : -1);
      left.push_back(inner ? 2 * node + 1 : -1);
      right.push_back(inner ? 2 * node + 2 : -1);
      missing.push_back(static_cast<uint8_t>(inner ? draw(3) : 0));
      threshold.push_back(draw(7) - 3);
      words.push_back(inner && node % 3 == 2 ? 1 : 0);
      place.push_back(words.back() ? static_cast<int32_t>(place.size()) : 0);
      leaf.push_back(inner ? 0 : static_cast<int32_t>(values.size()));
      if (!inner) values.push_back(draw(1000) / 7.0);
    }
    offsets.push_back(static_cast<int64_t>(feature.size()));
    tree_output.push_back(tree % 2);
  }
  std::vector<uint32_t> bits(feature.size());
  for (uint32_t& word : bits) word = static_cast<uint32_t>(random());
  append(program, "trees", {block},
         {{"outputs", int64_t{2}},
          {"compare", std::string("le")},
          {"categories", std::string("left")},
          {"category_rule", std::string("lightgbm")}},
         {{"tree_offsets", slab(offsets)},
          {"tree_output", slab(tree_output)},
          {"feature", slab(feature)},
          {"threshold", slab(threshold)},
          {"left", slab(left)},
          {"right", slab(right)},
          {"missing", slab(missing)},
          {"category_offset", slab(place)},
          {"category_words", slab(words)},
          {"category_bits", slab(bits)},
          {"leaf", slab(leaf)},
          {"leaf_values", slab(values)},
          {"base", slab(std::vector<double>{0.5, -0.5})}});
  program.outputs.push_back(output(static_cast<int32_t>(program.nodes.size()) - 1, "float64"));
  return program;
}

// Runs the last node on `rows` rows with scratch and output of exactly the promised size.
std::vector<double> run_trees(const Program& program, const std::vector<double>& data, int64_t rows) {
  const Node& node = program.nodes.back();
  const auto step = op_named("trees", "").lower(NodeReader(program, node));
  const std::unique_ptr<double[]> out(new double[static_cast<size_t>(rows * node.type.width)]);
  const size_t size = (step->scratch_bytes(rows) + 63) / 64 * 64;
  const std::unique_ptr<std::byte, void (*)(std::byte*)> scratch(
      static_cast<std::byte*>(::operator new(size, std::align_val_t{64})),
      [](std::byte* memory) { ::operator delete(memory, std::align_val_t{64}); });
  const BlockView input{data.data(), rows, 4};
  step->run({{&input, 1}, {out.get(), rows, node.type.width}, scratch.get(), 0});
  return {out.get(), out.get() + rows * node.type.width};
}

std::vector<double> rows_of(std::mt19937& random, int64_t rows) {
  const double pool[] = {-3, -2, -1,   -0.0,  0.0,          1,        2,        3, 4, 5.5,
                         31, 32, 1e10, -1e10, std::nan(""), INFINITY, -INFINITY};
  std::vector<double> out(static_cast<size_t>(rows * 4));
  for (double& x : out) x = pool[random() % std::size(pool)];
  return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(forest)

BOOST_AUTO_TEST_CASE(keys_are_in_the_order_of_numbers) {
  check_keys<uint32_t>();
  check_keys<uint64_t>();
}

BOOST_AUTO_TEST_CASE(splits_at_every_edge_in_every_processor_state) {
  check_stumps<double>(DType::f64);
  check_stumps<float>(DType::f32);
}

BOOST_AUTO_TEST_CASE(every_row_count_alone_gives_the_batch) {
  std::mt19937 random(5);
  Program program = forest_program(random);
  validate_program(program);
  for (int64_t rows = 1; rows <= 70; ++rows) {
    const std::vector<double> data = rows_of(random, rows);
    const std::vector<double> batch = run_trees(program, data, rows);
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<double> row;
      for (int64_t c = 0; c < 4; ++c) row.push_back(data[static_cast<size_t>(c * rows + r)]);
      const std::vector<double> alone = run_trees(program, row, 1);
      BOOST_REQUIRE(alone[0] == batch[static_cast<size_t>(r)] &&
                    alone[1] == batch[static_cast<size_t>(rows + r)]);
    }
  }
}

// Under the address sanitizer this is the proof that what validate lets through stays inside its memory.
BOOST_AUTO_TEST_CASE(random_damage_is_refused_or_harmless) {
  std::mt19937 random(7);
  const std::string names[] = {"tree_offsets", "tree_output",     "feature",        "left", "right",
                               "missing",      "category_offset", "category_words", "leaf", "threshold"};
  int accepted = 0, refused = 0;
  for (int trial = 0; trial < 600; ++trial) {
    Program program = forest_program(random);
    for (int blow = 0; blow < 1 + trial % 3; ++blow) {
      Constant& constant = program.constants[static_cast<size_t>(
          program.nodes.back().constants.at(names[random() % std::size(names)]))];
      std::vector<std::byte> bytes(constant.bytes().begin(), constant.bytes().end());
      const size_t at = random() % bytes.size();
      bytes[at] = trial % 2 ? static_cast<std::byte>(random())
                            : static_cast<std::byte>(static_cast<int>(bytes[at]) + 1);
      constant = Constant(constant.type(), constant.shape(), bytes);
    }
    if (refusal(program) != "accepted") {
      ++refused;
      continue;
    }
    ++accepted;
    const std::vector<double> data = rows_of(random, 20);
    for (double sum : run_trees(program, data, 20)) BOOST_REQUIRE(std::abs(sum) <= 9 * 1000.0);
    run_trees(program, data, 1);
  }
  BOOST_TEST(accepted > 20);
  BOOST_TEST(refused > 100);
}

BOOST_AUTO_TEST_SUITE_END()

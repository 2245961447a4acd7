// One model in many threads: what ThreadSanitizer must find nothing in, and the same bytes from every thread.
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <numeric>
#include <thread>

#include "artifact_samples.h"
#include "op_samples.h"
#include "runtime/model.h"
#include "schema_rows.h"

namespace {

using namespace samples;

constexpr int kThreads = 8;
constexpr int64_t kRows = 700;  // more than one chunk

OutputSpec named(const std::string& method, int32_t value) {
  OutputSpec out = output(value, "float64");
  out.method = method;
  return out;
}

// Numbers, texts, a forest of 50 stumps, labels.
Program forest_program() {
  constexpr size_t kTrees = 50;
  std::vector<int64_t> offsets(kTrees + 1);
  std::vector<int32_t> output(kTrees), feature, left, right, leaf;
  std::vector<double> threshold, values;
  for (size_t tree = 0; tree < kTrees; ++tree) {
    offsets[tree + 1] = static_cast<int64_t>(3 * (tree + 1));
    const auto row = static_cast<int32_t>(2 * tree);
    feature.insert(feature.end(), {static_cast<int32_t>(tree % 2), -1, -1});
    left.insert(left.end(), {1, -1, -1});
    right.insert(right.end(), {2, -1, -1});
    leaf.insert(leaf.end(), {0, row, row + 1});
    threshold.insert(threshold.end(), {static_cast<double>(tree) - 20.5, 0, 0});
    values.insert(values.end(), {0.1 * static_cast<double>(tree), -0.3});
  }
  const size_t nodes = feature.size();

  Program out = empty_program();
  const int32_t age = append_column(out, 0, "f64");
  const int32_t color = append_column(out, 1, "str");
  const int32_t filled =
      append(out, "fill", {age}, {{"match", std::string("missing")}}, {{"value", slab<double>({1.5})}});
  const int32_t code =
      append(out, "encode", {color}, {{"unknown", std::string("code")}}, {{"keys", texts({"a", "", "red"})}});
  const int32_t number = append(out, "table", {code}, {},
                                {{"values", slab<double>({1, 2, 3})}, {"default", slab<double>({-1})}});
  const int32_t both = append(out, "concat", {filled, number});
  const int32_t margin =
      append(out, "trees", {both}, {{"outputs", int64_t{1}}, {"compare", std::string("lt")}},
             {{"tree_offsets", slab(offsets)},
              {"tree_output", slab(output)},
              {"feature", slab(feature)},
              {"threshold", slab(threshold)},
              {"left", slab(left)},
              {"right", slab(right)},
              {"missing", slab(std::vector<uint8_t>(nodes))},
              {"leaf", slab(leaf)},
              {"leaf_values", slab(values)},
              {"base", slab<double>({0.5})}});
  const int32_t chance = append(out, "link", {margin}, {{"fn", std::string("sk_expit")}});
  out.outputs = {named("decision_function", margin), named("predict_proba", chance)};
  return out;
}

std::vector<Bytes> run_all(const Model& model, const Batch& batch) {
  const Program& program = model.program();
  std::vector<int32_t> outputs(program.outputs.size());
  std::iota(outputs.begin(), outputs.end(), 0);
  std::vector<Bytes> results;
  std::vector<void*> destinations;
  for (const OutputSpec& output : program.outputs) {
    const ValueType type = program.nodes[static_cast<size_t>(output.value)].type;
    results.emplace_back(size_of(type.dtype) * static_cast<size_t>(type.width * batch.rows()));
  }
  for (Bytes& result : results) destinations.push_back(result.data());
  Workspace workspace;
  model.run(batch, outputs, destinations, workspace);
  return results;
}

// Runs `work(thread)` in all threads at once; gives how many threads said that something differed.
template <class Work>
int in_threads(const Work& work) {
  std::atomic<int> waiting = kThreads;
  std::atomic<int> differing = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&, i] {
      for (--waiting; waiting > 0;) std::this_thread::yield();
      if (!work(i)) ++differing;
    });
  for (std::thread& thread : threads) thread.join();
  return differing;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(threads)

BOOST_AUTO_TEST_CASE(one_model_one_batch) {
  const Model model(forest_program());
  const SchemaRows rows(model.program(), kRows, 1);
  const Batch batch = rows.batch(0, kRows);
  const auto expected = run_all(model, batch);
  const int64_t rounds = scaled(20);
  BOOST_TEST(in_threads([&](int) {
               for (int64_t round = 0; round < rounds; ++round)
                 if (run_all(model, batch) != expected) return false;
               return true;
             }) == 0);
}

BOOST_AUTO_TEST_CASE(one_model_row_by_row) {
  const Model model(forest_program());
  const SchemaRows rows(model.program(), kRows, 2);
  const auto expected = run_all(model, rows.batch(0, kRows));
  BOOST_TEST(in_threads([&](int thread) {
               for (int64_t row = thread; row < kRows; row += kThreads) {
                 const auto found = run_all(model, rows.batch(row, 1));
                 for (size_t i = 0; i < found.size(); ++i)
                   if (std::memcmp(found[i].data(),
                                   expected[i].data() + static_cast<size_t>(row) * found[i].size(),
                                   found[i].size()) != 0)
                     return false;
               }
               return true;
             }) == 0);
}

BOOST_AUTO_TEST_CASE(load_save_and_errors_at_once) {
  const Bytes good = encode_artifact(program());
  Bytes bad = good;
  bad[bad.size() / 2] ^= std::byte{1};
  BOOST_TEST(in_threads([&](int) {
               for (int round = 0; round < 5; ++round) {
                 const auto model = Model::from_bytes(good);
                 if (encode_artifact(model->program()) != good) return false;
                 if (refusal(ErrorCode::artifact, [&] { Model::from_bytes(bad); }) == "accepted")
                   return false;
               }
               return true;
             }) == 0);
}

BOOST_AUTO_TEST_SUITE_END()

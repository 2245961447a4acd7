// One model in many threads: what ThreadSanitizer must find nothing in, and the same bytes from every thread.
#include <algorithm>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>

#include "artifact_samples.h"
#include "op_samples.h"
#include "runtime/model.h"
#include "runtime/warm_workspace.h"
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

std::vector<Bytes> run_all(const Model& model, const Batch& batch, Workspace& workspace) {
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
  model.run(batch, outputs, destinations, workspace);
  return results;
}

std::vector<Bytes> run_all(const Model& model, const Batch& batch) {
  Workspace workspace;
  return run_all(model, batch, workspace);
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

// Numbers of one column, and the errors and the time that a test wants.
struct SlowNumbers final : Source {
  void read(int32_t, int64_t first, int64_t n, DType, void* out) const override {
    std::this_thread::sleep_for(pause);
    for (int64_t row = first; row < first + n; ++row) {
      if (std::ranges::find(bad, row) != bad.end()) fail(ErrorCode::input, "row ", row);
      static_cast<double*>(out)[row - first] = static_cast<double>(row);
    }
  }
  std::vector<int64_t> bad;
  std::chrono::microseconds pause{0};
};

BOOST_AUTO_TEST_CASE(chunks_on_several_threads) {
  Program program = empty_program();
  const int32_t age = append_column(program, 0, "f64");
  program.outputs = {named("transform", append(program, "unary", {age}, {{"fn", std::string("negative")}}))};
  validate_program(program);
  const Plan plan(program);
  const int64_t chunk = plan.chunk_rows();
  Workspace workspace;
  const std::vector<int32_t> outputs = {0};
  const auto run = [&](const Source& source, int64_t rows, Threading threading) {
    std::vector<double> out(static_cast<size_t>(rows));
    void* const destinations[] = {out.data()};
    plan.run(source, rows, outputs, destinations, workspace, threading);
    return out;
  };
  for (int64_t rows : {int64_t{0}, int64_t{1}, chunk - 1, chunk, chunk + 1, 7 * chunk + 3, 20 * chunk}) {
    SlowNumbers source;
    const std::vector<double> expected = run(source, rows, {});
    for (int64_t row = 0; row < rows; ++row)
      BOOST_REQUIRE(expected[static_cast<size_t>(row)] == -static_cast<double>(row));
    for (int threads : {2, 3, 8, 16})
      for (double work : {0.0, 1e3, 1e5}) BOOST_TEST((run(source, rows, {threads, work}) == expected));
    if (rows < 2 * chunk) continue;
    // the message of the first bad row in order, though a later chunk comes to its own sooner
    source.bad = {rows - 1, chunk + 5, chunk + 9, 2 * chunk};
    for (int threads : {1, 2, 3, 8, 16})
      BOOST_TEST(refusal(ErrorCode::input, [&] { run(source, rows, {threads, 0}); }) ==
                 "row " + text(chunk + 5));
  }

  // whether a run is spread is decided by the time that a row took before
  const auto spread = [&](double work) {
    SlowNumbers source;
    source.pause = std::chrono::milliseconds(20);
    const auto start = std::chrono::steady_clock::now();
    run(source, 8 * chunk, {8, work});
    return std::chrono::steady_clock::now() - start < std::chrono::milliseconds(8 * 20);
  };
  BOOST_TEST(!spread(1e9));
  BOOST_TEST(spread(1e5));
}

BOOST_AUTO_TEST_CASE(one_model_on_several_threads) {
  Model model(forest_program());
  constexpr int64_t kMany = 5000;
  const SchemaRows rows(model.program(), kMany, 3);
  const Batch batch = rows.batch(0, kMany);
  model.set_threads(1);
  const auto expected = run_all(model, batch);
  BOOST_TEST(model.threads() == 1);
  std::vector<Workspace> workspaces(kThreads);
  const int64_t rounds = scaled(20);
  BOOST_TEST(in_threads([&](int thread) {
               for (int64_t round = 0; round < rounds; ++round) {
                 model.set_threads(1 + (thread + round) % 4);
                 if (run_all(model, batch, workspaces[static_cast<size_t>(thread)]) != expected) return false;
               }
               return true;
             }) == 0);
  model.set_threads(0);
  BOOST_TEST(model.threads() >= 1);
  for (int64_t wrong : {int64_t{-1}, int64_t{1025}})
    BOOST_TEST(refusal(ErrorCode::input, [&] { model.set_threads(wrong); }) ==
               "threads: expected an integer from 1 to 1024, or 0 for the default, but found " + text(wrong));
}

BOOST_AUTO_TEST_CASE(workspaces_are_kept_and_given_to_one_caller_at_a_time) {
  std::mutex mutex;
  std::set<Workspace*> used;
  BOOST_TEST(in_threads([&](int) {
               for (int round = 0; round < 200; ++round) {
                 const WarmWorkspace first;
                 const WarmWorkspace second;
                 const std::scoped_lock lock(mutex);
                 if (!used.insert(&*first).second || !used.insert(&*second).second) return false;
                 used.erase(&*first);
                 used.erase(&*second);
               }
               return true;
             }) == 0);
  Workspace* before = nullptr;
  {
    const WarmWorkspace workspace;
    before = &*workspace;
  }
  const WarmWorkspace again;
  BOOST_TEST(&*again == before);
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

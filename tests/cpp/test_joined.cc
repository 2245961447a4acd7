// Several tables in one run against a run for each of them.
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <span>

#include "artifact_samples.h"
#include "base/status.h"
#include "op_samples.h"
#include "runtime/model.h"
#include "schema_rows.h"

namespace {

using namespace samples;

// A text as it came, numbers side by side, categories of which one is refused.
Program mixed_program() {
  Program out = empty_program();
  out.schema.push_back({"height", {Kind::float64, TimeUnit::nano, {}}, true, false});
  const int32_t age = append_column(out, 0, "f64");
  const int32_t color = append_column(out, 1, "str");
  const int32_t count = append_column(out, 2, "f64");
  const int32_t height = append_column(out, 3, "f64");
  const int32_t code =
      append(out, "encode", {color}, {{"unknown", std::string("code")}}, {{"keys", texts({"a", "", "red"})}});
  const int32_t number = append(out, "table", {code}, {},
                                {{"values", slab<double>({1, 2, 3})}, {"default", slab<double>({-1})}});
  const int32_t all = append(out, "concat", {age, height, count, number});
  out.outputs = {output(color, "object"), output(all, "float64"), output(code, "int32")};
  for (size_t i = 0; i < out.outputs.size(); ++i) out.outputs[i].index = static_cast<int32_t>(i);
  return out;
}

Program strict_program() {
  Program out = empty_program();
  const int32_t color = append_column(out, 1, "str");
  const int32_t code =
      append(out, "encode", {color}, {{"unknown", std::string("error")}, {"null_code", int64_t{7}}},
             {{"keys", texts({"a", "red"})}});
  out.outputs = {output(code, "int32")};
  return out;
}

std::vector<Bytes> run_all(const Model& model, std::span<const Batch* const> batches) {
  const Program& program = model.program();
  int64_t rows = 0;
  for (const Batch* batch : batches) rows += batch->rows();
  std::vector<int32_t> outputs(program.outputs.size());
  std::iota(outputs.begin(), outputs.end(), 0);
  std::vector<Bytes> results;
  std::vector<void*> destinations;
  for (const OutputSpec& one : program.outputs) {
    const ValueType type = program.nodes[static_cast<size_t>(one.value)].type;
    results.emplace_back(size_of(type.dtype) * static_cast<size_t>(type.width * rows));
  }
  for (Bytes& result : results) destinations.push_back(result.data());
  Workspace workspace;
  if (batches.size() == 1) model.run(*batches.front(), outputs, destinations, workspace);
  else model.run(batches, outputs, destinations, workspace);
  return results;
}

std::vector<const Batch*> pointers(const std::vector<Batch>& batches) {
  std::vector<const Batch*> out;
  for (const Batch& batch : batches) out.push_back(&batch);
  return out;
}

// What runs of each alone give, one after the other.
std::vector<Bytes> run_each(const Model& model, const std::vector<Batch>& batches) {
  std::vector<Bytes> results(model.program().outputs.size());
  for (const Batch& batch : batches) {
    const Batch* const alone[] = {&batch};
    const std::vector<Bytes> found = run_all(model, alone);
    for (size_t i = 0; i < found.size(); ++i)
      results[i].insert(results[i].end(), found[i].begin(), found[i].end());
  }
  return results;
}

// One text for each row.
class Colors {
 public:
  explicit Colors(std::vector<std::string_view> values) {
    for (const std::string_view value : values)
      refs_.push_back({value.data(), static_cast<int64_t>(value.size())});
    ColumnView view;
    view.storage = Storage::refs;
    view.type.kind = Kind::string;
    view.length = static_cast<int64_t>(refs_.size());
    view.stride = sizeof(StringRef);
    view.data = refs_.data();
    batch_ = Batch(view.length, std::make_shared<const std::vector<std::string>>(1, "color"), {view}, {});
  }
  const Batch& batch() const { return batch_; }

 private:
  std::vector<StringRef> refs_;
  Batch batch_;
};

std::vector<int32_t> numbers_in(const Bytes& bytes) {
  std::vector<int32_t> out(bytes.size() / sizeof(int32_t));
  if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(joined)

BOOST_AUTO_TEST_CASE(tables_in_one_run_give_what_each_gives_alone) {
  Model model(mixed_program());
  constexpr int64_t kRows = 9000;
  const SchemaRows rows(model.program(), kRows, 11);
  std::mt19937 random(5);
  for (int64_t round = scaled(60); round-- > 0;) {
    // few tables and many, single rows, none, and more than a chunk in one table or only in all of them
    const int64_t longest = std::vector<int64_t>{1, 2, 9, 300, 1500}[random() % 5];
    std::vector<Batch> batches;
    int64_t first = 0;
    for (size_t left = 1 + random() % 70; left > 0 && first < kRows; --left) {
      const int64_t count = std::min(static_cast<int64_t>(random()) % (longest + 1), kRows - first);
      batches.push_back(rows.batch(first, count));
      first += count;
    }
    for (const int threads : {1, 3}) {
      model.set_threads(threads);
      BOOST_TEST((run_all(model, pointers(batches)) == run_each(model, batches)));
    }
  }
}

BOOST_AUTO_TEST_CASE(tables_around_the_ends_of_chunks) {
  const Model model(mixed_program());
  const int64_t chunk = model.chunk_rows();
  const SchemaRows rows(model.program(), 4 * chunk, 12);
  for (const int64_t cut : {int64_t{1}, chunk - 1, chunk, chunk + 1, 2 * chunk}) {
    const std::vector<Batch> batches = {rows.batch(0, 0),
                                        rows.batch(0, cut),
                                        rows.batch(cut, 0),
                                        rows.batch(cut, 4 * chunk - cut - 1),
                                        rows.batch(4 * chunk - 1, 1),
                                        rows.batch(4 * chunk, 0)};
    BOOST_TEST((run_all(model, pointers(batches)) == run_each(model, batches)));
  }
  const std::vector<Batch> empty = {rows.batch(0, 0), rows.batch(0, 0)};
  BOOST_TEST((run_all(model, pointers(empty)) == run_each(model, empty)));
  BOOST_TEST((run_all(model, {}) == run_each(model, {})));
}

// A matrix, columns of their own in another order, and a dictionary: each table is read in its own way.
BOOST_AUTO_TEST_CASE(tables_of_different_layouts) {
  const Model model(mixed_program());
  const std::vector<double> matrix = {1, 2, std::numeric_limits<double>::quiet_NaN(), 4, -0.0, 6};
  const std::vector<int64_t> counts = {7, 8, 9};
  const std::vector<StringRef> words = {{"red", 3}, {"blue", 4}};
  const std::vector<int32_t> indices = {1, 0, 1};
  const auto column = [](Storage storage, Kind kind, const void* data, int64_t stride) {
    ColumnView out;
    out.storage = storage;
    out.type.kind = kind;
    out.length = 3;
    out.stride = stride;
    out.data = data;
    return out;
  };
  const ColumnView age = column(Storage::float64, Kind::float64, matrix.data(), 2 * sizeof(double));
  const ColumnView height = column(Storage::float64, Kind::float64, matrix.data() + 1, 2 * sizeof(double));
  const ColumnView count = column(Storage::int64, Kind::int64, counts.data(), sizeof(int64_t));
  ColumnView entries = column(Storage::refs, Kind::string, words.data(), sizeof(StringRef));
  entries.length = 2;
  ColumnView color = column(Storage::int32, Kind::string, indices.data(), sizeof(int32_t));
  color.dictionary = &entries;
  const auto named = [](std::vector<std::string> names) {
    return std::make_shared<const std::vector<std::string>>(std::move(names));
  };
  const SchemaRows rows(model.program(), 40, 13);
  const std::vector<Batch> batches = {
      Batch(3, named({"age", "color", "count", "height"}), {age, color, count, height}, {}),
      rows.batch(0, 40),
      Batch(3, named({"height", "count", "color", "age"}), {height, count, color, age}, {})};
  BOOST_TEST((run_all(model, pointers(batches)) == run_each(model, batches)));
}

BOOST_AUTO_TEST_CASE(one_table_at_fault_fails_all) {
  const Model model(strict_program());
  const Colors good({"a", "red"}), other({"red"}), bad({"a", "blue"});
  const Batch* const accepted[] = {&good.batch(), &other.batch(), &good.batch()};
  BOOST_TEST(numbers_in(run_all(model, accepted).front()) == (std::vector<int32_t>{0, 1, 1, 0, 1}),
             boost::test_tools::per_element());
  const Batch* const refused[] = {&good.batch(), &bad.batch(), &other.batch()};
  BOOST_TEST(contains(refusal(ErrorCode::input, [&] { run_all(model, refused); }), "'blue'"));
}

BOOST_AUTO_TEST_CASE(a_table_that_does_not_fit_is_refused_wherever_it_stands) {
  const Model model(strict_program());
  const Colors good({"a"});
  const Batch stranger(0, std::make_shared<const std::vector<std::string>>(1, "colour"), {ColumnView()}, {});
  const Batch* const first[] = {&stranger, &good.batch()};
  const Batch* const last[] = {&good.batch(), &stranger};
  for (const auto& batches : {first, last})
    BOOST_TEST(contains(refusal(ErrorCode::input, [&] { run_all(model, std::span(batches, 2)); }), "colour"));
}

BOOST_AUTO_TEST_SUITE_END()

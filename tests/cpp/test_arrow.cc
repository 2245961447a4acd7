#include <boost/test/unit_test.hpp>
#include <cstring>
#include <memory>
#include <random>

#include "arrow_samples.h"
#include "base/status.h"
#include "runtime/arrow_export.h"
#include "runtime/arrow_import.h"
#include "runtime/decode.h"

namespace {

using namespace mlcore;
using samples::Column;
using samples::Field;

const std::vector<int32_t> kOffsets{0, 1, 3, 6};
const std::string kText = "abbccc";
const std::vector<int64_t> kNumbers{1, 2, 3};

Field field(const std::string& format) { return {"c", format, "", {}, nullptr}; }
Column numbers() { return {3, 0, 0, {nullptr, kNumbers.data()}, {}, nullptr}; }
Column strings(const int32_t* offsets = kOffsets.data(), const char* text = kText.data()) {
  return {3, 0, 0, {nullptr, offsets, text}, {}, nullptr};
}

ColumnSpec spec(Kind kind) { return {"c", {kind, TimeUnit::nano, {}}, true, false}; }

// Imports a one-column table, reads the column as `kind`, and drops everything.
void use(const Field& f, const Column& c, Kind kind, Validation level = Validation::standard) {
  ArrowSchema schema = samples::schema_of(samples::table_field(f));
  ArrowArray array = samples::array_of(samples::table_column(c));
  const Batch batch = import_batch(&schema, &array, level);
  BOOST_CHECK(!schema.release && !array.release);
  bind_columns({spec(kind)}, {true}, batch);
  std::vector<StringRef> out(static_cast<size_t>(batch.rows()));
  decode(spec(kind), batch.column(0), 0, batch.rows(), kind == Kind::string ? DType::str : DType::f64,
         out.data());
}

template <class Action>
std::string input_error(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    BOOST_CHECK(error.code() == ErrorCode::input);
    return error.what();
  }
  return {};
}

struct CountReleases {
  CountReleases() {
    samples::live_structs = 0;
    samples::double_releases = 0;
  }
  ~CountReleases() {
    BOOST_CHECK_EQUAL(samples::live_structs, 0);
    BOOST_CHECK_EQUAL(samples::double_releases, 0);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(arrow, CountReleases)

BOOST_AUTO_TEST_CASE(good_arrays_at_every_level) {
  for (const Validation level : {Validation::none, Validation::standard, Validation::full}) {
    use(field("l"), numbers(), Kind::int64, level);
    use(field("u"), strings(), Kind::string, level);
  }
}

BOOST_AUTO_TEST_CASE(broken_structure_is_refused_at_every_level) {
  const std::vector<std::pair<Field, Column>> cases{
      {field("l"), {-1, 0, 0, {nullptr, kNumbers.data()}, {}, nullptr}},
      {field("l"), {3, 0, -1, {nullptr, kNumbers.data()}, {}, nullptr}},
      {field("l"), {INT64_MAX, 0, INT64_MAX, {nullptr, kNumbers.data()}, {}, nullptr}},
      {field("l"), {3, 0, 0, {nullptr, nullptr}, {}, nullptr}},
      {field("l"), {3, 0, 0, {nullptr}, {}, nullptr}},
      {field("l"), {3, 0, 0, {nullptr, kNumbers.data(), nullptr}, {}, nullptr}},
      {field("l"), {3, 2, 0, {nullptr, kNumbers.data()}, {}, nullptr}},
      {field("l"), {3, 4, 0, {kNumbers.data(), kNumbers.data()}, {}, nullptr}},
      {field("l"), {3, -2, 0, {nullptr, kNumbers.data()}, {}, nullptr}},
      {field("l"), {3, 0, 0, {nullptr, kNumbers.data()}, {numbers()}, nullptr}},
      {field("l"), {3, 0, 0, {nullptr, kNumbers.data()}, {}, std::make_shared<Column>(strings())}},
      {field("?"), numbers()},
      {field(""), numbers()},
      {field("d:5"), numbers()},
      {field("tsx:"), numbers()},
      {field("u"), {3, 0, 0, {nullptr, nullptr, kText.data()}, {}, nullptr}},
      {field("vu"), {3, 0, 0, {nullptr, kNumbers.data()}, {}, nullptr}},
      {{"c", "i", "", {}, std::make_shared<Field>(field("u"))},
       {3, 0, 0, {nullptr, kOffsets.data()}, {}, nullptr}},
      {{"c", "g", "", {}, std::make_shared<Field>(field("u"))}, numbers()},
  };
  for (const Validation level : {Validation::none, Validation::standard, Validation::full})
    for (size_t i = 0; i < cases.size(); ++i) {
      Column table = samples::table_column(cases[i].second);
      table.length = 3;
      ArrowSchema schema = samples::schema_of(samples::table_field(cases[i].first));
      ArrowArray array = samples::array_of(table);
      BOOST_CHECK_MESSAGE(!input_error([&] { import_batch(&schema, &array, level); }).empty(),
                          "accepted broken array " << i);
      BOOST_CHECK(!schema.release && !array.release);
    }
}

BOOST_AUTO_TEST_CASE(contents_are_checked_before_they_are_read) {
  const std::vector<int32_t> past_end{0, 1000000, 3, 6};
  const std::vector<int32_t> decreasing{0, 3, 1, 6};
  const std::vector<int32_t> negative{-5, 0, 1, 6};
  for (const auto& offsets : {past_end, decreasing, negative}) {
    BOOST_CHECK(!input_error([&] { use(field("u"), strings(offsets.data()), Kind::string); }).empty());
    BOOST_CHECK(!input_error([&] {
                   use(field("u"), strings(offsets.data()), Kind::string, Validation::full);
                 }).empty());
  }
  const std::string broken = "ab\xff\xfe\xc0z";
  const std::string message =
      input_error([&] { use(field("u"), strings(kOffsets.data(), broken.data()), Kind::string); });
  BOOST_CHECK_EQUAL(message,
                    "column 'c', row 1: expected string but found bytes that are not UTF-8: 'b\\xff'");
  // a null row's text is not read, and full validation agrees that nothing is there
  const uint8_t first_only = 1;
  Column masked = strings(kOffsets.data(), broken.data());
  masked.buffers[0] = &first_only;
  masked.null_count = 2;
  use(field("u"), masked, Kind::string);
  use(field("u"), masked, Kind::string, Validation::full);
  masked.null_count = 1;
  BOOST_CHECK(!input_error([&] { use(field("u"), masked, Kind::string, Validation::full); }).empty());
}

BOOST_AUTO_TEST_CASE(dictionary_indices_and_entries) {
  const Field f{"c", "c", "", {}, std::make_shared<Field>(field("u"))};
  const auto dictionary = std::make_shared<Column>(strings());
  const std::vector<int8_t> good{2, 0, 1};
  use(f, {3, 0, 0, {nullptr, good.data()}, {}, dictionary}, Kind::string, Validation::full);
  for (const int8_t bad : {int8_t{3}, int8_t{-1}, int8_t{127}}) {
    const std::vector<int8_t> codes{2, bad, 1};
    for (const Validation level : {Validation::none, Validation::standard, Validation::full})
      BOOST_CHECK(!input_error([&] {
                     use(f, {3, 0, 0, {nullptr, codes.data()}, {}, dictionary}, Kind::string, level);
                   }).empty());
  }
  // an entry that no row uses may be broken, except under full validation
  const std::string broken = "abb\xff\xff\xff";
  const auto bad_entry = std::make_shared<Column>(strings(kOffsets.data(), broken.data()));
  const std::vector<int8_t> unused{0, 1, 0};
  use(f, {3, 0, 0, {nullptr, unused.data()}, {}, bad_entry}, Kind::string);
  BOOST_CHECK(!input_error([&] {
                 use(f, {3, 0, 0, {nullptr, unused.data()}, {}, bad_entry}, Kind::string, Validation::full);
               }).empty());
  BOOST_CHECK(
      !input_error([&] { use(f, {3, 0, 0, {nullptr, good.data()}, {}, bad_entry}, Kind::string); }).empty());
}

BOOST_AUTO_TEST_CASE(string_views) {
  struct View {
    int32_t size;
    char prefix[4];
    int32_t buffer;
    int32_t start;
  };
  const std::string text = "a string that is longer than twelve";
  const auto inside = [&](int32_t size, int32_t buffer, int32_t start) {
    View out{size, {}, buffer, start};
    if (start >= 0 && static_cast<size_t>(start) + 4 <= text.size())
      std::memcpy(out.prefix, text.data() + start, 4);
    return out;
  };
  const int64_t size = static_cast<int64_t>(text.size());
  View inlined{3, {}, 0, 0};
  std::memcpy(inlined.prefix, "xyz", 3);
  const auto column = [&](const std::vector<View>& views) {
    return Column{static_cast<int64_t>(views.size()),          0,  0,
                  {nullptr, views.data(), text.data(), &size}, {}, nullptr};
  };
  const std::vector<View> good{inlined, inside(20, 0, 2), inside(static_cast<int32_t>(size), 0, 0)};
  for (const Validation level : {Validation::none, Validation::standard, Validation::full})
    use(field("vu"), column(good), Kind::string, level);
  View other_prefix = good[1];
  other_prefix.prefix[0] = '#';
  for (const View& bad : {inside(-1, 0, 0), inside(20, 1, 0), inside(20, -1, 0), inside(20, 0, -1),
                          inside(20, 0, 16), inside(INT32_MAX, 0, INT32_MAX), other_prefix}) {
    const std::vector<View> views{inlined, bad};
    BOOST_CHECK(!input_error([&] { use(field("vu"), column(views), Kind::string); }).empty());
  }
  const int64_t negative = -1;
  Column sizes = column(good);
  sizes.buffers[3] = &negative;
  BOOST_CHECK(!input_error([&] { use(field("vu"), sizes, Kind::string); }).empty());
}

// What is accepted must lie inside the buffers; the sanitizer build sees any byte read outside.
BOOST_AUTO_TEST_CASE(random_contents_stay_inside_their_buffers) {
  std::mt19937 random(7);
  const auto between = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  int accepted = 0;
  for (int trial = 0; trial < 4000; ++trial) {
    const int64_t rows = between(1, 9);
    const int64_t offset = between(0, 3);
    const bool wide = trial % 2 == 0;
    std::vector<int64_t> ends;
    for (int64_t i = 0; i <= rows + offset; ++i) ends.push_back(between(0, 4) + (i > 0 ? ends.back() : 0));
    if (trial % 3 != 0) ends[static_cast<size_t>(between(0, rows + offset))] = between(-3, 60);
    std::vector<int32_t> narrow(ends.begin(), ends.end());
    // exactly as long as the last offset says
    const auto text = std::make_unique<char[]>(static_cast<size_t>(std::max<int64_t>(ends.back(), 0)));
    for (int64_t i = 0; i < ends.back(); ++i)
      text[static_cast<size_t>(i)] = static_cast<char>(between(0, 19) == 0 ? 0xC3 : between(32, 126));
    const void* offsets =
        wide ? static_cast<const void*>(ends.data()) : static_cast<const void*>(narrow.data());
    const Column c{rows, 0, offset, {nullptr, offsets, text.get()}, {}, nullptr};
    const Field f = field(wide ? "U" : "u");
    const std::string standard = input_error([&] { use(f, c, Kind::string); });
    const std::string full = input_error([&] { use(f, c, Kind::string, Validation::full); });
    BOOST_CHECK_EQUAL(standard.empty(), full.empty());
    accepted += full.empty() ? 1 : 0;

    std::vector<int8_t> codes;
    for (int64_t i = 0; i < 5; ++i) codes.push_back(static_cast<int8_t>(between(-1, rows)));
    const Field of_strings{"c", "c", "", {}, std::make_shared<Field>(f)};
    const Column coded{5, 0, 0, {nullptr, codes.data()}, {}, std::make_shared<Column>(c)};
    const bool good = input_error([&] { use(of_strings, coded, Kind::string, Validation::full); }).empty();
    if (good) BOOST_CHECK(input_error([&] { use(of_strings, coded, Kind::string); }).empty());
  }
  BOOST_CHECK(accepted > 100 && accepted < 3900);
}

BOOST_AUTO_TEST_CASE(empty_arrays_may_have_null_buffers) {
  use(field("l"), {0, 0, 0, {nullptr, nullptr}, {}, nullptr}, Kind::int64, Validation::full);
  use(field("u"), {0, 0, 0, {nullptr, nullptr, nullptr}, {}, nullptr}, Kind::string, Validation::full);
  use(field("vu"), {0, 0, 0, {nullptr, nullptr, nullptr}, {}, nullptr}, Kind::string, Validation::full);
  use(field("n"), {3, 3, 0, {}, {}, nullptr}, Kind::string, Validation::full);
  // null_count -1: not counted
  use(field("l"), {3, -1, 0, {nullptr, kNumbers.data()}, {}, nullptr}, Kind::int64, Validation::full);
}

BOOST_AUTO_TEST_CASE(unsupported_types_matter_only_where_they_are_read) {
  const auto key = [](std::string_view name, std::string_view value) {
    std::string out(4, '\0');
    out[0] = 1;
    for (const std::string_view part : {name, value}) {
      const auto size = static_cast<int32_t>(part.size());
      out.append(reinterpret_cast<const char*>(&size), 4);
      out += part;
    }
    return out;
  };
  Field extension = field("l");
  extension.metadata = key("ARROW:extension:name", "some.period");
  Field plain = field("l");
  plain.metadata = key("PARQUET:field_id", "1");
  use(plain, numbers(), Kind::int64);
  const std::vector<std::pair<Field, std::string>> cases{{{"c", "+l", "", {field("l")}, nullptr}, "list"},
                                                         {{"c", "+r", "", {}, nullptr}, "run-end encoded"},
                                                         {field("z"), "binary"},
                                                         {field("ttu"), "time64"},
                                                         {field("tDn"), "duration"},
                                                         {extension, "some.period"}};
  for (const auto& [f, name] : cases) {
    const std::string message = input_error([&, source = f] { use(source, numbers(), Kind::int64); });
    BOOST_CHECK_MESSAGE(message.starts_with("column 'c': expected int64 but found ") &&
                            message.find(name) != std::string::npos,
                        message);
    ArrowSchema schema = samples::schema_of(samples::table_field(f));
    ArrowArray array = samples::array_of(samples::table_column(numbers()));
    const Batch batch = import_batch(&schema, &array);
    bind_columns({spec(Kind::int64)}, {false}, batch);
  }
}

BOOST_AUTO_TEST_CASE(tables_are_structs_without_null_rows) {
  ArrowSchema schema = samples::schema_of(field("l"));
  ArrowArray array = samples::array_of(numbers());
  BOOST_CHECK(input_error([&] { import_batch(&schema, &array); }).find("found int64") != std::string::npos);
  const uint8_t bits = 5;
  Column table = samples::table_column(numbers());
  table.buffers[0] = &bits;
  table.null_count = 1;
  schema = samples::schema_of(samples::table_field(field("l")));
  array = samples::array_of(table);
  BOOST_CHECK(input_error([&] { import_batch(&schema, &array); }).find("row 1") != std::string::npos);
  // the struct's own offset counts for its columns
  table = samples::table_column(numbers());
  table.offset = 1;
  table.length = 2;
  schema = samples::schema_of(samples::table_field(field("l")));
  array = samples::array_of(table);
  const Batch batch = import_batch(&schema, &array);
  int64_t out[2];
  decode(spec(Kind::int64), batch.column(0), 0, 2, DType::i64, out);
  BOOST_CHECK(out[0] == 2 && out[1] == 3);
  table.length = 3;
  schema = samples::schema_of(samples::table_field(field("l")));
  array = samples::array_of(table);
  BOOST_CHECK(!input_error([&] { import_batch(&schema, &array); }).empty());
}

BOOST_AUTO_TEST_CASE(streams_release_on_every_path) {
  const samples::StreamState state{samples::table_field(field("l")),
                                   {samples::table_column(numbers()), samples::table_column(numbers())},
                                   0,
                                   -1};
  for (int fail_at = -1; fail_at < 4; ++fail_at) {
    samples::StreamState failing = state;
    failing.fail_at = fail_at;
    ArrowArrayStream stream = samples::stream_of(failing);
    std::vector<Batch> batches;
    const std::string message = input_error([&] {
      ArrowReader reader(&stream);
      while (auto batch = reader.next()) batches.push_back(*batch);
      BOOST_CHECK(!reader.next());
    });
    BOOST_CHECK(!stream.release);
    BOOST_CHECK_EQUAL(message.empty(), fail_at < 0);
    if (fail_at >= 0) BOOST_CHECK(message.find("disk on fire") != std::string::npos);
    for (size_t i = 0; i < batches.size(); ++i)
      BOOST_CHECK_EQUAL(batches[i].first_row(), static_cast<int64_t>(3 * i));
  }
  ArrowArrayStream unread = samples::stream_of(state);
  BOOST_CHECK_EQUAL(ArrowReader(&unread).empty().column_count(), 1u);
  ArrowArrayStream released{};
  BOOST_CHECK(!input_error([&] { ArrowReader reader(&released); }).empty());
}

BOOST_AUTO_TEST_CASE(columns_in_pieces) {
  ArrowArrayStream stream = samples::stream_of({field("u"), {strings(), strings()}, 0, -1});
  const auto batches = align_chunks({import_column("c", &stream, kNaN, Validation::standard)}, -1);
  BOOST_CHECK_EQUAL(batches.size(), 2u);
  BOOST_CHECK(batches[1].column(0).missing_kind == kNaN);
  ArrowArrayStream empty = samples::stream_of({field("u"), {}, 0, -1});
  BOOST_CHECK_EQUAL(align_chunks({import_column("c", &empty, kNull, Validation::full)}, 0).front().rows(), 0);
}

BOOST_AUTO_TEST_CASE(results_go_out_and_come_back) {
  ArrowTable table(3);
  const std::vector<double> reals{0.5, -1.0, 2.0};
  const std::vector<uint8_t> flags{1, 0, 7};
  const std::vector<StringRef> texts{{"caf\xc3\xa9", 5}, {nullptr, kNaN}, {"", 0}};
  table.add("f", {Kind::float64, TimeUnit::nano, {}}, std::as_bytes(std::span(reals)));
  table.add("b", {Kind::boolean, TimeUnit::nano, {}}, std::as_bytes(std::span(flags)));
  table.add("s", texts);
  table.add("t", {Kind::timestamp, TimeUnit::milli, "UTC"}, std::as_bytes(std::span(kNumbers)));
  BOOST_CHECK(!input_error([&] {
                 table.add("x", {Kind::float32, TimeUnit::nano, {}}, std::as_bytes(std::span(reals)));
               }).empty());
  BOOST_CHECK(!input_error([&] { table.add("x", std::span(texts).first(2)); }).empty());

  ArrowSchema schema;
  ArrowArray array;
  table.export_schema(&schema);
  table.export_array(&array);
  // padding up to the next 64 bytes is zero
  const auto* bits = static_cast<const uint8_t*>(array.children[1]->buffers[1]);
  BOOST_CHECK_EQUAL(bits[0], 5);
  for (int i = 1; i < 64; ++i) BOOST_CHECK_EQUAL(bits[i], 0);
  BOOST_CHECK_EQUAL(reinterpret_cast<uintptr_t>(array.children[0]->buffers[1]) % 64, 0u);
  BOOST_CHECK_EQUAL(array.children[2]->null_count, 1);

  // a consumer may keep one child and release the rest
  ArrowArray kept = *array.children[0];
  array.children[0]->release = nullptr;
  array.release(&array);
  BOOST_CHECK(!array.release);
  BOOST_CHECK_EQUAL(static_cast<const double*>(kept.buffers[1])[2], 2.0);
  kept.release(&kept);
  schema.release(&schema);

  ArrowArrayStream stream;
  table.export_stream(&stream);
  table = ArrowTable(0);  // exports outlive the table
  ArrowReader reader(&stream, Validation::full);
  const auto batch = reader.next();
  BOOST_REQUIRE(batch && !reader.next());
  StringRef out[3];
  decode(spec(Kind::string), batch->column(2), 0, 3, DType::str, out);
  BOOST_CHECK(std::string_view(out[0].data, 5) == "caf\xc3\xa9" && !out[1].data && out[2].data &&
              out[2].size == 0);
  BOOST_CHECK_EQUAL(found_type(batch->column(3)), "timestamp[ms, UTC]");
}

BOOST_AUTO_TEST_SUITE_END()

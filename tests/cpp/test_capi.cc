// The C API: every mistake is an error that says what was expected, and no run allocates once it is warm.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <thread>

#include "arrow_samples.h"
#include "artifact_samples.h"
#include "capi/mlcore.h"
#include "counted_new.h"
#include "op_samples.h"
#include "runtime/decode.h"
#include "runtime/row.h"
#include "schema_rows.h"

namespace {

using namespace samples;

// age and the number of a color as features; the larger one by name; the color itself; a float32 and its
// sign.
Program small_program() {
  Program out = empty_program();
  out.schema.push_back({"small", {Kind::float32, TimeUnit::nano, {}}, true, false});
  out.schema.push_back({"flag", {Kind::boolean, TimeUnit::nano, {}}, true, false});
  out.schema.push_back({"day", {Kind::date32, TimeUnit::nano, {}}, true, false});
  out.schema.push_back({"unused", {Kind::string, TimeUnit::nano, {}}, true, false});
  out.schema.push_back({"wide", {Kind::uint64, TimeUnit::nano, {}}, true, false});
  const int32_t age = append_column(out, 0, "f64");
  const int32_t color = append_column(out, 1, "str");
  const int32_t count = append_column(out, 2, "f64");
  const int32_t flag = append_column(out, 4, "f64");
  const int32_t day = append_column(out, 5, "f64");
  const int32_t wide = append_column(out, 7, "f64");
  const int32_t code =
      append(out, "encode", {color}, {{"unknown", std::string("code")}}, {{"keys", texts({"a", "", "red"})}});
  const int32_t number = append(out, "table", {code}, {},
                                {{"values", slab<double>({1, 2, 3})}, {"default", slab<double>({-1})}});
  const int32_t features = append(out, "concat", {age, number, count, flag, day, wide});
  const int32_t larger = append(out, "argmax", {append(out, "concat", {age, number})});
  const int32_t small = append_column(out, 3, "f32");
  const auto add = [&](const char* method, int32_t value, const char* dtype) -> OutputSpec& {
    out.outputs.push_back(output(value, dtype));
    out.outputs.back().method = method;
    return out.outputs.back();
  };
  add("transform", features, "float64").names = {"age", "color", "count", "flag", "day", "wide"};
  const auto label = [&](OutputSpec& spec, Constant labels) {
    spec.labels = static_cast<int32_t>(out.constants.size());
    out.constants.push_back(std::move(labels));
  };
  label(add("predict", larger, "object"), texts({"age", "color"}));
  label(add("whole", larger, "int64"), slab<int64_t>({-7, 9}));
  label(add("real", larger, "float64"), slab<double>({0.5, -1.5}));
  add("text", color, "object");
  add("small", small, "float32");
  add("codes", code, "int32");
  return out;
}

struct Handles {
  mlc_model* model = nullptr;
  mlc_row* row = nullptr;

  explicit Handles(const char* method) {
    const Bytes bytes = encode_artifact(small_program());
    BOOST_REQUIRE_EQUAL(mlc_model_from_bytes(bytes.data(), static_cast<int64_t>(bytes.size()), &model),
                        MLC_OK);
    BOOST_REQUIRE_EQUAL(mlc_row_new(model, method, &row), MLC_OK);
  }
  Handles(const Handles&) = delete;
  Handles& operator=(const Handles&) = delete;
  ~Handles() {
    mlc_row_free(row);
    mlc_model_free(model);
  }

  void set_all(double age, const char* color) const {
    BOOST_REQUIRE_EQUAL(mlc_row_set_f64(row, 0, age), MLC_OK);
    BOOST_REQUIRE_EQUAL(mlc_row_set_text(row, 1, color, -1), MLC_OK);
    BOOST_REQUIRE_EQUAL(mlc_row_set_i64(row, 2, 4), MLC_OK);
    BOOST_REQUIRE_EQUAL(mlc_row_set_f64(row, 3, 0.5), MLC_OK);
    BOOST_REQUIRE_EQUAL(mlc_row_set_bool(row, 4, 1), MLC_OK);
    BOOST_REQUIRE_EQUAL(mlc_row_set_i64(row, 5, -3), MLC_OK);
    BOOST_REQUIRE_EQUAL(mlc_row_set_u64(row, 7, uint64_t{1} << 63), MLC_OK);
  }
};

// The message of a call that must fail with `status`.
std::string error(mlc_status status, mlc_status expected) {
  BOOST_TEST(status == expected);
  return mlc_last_error();
}

#define CHECK_ERROR(call, status, part) BOOST_TEST(contains(error(call, status), part))

}  // namespace

BOOST_AUTO_TEST_SUITE(capi)

BOOST_AUTO_TEST_CASE(versions) {
  BOOST_TEST(mlc_abi_version() == MLC_ABI_VERSION);
  BOOST_TEST(std::string(mlc_version()) == MLCORE_VERSION);
}

BOOST_AUTO_TEST_CASE(what_a_model_says_of_itself) {
  const Handles handles("predict");
  int64_t count = 0;
  BOOST_TEST(mlc_model_column_count(handles.model, &count) == MLC_OK);
  BOOST_TEST(count == 8);
  const char* text = nullptr;
  BOOST_TEST(mlc_model_column_name(handles.model, 1, &text) == MLC_OK);
  BOOST_TEST(std::string(text) == "color");
  BOOST_TEST(mlc_model_column_type(handles.model, 5, &text) == MLC_OK);
  BOOST_TEST(std::string(text) == "date32");
  int32_t flag = 0;
  BOOST_TEST(mlc_model_column_nullable(handles.model, 0, &flag) == MLC_OK);
  BOOST_TEST(flag == 1);
  BOOST_TEST(mlc_model_column_used(handles.model, 6, &flag) == MLC_OK);
  BOOST_TEST(flag == 0);
  int64_t index = -1;
  BOOST_TEST(mlc_model_find_column(handles.model, "day", &index) == MLC_OK);
  BOOST_TEST(index == 5);
  BOOST_TEST(mlc_model_output_count(handles.model, &count) == MLC_OK);
  BOOST_TEST(count == 7);
  constexpr int32_t kTypes[] = {MLC_F64, MLC_TEXT, MLC_I64, MLC_F64, MLC_TEXT, MLC_F32, MLC_I64};
  for (int64_t i = 0; i < count; ++i) {
    int32_t type = 0;
    BOOST_TEST(mlc_model_output_type(handles.model, i, &type) == MLC_OK);
    BOOST_TEST(type == kTypes[i]);
  }
  BOOST_TEST(mlc_model_find_output(handles.model, "small", &index) == MLC_OK);
  BOOST_TEST(index == 5);
  BOOST_TEST(mlc_model_output_method(handles.model, 5, &text) == MLC_OK);
  BOOST_TEST(std::string(text) == "small");
  BOOST_TEST(mlc_model_output_width(handles.model, 0, &count) == MLC_OK);
  BOOST_TEST(count == 6);
  BOOST_TEST(mlc_model_output_name(handles.model, 0, 5, &text) == MLC_OK);
  BOOST_TEST(std::string(text) == "wide");
  BOOST_TEST(mlc_model_output_name(handles.model, 1, 0, &text) == MLC_OK);
  BOOST_TEST(std::string(text) == "0");
  BOOST_TEST(mlc_row_output(handles.row, 0, &index) == MLC_OK);
  BOOST_TEST(index == 1);
}

BOOST_AUTO_TEST_CASE(answers) {
  const auto row_of = [](const char* method) {
    auto out = std::make_unique<Handles>(method);
    out->set_all(2.5, "red");
    BOOST_REQUIRE_EQUAL(mlc_row_run(out->row), MLC_OK);
    return out;
  };
  int64_t count = 0;
  const double* f64 = nullptr;
  const auto features = row_of(nullptr);  // predict
  const mlc_text* texts_found = nullptr;
  BOOST_TEST(mlc_row_text(features->row, 0, &texts_found, &count) == MLC_OK);
  BOOST_TEST(std::string(texts_found->data, static_cast<size_t>(texts_found->size)) == "color");

  const auto transform = row_of("transform");
  BOOST_TEST(mlc_row_f64(transform->row, 0, &f64, &count) == MLC_OK);
  const std::vector<double> expected{2.5, 3, 4, 1, -3, 0x1p63};
  BOOST_TEST(std::vector<double>(f64, f64 + count) == expected, boost::test_tools::per_element());
  // values stay; an earlier one is replaced whole
  BOOST_TEST(mlc_row_set_missing(transform->row, 0, MLC_MISSING_NULL) == MLC_OK);
  BOOST_TEST(mlc_row_set_text(transform->row, 1, "a, and more", 1) == MLC_OK);
  BOOST_TEST(mlc_row_run(transform->row) == MLC_OK);
  BOOST_TEST(mlc_row_f64(transform->row, 0, &f64, &count) == MLC_OK);
  BOOST_TEST(std::isnan(f64[0]));
  BOOST_TEST(f64[1] == 1.0);
  BOOST_TEST(f64[2] == 4.0);

  const int64_t* i64 = nullptr;
  BOOST_TEST(mlc_row_i64(row_of("whole")->row, 0, &i64, &count) == MLC_OK);
  const auto whole = row_of("whole");
  BOOST_TEST(mlc_row_i64(whole->row, 0, &i64, &count) == MLC_OK);
  BOOST_TEST(*i64 == 9);
  const auto real = row_of("real");
  BOOST_TEST(mlc_row_f64(real->row, 0, &f64, &count) == MLC_OK);
  BOOST_TEST(*f64 == -1.5);
  const auto codes = row_of("codes");
  BOOST_TEST(mlc_row_i64(codes->row, 0, &i64, &count) == MLC_OK);
  BOOST_TEST(*i64 == 2);
  const auto small = row_of("small");
  const float* f32 = nullptr;
  BOOST_TEST(mlc_row_f32(small->row, 0, &f32, &count) == MLC_OK);
  BOOST_TEST(*f32 == 0.5f);
  const auto text = row_of("text");
  BOOST_TEST(mlc_row_set_missing(text->row, 1, MLC_MISSING_NAN) == MLC_OK);
  BOOST_TEST(mlc_row_run(text->row) == MLC_OK);
  BOOST_TEST(mlc_row_text(text->row, 0, &texts_found, &count) == MLC_OK);
  BOOST_TEST(texts_found->data == nullptr);
  BOOST_TEST(texts_found->size == MLC_MISSING_NAN);
}

BOOST_AUTO_TEST_CASE(a_row_outlives_its_model) {
  Handles handles("transform");
  mlc_model_free(handles.model);
  handles.model = nullptr;
  handles.set_all(1, "");
  BOOST_TEST(mlc_row_run(handles.row) == MLC_OK);
}

BOOST_AUTO_TEST_CASE(many_columns_at_once) {
  const Handles handles("transform");
  handles.set_all(0, "a");
  const double one[] = {7.5};
  BOOST_TEST(mlc_row_set_f64s(handles.row, 0, 1, one) == MLC_OK);
  const float denormal[] = {1e-42f};
  BOOST_TEST(mlc_row_set_f32s(handles.row, 0, 1, denormal) == MLC_OK);
  BOOST_TEST(mlc_row_run(handles.row) == MLC_OK);
  const double* f64 = nullptr;
  int64_t count = 0;
  BOOST_TEST(mlc_row_f64(handles.row, 0, &f64, &count) == MLC_OK);
  BOOST_TEST(f64[0] == static_cast<double>(1e-42f));
  CHECK_ERROR(mlc_row_set_f64s(handles.row, 0, 2, std::vector<double>{1, 2}.data()), MLC_ERROR_INPUT,
              "'color'");
  CHECK_ERROR(mlc_row_set_f64s(handles.row, 7, 2, one), MLC_ERROR_ARGUMENT,
              "expected columns below 8 but found 2 from 7");
  CHECK_ERROR(mlc_row_set_f64s(handles.row, 1, std::numeric_limits<int64_t>::max(), one), MLC_ERROR_ARGUMENT,
              "below 8");
  CHECK_ERROR(mlc_row_set_f32s(handles.row, 0, 1, nullptr), MLC_ERROR_ARGUMENT, "null pointer");
  BOOST_TEST(mlc_row_set_f32s(handles.row, 0, 0, nullptr) == MLC_OK);
}

BOOST_AUTO_TEST_CASE(values_that_do_not_fit) {
  const Handles handles("transform");
  const auto* row = handles.row;
  auto* to = handles.row;
  handles.set_all(1, "a");
  CHECK_ERROR(mlc_row_set_i64(to, 0, (int64_t{1} << 53) + 1), MLC_ERROR_INPUT,
              "column 'age': expected float64 but found int64 (9007199254740993)");
  CHECK_ERROR(mlc_row_set_f64(to, 1, 1.5), MLC_ERROR_INPUT,
              "column 'color': expected string but found double (1.5)");
  CHECK_ERROR(mlc_row_set_f64(to, 2, 1.5), MLC_ERROR_INPUT,
              "column 'count': expected int64 but found double (1.5)");
  CHECK_ERROR(mlc_row_set_u64(to, 2, uint64_t{1} << 63), MLC_ERROR_INPUT,
              "found uint64 (9223372036854775808)");
  CHECK_ERROR(mlc_row_set_f64(to, 3, 0.1), MLC_ERROR_INPUT,
              "column 'small': expected float32 but found double (0.1)");
  CHECK_ERROR(mlc_row_set_i64(to, 4, 1), MLC_ERROR_INPUT, "column 'flag': expected bool but found int64 (1)");
  CHECK_ERROR(mlc_row_set_i64(to, 5, int64_t{1} << 31), MLC_ERROR_INPUT, "column 'day': expected date32");
  CHECK_ERROR(mlc_row_set_i64(to, 7, -1), MLC_ERROR_INPUT,
              "column 'wide': expected uint64 but found int64 (-1)");
  CHECK_ERROR(mlc_row_set_bool(to, 0, 1), MLC_ERROR_INPUT, "found bool (true)");
  CHECK_ERROR(mlc_row_set_text(to, 0, "x", -1), MLC_ERROR_INPUT, "found text ('x')");
  CHECK_ERROR(mlc_row_set_text(to, 1, "\xff", 1), MLC_ERROR_INPUT, "not UTF-8");
  // a column whose value was refused has none
  CHECK_ERROR(mlc_row_run(to), MLC_ERROR_INPUT, "the row does not fit the model's columns: 7 problems");
  CHECK_ERROR(mlc_row_run(to), MLC_ERROR_INPUT, "column 'wide': expected uint64 but found no value set");
  const double* values = nullptr;
  int64_t count = 0;
  CHECK_ERROR(mlc_row_f64(row, 0, &values, &count), MLC_ERROR_ARGUMENT, "one that has not");
  handles.set_all(1, "a");
  BOOST_TEST(mlc_row_run(to) == MLC_OK);
  BOOST_TEST(mlc_row_clear(to) == MLC_OK);
  CHECK_ERROR(mlc_row_run(to), MLC_ERROR_INPUT, "7 problems");
}

BOOST_AUTO_TEST_CASE(mistakes) {
  const Handles handles("transform");
  mlc_model* model = handles.model;
  mlc_row* row = handles.row;
  int64_t number = 77;
  const char* text = nullptr;
  for (int64_t index :
       {int64_t{-1}, int64_t{8}, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    CHECK_ERROR(mlc_model_column_name(model, index, &text), MLC_ERROR_ARGUMENT,
                "expected a column below 8 but found");
    CHECK_ERROR(mlc_row_set_f64(row, index, 1), MLC_ERROR_ARGUMENT, "expected a column below 8");
    CHECK_ERROR(mlc_row_set_missing(row, index, 0), MLC_ERROR_ARGUMENT, "expected a column below 8");
    CHECK_ERROR(mlc_model_output_width(model, index, &number), MLC_ERROR_ARGUMENT,
                "expected an output below 7");
    CHECK_ERROR(mlc_model_output_name(model, 0, index, &text), MLC_ERROR_ARGUMENT,
                "expected a value below 6");
    CHECK_ERROR(mlc_row_output(row, index, &number), MLC_ERROR_ARGUMENT, "expected an output below 1");
  }
  BOOST_TEST(number == 77);
  BOOST_TEST(text == nullptr);
  CHECK_ERROR(mlc_model_column_count(nullptr, &number), MLC_ERROR_ARGUMENT,
              "expected a model but found a null pointer");
  CHECK_ERROR(mlc_model_column_count(model, nullptr), MLC_ERROR_ARGUMENT, "a place for the result");
  CHECK_ERROR(mlc_model_find_column(model, nullptr, &number), MLC_ERROR_ARGUMENT, "a name");
  CHECK_ERROR(mlc_model_find_column(model, "Age", &number), MLC_ERROR_ARGUMENT, "found 'Age'");
  CHECK_ERROR(mlc_model_find_output(model, "score", &number), MLC_ERROR_ARGUMENT,
              "(transform, predict, whole, real, text, small, codes) but found 'score'");
  mlc_row* other = nullptr;
  CHECK_ERROR(mlc_row_new(model, "score", &other), MLC_ERROR_ARGUMENT, "'score'");
  CHECK_ERROR(mlc_row_new(model, "", &other), MLC_ERROR_ARGUMENT, "but found ''");
  CHECK_ERROR(mlc_row_new(nullptr, "predict", &other), MLC_ERROR_ARGUMENT, "a model");
  CHECK_ERROR(mlc_row_new(model, "predict", nullptr), MLC_ERROR_ARGUMENT, "a place");
  BOOST_TEST(other == nullptr);
  CHECK_ERROR(mlc_row_run(nullptr), MLC_ERROR_ARGUMENT, "a row");
  CHECK_ERROR(mlc_row_clear(nullptr), MLC_ERROR_ARGUMENT, "a row");
  CHECK_ERROR(mlc_row_set_f64(nullptr, 0, 1), MLC_ERROR_ARGUMENT, "a row");
  CHECK_ERROR(mlc_row_set_text(row, 1, nullptr, 0), MLC_ERROR_ARGUMENT, "a text");
  CHECK_ERROR(mlc_row_set_text(row, 1, "x", -2), MLC_ERROR_ARGUMENT, "found -2");
  CHECK_ERROR(mlc_row_set_missing(row, 1, 3), MLC_ERROR_ARGUMENT, "found 3");
  const double* values = nullptr;
  const float* floats = nullptr;
  CHECK_ERROR(mlc_row_f32(row, 0, &floats, &number), MLC_ERROR_ARGUMENT,
              "MLC_F64, the output's type, but found MLC_F32");
  CHECK_ERROR(mlc_row_f64(row, 0, &values, &number), MLC_ERROR_ARGUMENT, "one that has not");
  CHECK_ERROR(mlc_row_f64(row, 0, nullptr, &number), MLC_ERROR_ARGUMENT, "a place for the values");
  CHECK_ERROR(mlc_row_output_count(row, nullptr), MLC_ERROR_ARGUMENT, "a place");
  CHECK_ERROR(mlc_model_load("/no/such/file.mlc", &model), MLC_ERROR_IO, "/no/such/file.mlc");
  CHECK_ERROR(mlc_model_load(nullptr, &model), MLC_ERROR_ARGUMENT, "a path");
  CHECK_ERROR(mlc_model_load("/no/such/file.mlc", nullptr), MLC_ERROR_ARGUMENT, "a place for the model");
  CHECK_ERROR(mlc_model_from_bytes("junk", 4, &model), MLC_ERROR_ARTIFACT, "");
  CHECK_ERROR(mlc_model_from_bytes(nullptr, 4, &model), MLC_ERROR_ARGUMENT, "4 bytes at a null pointer");
  CHECK_ERROR(mlc_model_from_bytes("junk", -1, &model), MLC_ERROR_ARGUMENT, "-1 bytes");
  BOOST_TEST(model == handles.model);
  mlc_model_free(nullptr);
  mlc_row_free(nullptr);
}

BOOST_AUTO_TEST_CASE(each_thread_has_its_error) {
  mlc_model_column_count(nullptr, nullptr);
  const std::string mine = mlc_last_error();
  std::string others = "?";
  std::thread([&] {
    others = mlc_last_error();
    mlc_row_run(nullptr);
  }).join();
  BOOST_TEST(others == "");
  BOOST_TEST(mine == mlc_last_error());
}

BOOST_AUTO_TEST_CASE(tables) {
  const Handles handles("predict");
  const int before = live_structs;
  {
    const double age[] = {0, 2.5, 9};
    const int32_t offsets[] = {0, 1, 1, 4};
    const char* characters = "ared";
    Field table = {"", "+s", "", {{"color", "u", "", {}, nullptr}, {"age", "g", "", {}, nullptr}}, nullptr};
    Column columns{
        3,
        0,
        0,
        {nullptr},
        {{3, 0, 0, {nullptr, offsets, characters}, {}, nullptr}, {3, 0, 0, {nullptr, age}, {}, nullptr}},
        nullptr};
    ArrowSchema schema = schema_of(table);
    ArrowArray array = array_of(columns);
    const int64_t wanted[] = {1, 4};
    std::vector<mlc_text> labels(3), colors(3);
    void* const destinations[] = {labels.data(), colors.data()};
    const int64_t sizes[] = {48, 48};
    const auto predict = [&](int64_t count, const int64_t* outputs, void* const* to, const int64_t* bytes) {
      return mlc_model_predict(handles.model, &schema, &array, count, outputs, to, bytes);
    };
    CHECK_ERROR(predict(2, wanted, destinations, sizes), MLC_ERROR_INPUT, "'count'");
    // the same model with what this table has
    Program two = small_program();
    two.outputs.erase(two.outputs.begin());
    std::swap(two.outputs[1], two.outputs[3]);
    two.outputs.resize(2);
    two.nodes.clear();
    two.constants.resize(0);
    const int32_t age_column = append_column(two, 0, "f64"), color_column = append_column(two, 1, "str");
    const int32_t code = append(two, "encode", {color_column}, {{"unknown", std::string("code")}},
                                {{"keys", texts({"a", "", "red"})}});
    const int32_t number = append(two, "table", {code}, {},
                                  {{"values", slab<double>({1, 2, 3})}, {"default", slab<double>({-1})}});
    two.outputs[0].value = append(two, "argmax", {append(two, "concat", {age_column, number})});
    two.outputs[0].labels = static_cast<int32_t>(two.constants.size());
    two.constants.push_back(texts({"age", "color"}));
    two.outputs[1].value = color_column;
    const Bytes bytes = encode_artifact(two);
    mlc_model* model = nullptr;
    BOOST_REQUIRE_EQUAL(mlc_model_from_bytes(bytes.data(), static_cast<int64_t>(bytes.size()), &model),
                        MLC_OK);
    const int64_t both[] = {0, 1};
    BOOST_TEST(mlc_model_predict(model, &schema, &array, 2, both, destinations, sizes) == MLC_OK,
               mlc_last_error());
    const auto view = [](const mlc_text& found) {
      return std::string(found.data, static_cast<size_t>(found.size));
    };
    BOOST_TEST(view(labels[0]) == "color");
    BOOST_TEST(view(labels[1]) == "age");
    BOOST_TEST(view(labels[2]) == "age");
    BOOST_TEST(view(colors[0]) == "a");
    BOOST_TEST(view(colors[1]) == "");
    BOOST_TEST(view(colors[2]) == "red");
    const int64_t short_sizes[] = {48, 47};
    CHECK_ERROR(mlc_model_predict(model, &schema, &array, 2, both, destinations, short_sizes),
                MLC_ERROR_ARGUMENT, "output 1: expected memory of 48 bytes for 3 rows but found 47");
    const int64_t twice[] = {1, 1};
    CHECK_ERROR(mlc_model_predict(model, &schema, &array, 2, twice, destinations, sizes), MLC_ERROR_ARGUMENT,
                "twice");
    void* const nowhere[] = {labels.data(), nullptr};
    CHECK_ERROR(mlc_model_predict(model, &schema, &array, 2, both, nowhere, sizes), MLC_ERROR_ARGUMENT,
                "null pointer");
    CHECK_ERROR(mlc_model_predict(model, &schema, nullptr, 2, both, destinations, sizes), MLC_ERROR_ARGUMENT,
                "an Arrow array");
    CHECK_ERROR(mlc_model_predict(model, nullptr, &array, 2, both, destinations, sizes), MLC_ERROR_ARGUMENT,
                "an Arrow schema");
    CHECK_ERROR(mlc_model_predict(nullptr, &schema, &array, 2, both, destinations, sizes), MLC_ERROR_ARGUMENT,
                "a model");
    CHECK_ERROR(mlc_model_predict(model, &schema, &array, 2, nullptr, destinations, sizes),
                MLC_ERROR_ARGUMENT, "null pointer");
    CHECK_ERROR(mlc_model_predict(model, &schema, &array, -1, both, destinations, sizes), MLC_ERROR_ARGUMENT,
                "-1");
    const int64_t wild[] = {0, 2};
    CHECK_ERROR(mlc_model_predict(model, &schema, &array, 2, wild, destinations, sizes), MLC_ERROR_ARGUMENT,
                "below 2");
    mlc_model_free(model);
    // still the caller's
    schema.release(&schema);
    array.release(&array);
    CHECK_ERROR(mlc_model_predict(handles.model, &schema, &array, 0, nullptr, nullptr, nullptr),
                MLC_ERROR_INPUT, "released");
  }
  BOOST_TEST(live_structs == before);
  BOOST_TEST(double_releases == 0);
}

BOOST_AUTO_TEST_CASE(nothing_is_allocated_once_it_is_warm) {
  if (!counts_new()) return;
  for (const char* method : {"transform", "predict", "whole", "text", "codes"}) {
    const Handles handles(method);
    handles.set_all(1, "a text of some length that no small buffer holds");
    BOOST_REQUIRE_EQUAL(mlc_row_run(handles.row), MLC_OK);
    const int64_t before = counted_news();
    for (int i = 0; i < 100; ++i) {
      handles.set_all(i, i % 2 == 0 ? "red" : "a text that is new");
      mlc_row_set_missing(handles.row, i % 3, MLC_MISSING_NULL);
      mlc_row_run(handles.row);
    }
    BOOST_TEST(counted_news() == before);
  }
}

BOOST_AUTO_TEST_CASE(batches_allocate_nothing_either) {
  if (!counts_new()) return;
  const Model model(small_program());
  const SchemaRows rows(model.program(), 2000, 3);
  const auto shared = std::make_shared<const Model>(small_program());
  const std::vector<int32_t> outputs{0};
  std::vector<double> features(2000 * 6);
  const std::vector<void*> destinations{features.data()};
  const Plan plan(model.program());
  // a source that reads one row after the other: the batch's binding is not the plan's
  struct Rows final : Source {
    const Batch& batch;
    const Program& program;
    Rows(const Batch& batch_, const Program& program_) : batch(batch_), program(program_) {}
    void read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const override {
      const auto index = static_cast<size_t>(column);
      decode(program.schema[index], batch.column(index), first, n, dtype, out);
    }
  };
  const Batch batch = rows.batch(0, 2000);
  const Rows source(batch, model.program());
  Workspace workspace;
  plan.run(source, 2000, outputs, destinations, workspace);
  const auto expected = features;
  const int64_t before = counted_news();
  for (int i = 0; i < 5; ++i) plan.run(source, 2000, outputs, destinations, workspace);
  BOOST_TEST(counted_news() == before);
  BOOST_TEST(std::memcmp(expected.data(), features.data(), expected.size() * sizeof(double)) == 0);
  // another set of outputs, another plan, another count of rows: nothing of the last run is kept wrongly
  std::vector<double> again(2000 * 6);
  std::vector<int64_t> labels(2000);
  const std::vector<void*> both{again.data(), labels.data()};
  plan.run(source, 2000, std::vector<int32_t>{0, 1}, both, workspace);
  BOOST_TEST(std::memcmp(expected.data(), again.data(), expected.size() * sizeof(double)) == 0);
  plan.run(source, 3, outputs, both, workspace);
  Plan(shared->program()).run(source, 2000, outputs, destinations, workspace);
  BOOST_TEST(std::memcmp(expected.data(), features.data(), expected.size() * sizeof(double)) == 0);
}

BOOST_AUTO_TEST_SUITE_END()

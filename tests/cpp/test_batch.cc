#include <array>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/status.h"
#include "runtime/batch.h"
#include "runtime/decode.h"
#include "runtime/exact_number.h"

namespace {

using namespace mlcore;

constexpr double kNaNValue = std::numeric_limits<double>::quiet_NaN();

ColumnSpec spec(Kind kind, bool nullable = true) {
  return {"c", {kind, TimeUnit::nano, {}}, nullable, false};
}

template <class T>
ColumnView view(Storage storage, Kind kind, const std::vector<T>& values) {
  ColumnView out;
  out.storage = storage;
  out.type.kind = kind;
  out.length = static_cast<int64_t>(values.size());
  out.stride = sizeof(T);
  out.data = values.data();
  return out;
}

template <class T>
std::vector<T> decoded(const ColumnSpec& expected, const ColumnView& column, DType as) {
  std::vector<T> out(static_cast<size_t>(column.length));
  decode(expected, column, 0, column.length, as, out.data());
  return out;
}

template <class Action>
std::string input_error(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    BOOST_CHECK(error.code() == ErrorCode::input);
    return error.what();
  }
  BOOST_ERROR("expected an input error but found none");
  return {};
}

void check_contains(const std::string& message, std::string_view fragment) {
  BOOST_CHECK_MESSAGE(message.find(fragment) != std::string::npos,
                      "expected '" << fragment << "' in: " << message);
}

Batch batch_of(std::vector<std::string> names, std::vector<ColumnView> views) {
  const int64_t rows = views.empty() ? 0 : views.front().length;
  return {rows, std::make_shared<const std::vector<std::string>>(std::move(names)), std::move(views), {}};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(batch)

BOOST_AUTO_TEST_CASE(every_half_is_the_float_of_its_definition) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>((bits >> 10) & 31);
    const double fraction = bits & 0x3ff;
    double expected =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024.0 + fraction, exponent - 25);
    if (exponent == 31) expected = fraction == 0 ? std::numeric_limits<double>::infinity() : kNaNValue;
    if (bits & 0x8000) expected = -expected;
    const float found = half_to_float(static_cast<uint16_t>(bits));
    if (std::isnan(expected)) BOOST_REQUIRE(std::isnan(found));
    else
      BOOST_REQUIRE(static_cast<double>(found) == expected && std::signbit(found) == std::signbit(expected));
  }
}

BOOST_AUTO_TEST_CASE(integers_are_exact_in_floats_up_to_the_significand) {
  constexpr int64_t kTwo53 = int64_t{1} << 53;
  BOOST_CHECK(exact_in_float(kTwo53, Kind::float64) && !exact_in_float(kTwo53 + 1, Kind::float64));
  BOOST_CHECK(exact_in_float(-kTwo53, Kind::float64) && !exact_in_float(-kTwo53 - 1, Kind::float64));
  BOOST_CHECK(exact_in_float(std::numeric_limits<int64_t>::min(), Kind::float32));
  BOOST_CHECK(!exact_in_float(std::numeric_limits<int64_t>::max(), Kind::float64));
  BOOST_CHECK(!exact_in_float(std::numeric_limits<uint64_t>::max(), Kind::float64));
  BOOST_CHECK(exact_in_float(uint64_t{1} << 63, Kind::float32));
  BOOST_CHECK(exact_in_float(65504, Kind::float16) && !exact_in_float(65536, Kind::float16));
  BOOST_CHECK(exact_in_float(2048, Kind::float16) && !exact_in_float(2049, Kind::float16));
}

BOOST_AUTO_TEST_CASE(doubles_are_exact_in_narrow_floats_where_a_cast_keeps_them) {
  for (const double value :
       {0.0, -0.0, 0.1, 0.5, 1e-45, 1.401298464324817e-45, 7.006492321624085e-46, 3.4028234663852886e38,
        3.4028235677973366e38, 1e300, 5e-324, 1.0000001192092896, 1.0000000596046448, -16777217.0}) {
    const volatile auto narrow = static_cast<float>(value);
    BOOST_CHECK_EQUAL(exact_in_float(value, Kind::float32), static_cast<double>(narrow) == value);
    BOOST_CHECK(exact_in_float(value, Kind::float64));
  }
  BOOST_CHECK(exact_in_float(kNaNValue, Kind::float32));
  BOOST_CHECK(exact_in_float(std::ldexp(1.0, -24), Kind::float16));
  BOOST_CHECK(!exact_in_float(std::ldexp(1.0, -25), Kind::float16));
  BOOST_CHECK(exact_in_float(65504.0, Kind::float16) && !exact_in_float(65520.0, Kind::float16));
}

BOOST_AUTO_TEST_CASE(decimals_become_doubles_only_where_equal) {
  const auto convert = [](int64_t value, int32_t scale) {
    std::array<int64_t, 4> limbs{value, value < 0 ? -1 : 0, value < 0 ? -1 : 0, value < 0 ? -1 : 0};
    double wide = 0.0;
    double narrow = 0.0;
    const bool exact = decimal_to_double(limbs.data(), 32, scale, wide);
    BOOST_CHECK_EQUAL(decimal_to_double(limbs.data(), 8, scale, narrow), exact);
    if (exact) BOOST_CHECK_EQUAL(wide, narrow);
    return exact ? wide : kNaNValue;
  };
  BOOST_CHECK_EQUAL(convert(125, 2), 1.25);
  BOOST_CHECK_EQUAL(convert(-125, 3), -0.125);
  BOOST_CHECK_EQUAL(convert(0, 70), 0.0);
  BOOST_CHECK_EQUAL(convert(3, -2), 300.0);
  BOOST_CHECK_EQUAL(convert(1, -22), 1e22);
  BOOST_CHECK(std::isnan(convert(1, -23)));  // 10^23 is no double
  BOOST_CHECK(std::isnan(convert(1, 1)));
  BOOST_CHECK_EQUAL(convert(std::numeric_limits<int64_t>::min(), 0), -9223372036854775808.0);
  BOOST_CHECK(std::isnan(convert(std::numeric_limits<int64_t>::max(), 0)));
  const std::array<uint64_t, 4> wide{0, 0, 0, uint64_t{1} << 62};  // 2^254
  double out = 0.0;
  BOOST_CHECK(decimal_to_double(wide.data(), 32, 0, out) && out == std::ldexp(1.0, 254));
  const int64_t cents = -1234;
  BOOST_CHECK_EQUAL(decimal_text(&cents, 8, 2), "-12.34");
  const int64_t tiny = 5;
  BOOST_CHECK_EQUAL(decimal_text(&tiny, 8, 3), "0.005");
  BOOST_CHECK_EQUAL(decimal_text(&tiny, 8, -3), "5e3");
}

BOOST_AUTO_TEST_CASE(numbers_convert_as_casts_do) {
  const std::vector<int64_t> integers{0, -7, (int64_t{1} << 53) + 1};
  const auto column = view(Storage::int64, Kind::int64, integers);
  BOOST_CHECK(decoded<int64_t>(spec(Kind::int64), column, DType::i64) == integers);
  BOOST_CHECK_EQUAL(decoded<double>(spec(Kind::int64), column, DType::f64)[2], 9007199254740992.0);
  // straight to float, not by way of double: 2^53 + 2^29 + 1 rounds up once, and would round to even twice
  const std::vector<int64_t> twice{(int64_t{1} << 53) + (int64_t{1} << 29) + 1};
  BOOST_CHECK_EQUAL(
      decoded<float>(spec(Kind::int64), view(Storage::int64, Kind::int64, twice), DType::f32)[0],
      9007200328482816.0f);
  const std::vector<double> reals{2.9, -2.9, 1e15};
  BOOST_CHECK((decoded<int64_t>(spec(Kind::float64), view(Storage::float64, Kind::float64, reals),
                                DType::i64) == std::vector<int64_t>{2, -2, 1000000000000000}));
  for (const double bad : {kNaNValue, 1e19, -1e19, 9223372036854775808.0}) {
    const std::vector<double> values{1.0, bad};
    const auto source = view(Storage::float64, Kind::float64, values);
    check_contains(input_error([&] { decoded<int64_t>(spec(Kind::float64), source, DType::i64); }), "row 1");
  }
}

BOOST_AUTO_TEST_CASE(inexact_values_are_refused_with_column_row_and_value) {
  std::vector<int64_t> values(1000, 3);
  values[700] = (int64_t{1} << 53) + 1;
  auto column = view(Storage::int64, Kind::int64, values);
  const std::string message = input_error([&] { decoded<double>(spec(Kind::float64), column, DType::f64); });
  BOOST_CHECK_EQUAL(
      message,
      "column 'c', row 700: expected float64 but found int64 (9007199254740993), which float64 cannot "
      "hold exactly");
  std::vector<uint8_t> mask(1000);
  mask[700] = 1;  // what a missing row holds is nobody's business
  column.mask = mask.data();
  const auto out = decoded<double>(spec(Kind::float64), column, DType::f64);
  BOOST_CHECK(std::isnan(out[700]) && out[699] == 3.0);
  const std::vector<uint64_t> large{1, uint64_t{1} << 63};
  const auto unsigned_column = view(Storage::uint64, Kind::uint64, large);
  check_contains(input_error([&] { decoded<int64_t>(spec(Kind::int64), unsigned_column, DType::i64); }),
                 "uint64 (9223372036854775808)");
  check_contains(input_error([&] { decoded<int64_t>(spec(Kind::uint64), unsigned_column, DType::i64); }),
                 "row 1");
  BOOST_CHECK_EQUAL(decoded<double>(spec(Kind::uint64), unsigned_column, DType::f64)[1],
                    9223372036854775808.0);
}

BOOST_AUTO_TEST_CASE(strides_slices_and_unaligned_memory) {
  std::vector<char> bytes(8 * 12 + 1);
  for (int i = 0; i < 12; ++i) {
    const double value = i;
    std::memcpy(bytes.data() + 1 + 8 * i, &value, 8);
  }
  ColumnView column;
  column.storage = Storage::float64;
  column.data = bytes.data() + 1 + 8 * 11;
  column.stride = -16;  // every second value, backwards
  column.length = 6;
  BOOST_CHECK(
      (decoded<double>(spec(Kind::float64), column, DType::f64) == std::vector<double>{11, 9, 7, 5, 3, 1}));
  const auto part = slice(column, 2, 3);
  BOOST_CHECK((decoded<float>(spec(Kind::float64), part, DType::f32) == std::vector<float>{7, 5, 3}));
  BOOST_CHECK_EQUAL(part.first_row, 2);
  double out = 0.0;
  check_contains(input_error([&] { decode(spec(Kind::float64), part, 3, 1, DType::f64, &out); }),
                 "rows below 3");
  check_contains(input_error([&] { slice(column, 5, 2); }), "slice of 6 rows");
}

BOOST_AUTO_TEST_CASE(bitmaps_at_every_offset) {
  std::vector<uint8_t> bits(64);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint8_t>(i * 37 + 11);
  std::vector<double> values(512);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  for (int64_t offset = 0; offset < 20; ++offset)
    for (int64_t length : {0, 1, 7, 8, 9, 64, 300}) {
      auto column = view(Storage::float64, Kind::float64, values);
      column.validity = bits.data();
      column.offset = offset;
      column.length = length;
      const auto out = decoded<double>(spec(Kind::float64), column, DType::f64);
      for (int64_t i = 0; i < length; ++i) {
        const int64_t at = offset + i;
        const bool present = (bits[static_cast<size_t>(at / 8)] >> (at % 8) & 1) != 0;
        BOOST_REQUIRE_EQUAL(std::isnan(out[static_cast<size_t>(i)]), !present);
        if (present) BOOST_REQUIRE_EQUAL(out[static_cast<size_t>(i)], static_cast<double>(at));
      }
      ColumnView flags;
      flags.storage = Storage::bits;
      flags.type.kind = Kind::boolean;
      flags.data = bits.data();
      flags.offset = offset;
      flags.length = length;
      const auto booleans = decoded<int64_t>(spec(Kind::boolean), flags, DType::i64);
      for (int64_t i = 0; i < length; ++i) {
        const int64_t at = offset + i;
        BOOST_REQUIRE_EQUAL(booleans[static_cast<size_t>(i)],
                            bits[static_cast<size_t>(at / 8)] >> (at % 8) & 1);
      }
    }
}

BOOST_AUTO_TEST_CASE(missing_values_by_target) {
  const std::vector<int32_t> values{1, 2, 3};
  const std::vector<uint8_t> kinds{0, 1 + kNone, 0};
  auto column = view(Storage::int32, Kind::int32, values);
  column.kinds = kinds.data();
  BOOST_CHECK(std::isnan(decoded<float>(spec(Kind::int32), column, DType::f32)[1]));
  check_contains(input_error([&] { decoded<int64_t>(spec(Kind::int32), column, DType::i64); }), "row 1");
  check_contains(input_error([&] { decoded<double>(spec(Kind::int32, false), column, DType::f64); }),
                 "not nullable");
  const std::vector<double> reals{1.0, kNaNValue};
  const auto floats = view(Storage::float64, Kind::float64, reals);
  check_contains(input_error([&] { decoded<double>(spec(Kind::float64, false), floats, DType::f64); }),
                 "row 1");
  ColumnView nothing;
  nothing.length = 2;
  BOOST_CHECK(std::isnan(decoded<double>(spec(Kind::float64), nothing, DType::f64)[1]));
  BOOST_CHECK(decoded<StringRef>(spec(Kind::string), nothing, DType::str)[0].data == nullptr);
  BOOST_CHECK(!accepts(spec(Kind::int64, false), nothing) && accepts(spec(Kind::timestamp), nothing));
}

BOOST_AUTO_TEST_CASE(timestamps_change_unit_without_loss_or_not_at_all) {
  const auto of_unit = [](TimeUnit unit, const std::vector<int64_t>& values, const char* zone = "") {
    auto out = view(Storage::int64, Kind::timestamp, values);
    out.type = {Kind::timestamp, unit, zone};
    out.sentinel = true;
    return out;
  };
  const ColumnSpec millis{"c", {Kind::timestamp, TimeUnit::milli, {}}, true, false};
  const std::vector<int64_t> good{-2, 3, std::numeric_limits<int64_t>::min()};
  const auto out = decoded<double>(millis, of_unit(TimeUnit::second, good), DType::f64);
  BOOST_CHECK(out[0] == -2000.0 && out[1] == 3000.0 && std::isnan(out[2]));
  const std::vector<int64_t> fine{5000, -7000};
  BOOST_CHECK(
      (decoded<int64_t>(millis, of_unit(TimeUnit::micro, fine), DType::i64) == std::vector<int64_t>{5, -7}));
  const std::vector<int64_t> finer{5001};
  check_contains(input_error([&] { decoded<int64_t>(millis, of_unit(TimeUnit::micro, finer), DType::i64); }),
                 "5001 ticks");
  const std::vector<int64_t> huge{std::numeric_limits<int64_t>::max() / 1000 + 1};
  check_contains(input_error([&] { decoded<int64_t>(millis, of_unit(TimeUnit::second, huge), DType::i64); }),
                 "timestamp[s]");
  BOOST_CHECK(!accepts(millis, of_unit(TimeUnit::milli, good, "UTC")));
  const ColumnSpec zoned{"c", {Kind::timestamp, TimeUnit::milli, "Europe/Paris"}, true, false};
  BOOST_CHECK(accepts(zoned, of_unit(TimeUnit::second, good, "UTC")));
  BOOST_CHECK(!accepts(zoned, of_unit(TimeUnit::milli, good)));
}

BOOST_AUTO_TEST_CASE(dictionaries_of_numbers) {
  const std::vector<double> values{0.5, 1.5, 2.5};
  auto entries = view(Storage::float64, Kind::float64, values);
  entries.offset = 1;
  entries.length = 2;
  std::vector<int8_t> codes(700, 1);
  codes[5] = -1;
  codes[600] = 0;
  auto column = view(Storage::int8, Kind::float64, codes);
  column.dictionary = &entries;
  column.sentinel = true;
  const auto out = decoded<double>(spec(Kind::float64), column, DType::f64);
  BOOST_CHECK(std::isnan(out[5]) && out[600] == 1.5 && out[699] == 2.5);
  BOOST_CHECK_EQUAL(found_type(column), "dictionary of float64");
  codes[650] = 2;
  check_contains(input_error([&] { decoded<double>(spec(Kind::float64), column, DType::f64); }), "row 650");
  codes[650] = 1;
  column.sentinel = false;
  check_contains(input_error([&] { decoded<double>(spec(Kind::float64), column, DType::f64); }), "found -1");
  entries.length = 0;
  check_contains(input_error([&] { decoded<double>(spec(Kind::float64), column, DType::f64); }), "below 0");
}

BOOST_AUTO_TEST_CASE(columns_bind_by_name_and_list_every_problem) {
  const std::vector<ColumnSpec> schema{
      {"a", {Kind::float64, TimeUnit::nano, {}}, true, false},
      {"b", {Kind::string, TimeUnit::nano, {}}, true, false},
      {"d", {Kind::int64, TimeUnit::nano, {}}, true, false},
      {"e", {Kind::int64, TimeUnit::nano, {}}, true, false},
  };
  const std::vector<double> reals{1.0};
  const std::vector<StringRef> strings{{"x", 1}};
  const std::vector<int64_t> integers{1};
  const auto f = view(Storage::float64, Kind::float64, reals);
  const auto s = view(Storage::refs, Kind::string, strings);
  const auto i = view(Storage::int64, Kind::int64, integers);
  BOOST_CHECK((bind_columns(schema, {true, true, true, false}, batch_of({"d", "b", "a"}, {i, s, f})) ==
               std::vector<int32_t>{2, 1, 0, -1}));
  // a column that is not read may be of any type
  BOOST_CHECK(
      (bind_columns(schema, {true, true, true, false}, batch_of({"a", "b", "d", "e"}, {f, s, i, s})) ==
       std::vector<int32_t>{0, 1, 2, 3}));
  const std::string message = input_error([&] {
    bind_columns(schema, {true, true, true, true}, batch_of({"a", "B", "d", "d", "z"}, {s, s, i, i, f}));
  });
  for (const char* part : {"6 problems", "column 'B': expected no column of this name but found string",
                           "column 'z': expected no column of this name but found float64",
                           "column 'b': expected string but found no such column (the table has 'B')",
                           "column 'd': expected one column of this name but found 2",
                           "column 'e': expected int64 but found no such column",
                           "column 'a': expected float64 but found string"})
    check_contains(message, part);
}

BOOST_AUTO_TEST_CASE(chunks_are_cut_at_every_boundary) {
  const std::vector<int64_t> values{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const auto whole = view(Storage::int64, Kind::int64, values);
  const auto pieces = [&](std::vector<int64_t> lengths) {
    ChunkedColumn out{"c", {}, {}};
    int64_t at = 0;
    for (int64_t length : lengths) {
      out.chunks.push_back(slice(whole, at, length));
      at += length;
    }
    return out;
  };
  auto second = pieces({0, 3, 0, 4, 3});
  second.name = "d";
  const auto batches = align_chunks({pieces({5, 5, 0}), second}, -1);
  std::vector<int64_t> rows;
  int64_t next = 0;
  for (const Batch& batch : batches) {
    rows.push_back(batch.rows());
    BOOST_CHECK_EQUAL(batch.first_row(), next);
    for (size_t column : {0, 1}) {
      const auto out = decoded<int64_t>(spec(Kind::int64), batch.column(column), DType::i64);
      for (size_t i = 0; i < out.size(); ++i) BOOST_CHECK_EQUAL(out[i], next + static_cast<int64_t>(i));
    }
    next += batch.rows();
  }
  BOOST_CHECK((rows == std::vector<int64_t>{3, 2, 2, 3}));
  BOOST_CHECK_EQUAL(align_chunks({pieces({0, 0})}, 0).size(), 1u);
  BOOST_CHECK_EQUAL(align_chunks({}, 7).front().rows(), 7);
  check_contains(input_error([&] { align_chunks({pieces({5, 5}), pieces({9})}, -1); }),
                 "expected 10 rows but found 9");
}

BOOST_AUTO_TEST_CASE(none_and_nan_are_told_apart_only_where_known) {
  const std::vector<StringRef> values{{"x", 1}, {nullptr, kNone}, {nullptr, kNaN}, {nullptr, kNull}};
  auto column = view(Storage::refs, Kind::string, values);
  auto strict = spec(Kind::string);
  strict.distinguishes_missing = true;
  const auto out = decoded<StringRef>(spec(Kind::string), column, DType::str);
  BOOST_CHECK(out[1].size == kNone && out[2].size == kNaN && out[3].size == kNull);
  column.length = 3;
  BOOST_CHECK_EQUAL(decoded<StringRef>(strict, column, DType::str)[2].size, kNaN);
  column.length = 4;
  check_contains(input_error([&] { decoded<StringRef>(strict, column, DType::str); }), "row 3");
}

BOOST_AUTO_TEST_SUITE_END()

// What the kernels make of columns as others have them, without a host that answers for them: no row is
// refused that need not be.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "base/utf8_inl.h"
#include "device/library.h"
#include "kernels/exact_inl.h"

namespace {

using namespace mlcore;

constexpr int64_t kNoFault = std::numeric_limits<int64_t>::max();

const OpenDevice& emulated() {
  ::setenv("MLCORE_CUDA_LIBRARY", MLCORE_EMULATED, 1);
  static const OpenDevice device = open_device("cuda:0");
  return device;
}

void gather(const std::vector<device::Gathered>& columns, device::GatherRows rows, int64_t* fault) {
  *fault = kNoFault;
  rows.fault = fault;
  const OpenDevice& on = emulated();
  on.check(
      on.library->gather(on.device, columns.data(), static_cast<int64_t>(columns.size()), &rows, nullptr));
}

template <class T>
std::vector<T> gathered(const device::Strided& from, int64_t rows, DType type, int64_t* fault,
                        int64_t first_row = 0) {
  std::vector<T> out(static_cast<size_t>(rows));
  gather({{from, out.data(), type, 1}}, {rows, rows, first_row, nullptr}, fault);
  return out;
}

std::vector<int32_t> translated(device::Entries from, int64_t rows, int64_t* fault) {
  std::vector<int32_t> out(static_cast<size_t>(rows), -77);
  *fault = kNoFault;
  from.fault = fault;
  const OpenDevice& on = emulated();
  on.check(on.library->translate(on.device, out.data(), DType::i32, rows, &from, rows, 1, nullptr));
  return out;
}

std::string random_text(std::mt19937_64& dice) {
  const size_t size = dice() % 4 == 0 ? dice() % 60 : dice() % 9;
  std::string out;
  for (size_t i = 0; i < size; ++i) out += "ab\0z"[dice() % 4];
  return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(device_columns)

BOOST_AUTO_TEST_CASE(bitmaps_say_what_is_missing_wherever_they_start) {
  const uint8_t bits[] = {0b10110101, 0b01101110, 0b11111111, 0};
  std::vector<int16_t> values(20);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int16_t>(i * 3);
  for (int64_t first = 0; first < 12; ++first) {
    device::Strided from;
    from.data = values.data();
    from.kind = Kind::int16;
    from.there = {bits, first};
    int64_t fault = 0;
    const auto found = gathered<double>(from, 20, DType::f64, &fault);
    BOOST_TEST(fault == kNoFault);
    int64_t lowest = kNoFault;
    for (int64_t i = 0; i < 20; ++i) {
      const bool is_there = (bits[(first + i) / 8] >> ((first + i) % 8) & 1) != 0;
      const double x = found[static_cast<size_t>(i)];
      BOOST_TEST((is_there ? x == static_cast<double>(i * 3) : x != x));
      if (!is_there) lowest = std::min(lowest, i);
    }
    from.nullable = false;
    gathered<double>(from, 20, DType::f64, &fault, 1000);
    BOOST_TEST(fault == lowest + 1000);
    from.nullable = true;  // no integer says that it is missing
    gathered<int64_t>(from, 20, DType::i64, &fault, 1000);
    BOOST_TEST(fault == lowest + 1000);
    from.there = {};
    from.first_bit = first;
    from.data = bits;
    const auto packed = gathered<float>(from, 20, DType::f32, &fault);
    for (int64_t i = 0; i < 20; ++i)
      BOOST_TEST(packed[static_cast<size_t>(i)] ==
                 static_cast<float>(bits[(first + i) / 8] >> ((first + i) % 8) & 1));
  }
}

BOOST_AUTO_TEST_CASE(integers_that_a_float_holds_pass_and_no_others) {
  const int64_t values[] = {0, -1, (int64_t{1} << 53) + 2, -(int64_t{1} << 62), (int64_t{1} << 53) + 1};
  device::Strided from;
  from.data = values;
  from.kind = Kind::int64;
  from.expected = Kind::float64;
  int64_t fault = 0;
  const auto found = gathered<double>(from, 5, DType::f64, &fault);
  BOOST_TEST(fault == 4);
  for (size_t i = 0; i < 4; ++i) BOOST_TEST(found[i] == static_cast<double>(values[i]));
  from.expected = Kind::int64;
  gathered<double>(from, 5, DType::f64, &fault);
  BOOST_TEST(fault == kNoFault);
  from.kind = Kind::uint64;
  gathered<int64_t>(from, 5, DType::i64, &fault);
  BOOST_TEST(fault == 1);
}

// Columns of every kind that lie alike, or not, become what each alone becomes, and refuse the same rows.
BOOST_AUTO_TEST_CASE(many_columns_are_each_by_itself) {
  constexpr Kind kKinds[] = {Kind::boolean, Kind::int8,    Kind::int16,   Kind::uint32,
                             Kind::int64,   Kind::float16, Kind::float32, Kind::float64};
  constexpr DType kTypes[] = {DType::f64, DType::f32, DType::i64};
  std::mt19937_64 dice(11);
  std::vector<uint64_t> memory(40'000);
  int64_t refused = 0;
  for (int trial = 0; trial < 300; ++trial) {
    for (uint64_t& word : memory) {
      const double number = dice() % 2000 == 0 ? std::nan("") : static_cast<double>(dice() % 64);
      word = trial % 3 == 0 ? dice() % 64 : 0;
      if (trial % 3 == 1) std::memcpy(&word, &number, sizeof word);
      if (trial % 3 == 2) word = dice();
    }
    const int64_t rows = static_cast<int64_t>(dice() % (trial % 2 == 0 ? 300 : 3)) + 1;
    const int64_t width = static_cast<int64_t>(dice() % 90) + 1, stride = rows + 5;
    const DType type = kTypes[dice() % 3];
    const size_t size = size_of(type);
    std::vector<std::byte> blocks(size * static_cast<size_t>(width * stride)), expected = blocks;
    std::vector<device::Gathered> columns;
    const auto* const data = reinterpret_cast<const std::byte*>(memory.data());
    const bool by_row = dice() % 2 == 0;
    device::Strided from;
    for (int64_t k = 0; k < width; ++k) {
      if (k == 0 || dice() % 20 == 0) from.kind = kKinds[dice() % std::size(kKinds)];
      if (dice() % 20 == 0) from.nullable = !from.nullable;
      if (dice() % 20 == 0) from.expected = dice() % 2 == 0 ? Kind::timestamp : Kind::float32;
      const int64_t at = dice() % 25 == 0 ? k + 1 : k;
      from.row_stride = by_row ? width + 3 : 1;
      from.data = data + (by_row ? at : at * rows) * bytes_of(from.kind);
      from.there =
          dice() % 30 == 0 ? device::Bitmap{reinterpret_cast<const uint8_t*>(data), k} : device::Bitmap{};
      from.first_bit = dice() % 30 == 0 ? k : -1;
      columns.push_back({from, blocks.data() + size * static_cast<size_t>(k * stride), type, 1});
    }
    int64_t fault = 0, lowest = kNoFault;
    for (size_t k = 0; k < columns.size(); ++k) {
      device::Gathered alone = columns[k];
      alone.to = expected.data() + size * k * static_cast<size_t>(stride);
      gather({alone}, {rows, stride, 7, nullptr}, &fault);
      lowest = std::min(lowest, fault);
    }
    gather(columns, {rows, stride, 7, nullptr}, &fault);
    BOOST_REQUIRE(fault == lowest);
    refused += lowest != kNoFault;
    if (lowest == kNoFault) BOOST_REQUIRE(blocks == expected);
  }
  BOOST_TEST(refused > 20);
  BOOST_TEST(refused < 250);
}

BOOST_AUTO_TEST_CASE(halves_are_what_they_stand_for) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const int exponent = half >> 10 & 31, fraction = half & 0x3ff;
    double expected = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    if (exponent == 31)
      expected =
          fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
    if ((half & 0x8000) != 0) expected = -expected;
    const auto found = static_cast<double>(half_to_float(half));
    BOOST_REQUIRE((expected != expected
                       ? found != found
                       : found == expected && std::signbit(found) == std::signbit(expected)));
  }
}

BOOST_AUTO_TEST_CASE(texts_are_found_by_all_their_bytes) {
  std::mt19937_64 dice(7);
  for (const size_t wanted : {size_t{0}, size_t{1}, size_t{3}, size_t{40}, size_t{3000}}) {
    std::vector<std::string> keys;
    while (keys.size() < wanted) {
      std::string text = keys.size() % 3 != 0
                             ? random_text(dice)
                             : random_text(dice) + std::string(20, 'k') + std::to_string(keys.size());
      if (std::ranges::find(keys, text) == keys.end()) keys.push_back(std::move(text));
    }
    std::vector<int64_t> offsets{0};
    std::string bytes;
    for (const std::string& key : keys) {
      bytes += key;
      offsets.push_back(static_cast<int64_t>(bytes.size()));
    }
    const OpenDevice& on = emulated();
    device::TextMap* map = nullptr;
    const auto count = static_cast<int64_t>(keys.size());
    on.check(on.library->build_text_map(on.device, offsets.data(), bytes.data(), count, &map));
    std::vector<std::string> rows = keys;
    for (int i = 0; i < 500; ++i) rows.push_back(random_text(dice));
    for (const std::string& key : keys) {
      rows.push_back(key + "x");
      if (!key.empty()) rows.push_back(key.substr(1));
    }
    std::vector<int64_t> ends{0};
    std::string text;
    for (const std::string& row : rows) {
      text += row;
      ends.push_back(static_cast<int64_t>(text.size()));
    }
    std::vector<int32_t> values(keys.size() + 2);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int32_t>(i * 10);
    const std::vector<uint8_t> refused(values.size());
    device::Entries from;
    from.map = map;
    from.text = {ends.data(), true, text.data(), 0, 0, static_cast<int64_t>(rows.size())};
    from.count = count + 1;
    from.values = values.data();
    from.refused = refused.data();
    int64_t fault = 0;
    const auto found = translated(from, static_cast<int64_t>(rows.size()), &fault);
    BOOST_TEST(fault == kNoFault);
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto at = std::ranges::find(keys, rows[i]) - keys.begin();
      BOOST_REQUIRE(found[i] == at * 10);
    }
    on.check(on.library->free_text_map(on.device, map));
  }
}

BOOST_AUTO_TEST_CASE(entries_are_looked_up_and_refused_one_by_one) {
  const uint8_t indices[] = {2, 0, 1, 200, 1, 3};
  const int32_t values[] = {5, 6, 7, 8, -1};  // the last one of what is missing
  const uint8_t refused[] = {0, 1, 0, 0, 0};
  const uint8_t bits[] = {0b00010011};
  device::Entries from;
  from.indices = indices;
  from.kind = Kind::uint8;
  from.count = 4;
  from.values = values;
  from.refused = refused;
  int64_t fault = 0;
  translated(from, 6, &fault);
  BOOST_TEST(fault == 2);
  const uint8_t all_pass[] = {0, 0, 0, 0, 0};
  from.refused = all_pass;
  auto found = translated(from, 6, &fault);
  BOOST_TEST(fault == 3);
  BOOST_TEST(found[5] == 8);
  from.there = {bits, 0};
  found = translated(from, 6, &fault);
  BOOST_TEST(fault == kNoFault);
  const std::vector<int32_t> expected{7, 5, -1, -1, 6, -1};
  BOOST_TEST(found == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(one_rule_says_what_utf8_is) {
  std::mt19937_64 dice(3);
  const unsigned char likely[] = {0x41, 0x80, 0xBF, 0xC2, 0xE0, 0xA0, 0xED,
                                  0x9F, 0xF0, 0x90, 0xF4, 0x8F, 0xC0, 0xFF};
  int valid = 0;
  for (int trial = 0; trial < 50'000; ++trial) {
    std::string text;
    for (size_t size = dice() % 6; size > 0; --size)
      text += static_cast<char>(likely[dice() % sizeof likely]);
    const bool found = is_utf8_text(text.data(), static_cast<int64_t>(text.size()));
    BOOST_REQUIRE(found == is_utf8(text));
    BOOST_REQUIRE(found == is_utf8("12345678" + text));
    valid += found;
  }
  BOOST_TEST(valid > 1'000);
}

BOOST_AUTO_TEST_SUITE_END()

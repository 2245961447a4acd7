// The map from text to codes, against std::unordered_map.
#include <sys/mman.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstring>
#include <random>
#include <string>
#include <unordered_map>

#include "kernels/string_map.h"

namespace {

using namespace mlcore;

// Keys as a constant holds them.
struct Texts {
  std::vector<int64_t> offsets{0};
  std::string text;

  Texts() = default;
  explicit Texts(const std::vector<std::string>& keys) {
    for (const auto& key : keys) add(key);
  }
  void add(std::string_view key) {
    text += key;
    offsets.push_back(static_cast<int64_t>(text.size()));
  }
};

StringRef ref(std::string_view value) {
  return {value.empty() ? "" : value.data(), static_cast<int64_t>(value.size())};
}

// Looks values up in blocks that are no multiple of the map's own groups; each value in a buffer of its exact
// size, so that a sanitizer sees any byte read beside it.
void check_values(const StringMap& map, const std::unordered_map<std::string, int32_t>& expected,
                  const std::vector<std::string>& values) {
  for (size_t first = 0; first < values.size(); first += 45) {
    const size_t end = std::min(first + 45, values.size());
    std::vector<std::vector<char>> owned;
    std::vector<StringRef> refs;
    for (size_t i = first; i < end; ++i) {
      owned.emplace_back(values[i].begin(), values[i].end());
      refs.push_back(ref({owned.back().data(), owned.back().size()}));
    }
    std::vector<int32_t> codes(refs.size(), 12345);
    map.find(refs.data(), static_cast<int64_t>(refs.size()), codes.data());
    for (size_t i = first; i < end; ++i) {
      const auto found = expected.find(values[i]);
      BOOST_REQUIRE_EQUAL(codes[i - first], found == expected.end() ? StringMap::kAbsent : found->second);
    }
  }
}

void check_keys(const std::vector<std::string>& keys, const std::vector<std::string>& others,
                StringMap::Seed seed = text_key::random_seed()) {
  const Texts texts(keys);
  const StringMap map(texts.offsets, texts.text.data(), {}, seed);
  BOOST_REQUIRE(!map.repeated());
  std::unordered_map<std::string, int32_t> expected;
  for (const auto& key : keys) expected.emplace(key, static_cast<int32_t>(expected.size()));
  BOOST_REQUIRE_EQUAL(expected.size(), keys.size());
  check_values(map, expected, keys);
  check_values(map, expected, others);
}

std::string word_text(uint64_t word) {
  std::string out(sizeof word, '\0');
  std::memcpy(out.data(), &word, sizeof word);
  return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(string_map)

BOOST_AUTO_TEST_CASE(random_keys_of_every_length) {
  std::mt19937_64 random(7);
  for (const int letters : {2, 256}) {
    std::unordered_map<std::string, int> seen;
    std::vector<std::string> keys, others;
    for (size_t length = 0; length <= 70; ++length) {
      for (int i = 0; i < 60; ++i) {
        std::string key(length, '\0');
        for (auto& c : key) c = static_cast<char>(random() % static_cast<uint64_t>(letters));
        if (seen.emplace(key, 0).second) (random() % 2 ? keys : others).push_back(key);
      }
    }
    check_keys(keys, others);
  }
}

BOOST_AUTO_TEST_CASE(keys_that_differ_in_one_byte_or_in_length) {
  for (size_t length = 1; length <= 50; ++length) {
    const std::string base(length, 'a');
    std::vector<std::string> keys{base}, others{base + 'a', base + '\0', '\0' + base};
    for (size_t at = 0; at < length; ++at) {
      for (const char c : {'\0', 'b', '\xff'}) {
        std::string key = base;
        key[at] = c;
        (c == 'b' ? others : keys).push_back(key);
      }
      others.push_back(base.substr(0, at));
    }
    check_keys(keys, others);
  }
  std::vector<std::string> zeros, prefixes;
  for (size_t length = 0; length < 60; ++length) {
    zeros.emplace_back(length, '\0');
    prefixes.push_back(std::string("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghij", length));
  }
  check_keys(zeros, prefixes.size() > 1 ? std::vector(prefixes.begin() + 1, prefixes.end()) : prefixes);
  check_keys(prefixes, std::vector(zeros.begin() + 1, zeros.end()));
}

// Small maps have few shifts to choose from, so some of these ask for another seed.
BOOST_AUTO_TEST_CASE(every_small_number_of_keys) {
  for (size_t count = 0; count <= 300; ++count) {
    std::vector<std::string> keys, others;
    for (size_t i = 0; i < 2 * count; ++i) (i % 2 ? others : keys).push_back("k" + std::to_string(i * 7919));
    check_keys(keys, others);
  }
}

BOOST_AUTO_TEST_CASE(absent_values_of_a_group_are_marked) {
  const Texts texts({"x", "a key of more than sixteen bytes"});
  const StringMap map(texts.offsets, texts.text.data(), {});
  std::vector<StringRef> values(StringMap::kGroup, ref("x"));
  values[0] = {nullptr, kNone};
  values[7] = ref("y");
  values[8] = ref("a key of more than sixteen bytez");
  values[30] = ref("a key of more than sixteen bytes");
  values[31] = {nullptr, kNull};
  std::vector<int32_t> codes(values.size());
  BOOST_CHECK_EQUAL(map.find_group(values.data(), StringMap::kGroup, codes.data()), 0x80000181u);
  BOOST_CHECK_EQUAL(codes[30], 1);
  BOOST_CHECK_EQUAL(map.find_group(values.data(), 8, codes.data()), 0x81u);
}

// Under a known seed, keys whose first word is its first half all hash to one value. The first word of 16
// bytes is their first and their third four.
BOOST_AUTO_TEST_CASE(a_seed_that_is_attacked_is_replaced) {
  const StringMap::Seed seed{0x0123456789abcdefu, 0xfedcba9876543210u};
  std::vector<std::string> keys, long_keys;
  for (uint64_t i = 0; i < 100'000; ++i) {
    const std::string half = word_text(seed.first), rest = word_text(i * 0x9E3779B97F4A7C15u);
    keys.push_back(half.substr(0, 4) + rest.substr(0, 4) + half.substr(4) + rest.substr(4));
    long_keys.push_back(word_text(i) + word_text(i) + word_text(seed.first) + word_text(i));
  }
  check_keys(keys, {"", "a", word_text(seed.first)}, seed);
  check_keys(long_keys, {"", "a", word_text(seed.first)}, seed);
}

BOOST_AUTO_TEST_CASE(codes_missing_values_and_no_keys) {
  const Texts texts({"x", "a key of more than sixteen bytes", ""});
  const std::vector<int32_t> codes{-1, 2147483647, 5};
  const StringMap map(texts.offsets, texts.text.data(), codes);
  const std::vector<StringRef> values{{nullptr, kNull},
                                      ref("x"),
                                      {nullptr, kNaN},
                                      ref(""),
                                      {nullptr, kNone},
                                      ref("something"),
                                      ref("a key of more than sixteen bytes")};
  std::vector<int32_t> found(values.size());
  map.find(values.data(), static_cast<int64_t>(values.size()), found.data());
  const std::vector<int32_t> expected{-2, -1, -2, 5, -2, -2, 2147483647};
  BOOST_TEST(found == expected, boost::test_tools::per_element());
  map.find(nullptr, 0, nullptr);

  const StringMap none(Texts().offsets, "", {});
  none.find(values.data(), static_cast<int64_t>(values.size()), found.data());
  BOOST_TEST(found == std::vector<int32_t>(values.size(), -2), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_first_repeated_key_is_named) {
  const auto repeated = [](const std::vector<std::string>& keys) {
    const Texts texts(keys);
    return StringMap(texts.offsets, texts.text.data(), {}).repeated();
  };
  BOOST_TEST(*repeated({"a", "b", "c", "b", "a"}) == 3);
  BOOST_TEST(*repeated({"", "b", ""}) == 2);
  const std::string longer(100, 'x');
  BOOST_TEST(*repeated({longer, longer + "y", longer}) == 2);
}

BOOST_AUTO_TEST_CASE(no_byte_beside_a_value_is_read) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* const mapped = mmap(nullptr, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  BOOST_REQUIRE(mapped != MAP_FAILED);
  char* const begin = static_cast<char*>(mapped) + page;
  BOOST_REQUIRE_EQUAL(mprotect(begin, page, PROT_READ | PROT_WRITE), 0);
  std::memset(begin, 'k', page);
  std::vector<std::string> keys;
  for (size_t length = 0; length <= 70; ++length) keys.emplace_back(length, 'k');
  const Texts texts(keys);
  const StringMap map(texts.offsets, texts.text.data(), {});
  for (size_t length = 0; length <= 70; ++length) {
    const auto size = static_cast<int64_t>(length);
    const StringRef edges[]{{begin, size}, {begin + page - length, size}};
    int32_t codes[2];
    map.find(edges, 2, codes);
    BOOST_TEST(codes[0] == size);
    BOOST_TEST(codes[1] == size);
  }
  munmap(mapped, 3 * page);
}

BOOST_AUTO_TEST_CASE(a_million_keys) {
  constexpr size_t kKeys = 1'000'000;
  Texts texts;
  for (size_t i = 0; i < kKeys; ++i) texts.add("customer " + std::to_string(i * 7919));
  const StringMap map(texts.offsets, texts.text.data(), {});
  BOOST_REQUIRE(!map.repeated());
  std::vector<StringRef> values;
  for (size_t i = 0; i < kKeys; ++i)
    values.push_back({texts.text.data() + texts.offsets[i], texts.offsets[i + 1] - texts.offsets[i]});
  std::vector<int32_t> codes(kKeys);
  map.find(values.data(), static_cast<int64_t>(kKeys), codes.data());
  bool all = true;
  for (size_t i = 0; i < kKeys; ++i) all &= codes[i] == static_cast<int32_t>(i);
  BOOST_TEST(all);
  for (auto& value : values) --value.size;  // without its last digit a key may be another, or none
  map.find(values.data(), static_cast<int64_t>(kKeys), codes.data());
  for (size_t i = 0; i < kKeys; ++i) {
    const std::string shorter(values[i].data, static_cast<size_t>(values[i].size));
    const size_t number = shorter.size() > 9 ? std::stoull(shorter.substr(9)) : 1;
    const bool is_key = number % 7919 == 0 && number / 7919 < kKeys;
    all &= codes[i] == (is_key ? static_cast<int32_t>(number / 7919) : StringMap::kAbsent);
  }
  BOOST_TEST(all);
}

BOOST_AUTO_TEST_SUITE_END()

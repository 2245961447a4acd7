#include <boost/test/unit_test.hpp>
#include <limits>

#include "artifact_samples.h"
#include "base/utf8.h"
#include "ir/program.h"

namespace {

using namespace mlcore;

std::string refusal(DType type, std::vector<int64_t> shape, size_t bytes) {
  try {
    const std::vector<std::byte> content(bytes);
    const Constant constant(type, std::move(shape), content);
    return "accepted";
  } catch (const Error& error) {
    BOOST_CHECK(error.code() == ErrorCode::program);
    return error.what();
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(program)

BOOST_AUTO_TEST_CASE(constant_copies_into_aligned_memory) {
  std::vector<double> values = {1.0, -0.0, 3.5};
  const Constant constant(DType::f64, {3, 1}, std::as_bytes(std::span(values)));
  values[0] = 9.0;
  BOOST_TEST(constant.size() == 3);
  BOOST_TEST(constant.as<double>()[0] == 1.0);
  BOOST_TEST(constant.bytes().size() == 24U);
  BOOST_TEST(reinterpret_cast<uintptr_t>(constant.bytes().data()) % 64 == 0U);
  const Constant copy = constant;
  BOOST_CHECK(copy.bytes().data() == constant.bytes().data());
}

BOOST_AUTO_TEST_CASE(constant_strings) {
  const Constant constant = samples::strings({"a", "", "grün", std::string_view("\0x", 2)});
  BOOST_TEST(constant.size() == 4);
  BOOST_CHECK(constant.type() == DType::str);
  BOOST_TEST(constant.string_at(0) == "a");
  BOOST_TEST(constant.string_at(1) == "");
  BOOST_TEST(constant.string_at(2) == "grün");
  BOOST_TEST(constant.string_at(3) == std::string_view("\0x", 2));
  BOOST_TEST(Constant::strings({}).size() == 0);
  BOOST_CHECK_THROW(samples::strings({"\xc3"}), Error);
}

BOOST_AUTO_TEST_CASE(constant_refuses_sizes_that_disagree) {
  BOOST_TEST(refusal(DType::f64, {3}, 23) == "constant: expected 24 bytes for f64 [3] but found 23");
  BOOST_TEST(refusal(DType::f64, {3, -1}, 24) ==
             "constant: expected dimensions >= 0 but found shape [3, -1]");
  BOOST_TEST(refusal(DType::u8, {4294967296, 4294967296}, 0) ==
             "constant: expected a shape of fewer than 2^56 elements but found [4294967296, 4294967296]");
  BOOST_TEST(refusal(DType::u8, {0, std::numeric_limits<int64_t>::max()}, 0) ==
             "constant: expected a shape of fewer than 2^56 elements but found [0, 9223372036854775807]");
  BOOST_TEST(refusal(DType::u8, {1, 1, 1, 1, 1, 1, 1, 1, 1}, 1) ==
             "constant: expected at most 8 dimensions but found 9");
  BOOST_TEST(refusal(DType::str, {1}, 8) == "constant: expected 2 string offsets but found 8 bytes");
  BOOST_TEST(refusal(DType::str, {1}, 17) == "constant: expected 0 bytes of text but found 1");
  BOOST_TEST(refusal(DType::str, {1}, 16) == "accepted");
  BOOST_TEST(refusal(DType::u8, {0, 7}, 0) == "accepted");
  BOOST_TEST(refusal(DType::i32, {}, 4) == "accepted");
}

BOOST_AUTO_TEST_CASE(missing_constant_names_step_and_constant) {
  Program sample = samples::program();
  BOOST_TEST(sample.constant(sample.nodes[2], "keys").size() == 3);
  try {
    sample.constant(sample.nodes[0], "edges");
    BOOST_ERROR("accepted");
  } catch (const Error& error) {
    BOOST_CHECK(error.code() == ErrorCode::program);
    BOOST_TEST(error.what() ==
               std::string("op 'column' of step 'pipeline': expected constant 'edges' but found none"));
  }
  for (int32_t index : {-1, 13, std::numeric_limits<int32_t>::max()}) {
    sample.nodes[2].constants["keys"] = index;
    BOOST_CHECK_THROW(sample.constant(sample.nodes[2], "keys"), Error);
  }
}

BOOST_AUTO_TEST_CASE(utf8) {
  for (std::string_view good : {"", "ascii only, longer than a word", "ü", "語", "\xf0\x9f\x8c\x8d",
                                "\xf4\x8f\xbf\xbf", "\xef\xbf\xbf", "\xed\x9f\xbf"})
    BOOST_CHECK_MESSAGE(is_utf8(good), good);
  for (std::string_view bad :
       {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80",
        "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe8\xaa",
        "\xf0\x9f\x8c", "12345678\x80", "1234567\xc3", "\xc3\x41", "\xe8\xaa\x41", "\xf0\x9f\x8c\x41"})
    BOOST_CHECK(!is_utf8(bad));
}

BOOST_AUTO_TEST_SUITE_END()

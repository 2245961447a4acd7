// What the HTTP server reads and writes, without sockets.
#include <boost/beast/zlib/deflate_stream.hpp>
#include <boost/crc.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "artifact_samples.h"
#include "base/status.h"
#include "counted_new.h"
#include "ops/op.h"
#include "runtime/tensor.h"
#include "server/http.h"
#include "server/http_head.h"
#include "server/inflate.h"
#include "server/iso_time.h"
#include "server/json.h"
#include "server/json_writer.h"
#include "server/rate_limit.h"

using namespace mlcore;
using namespace mlcore::server;

namespace {

constexpr size_t kDepth = 8;

std::string refusal(std::string_view text) {
  Json json(kDepth);
  try {
    json.parse(text);
  } catch (const Error& error) {
    BOOST_TEST((error.code() == ErrorCode::input));
    return error.what();
  }
  return "";
}

// The bits survive being written and read.
template <class T>
bool returns(T number) {
  Json json(kDepth);
  std::string text;
  append_number(text, number);
  const JsonRef found = json.parse(text);
  if (!found.is(JsonKind::number)) return false;
  const auto again = static_cast<T>(found->number);
  return std::memcmp(&again, &number, sizeof number) == 0;
}

std::string gzip(std::string_view text) {
  namespace zlib = boost::beast::zlib;
  zlib::deflate_stream stream;
  std::string out(stream.upper_bound(text.size()) + 64, '\0');
  zlib::z_params params;
  params.next_in = text.data();
  params.avail_in = text.size();
  params.next_out = out.data();
  params.avail_out = out.size();
  boost::system::error_code code;
  stream.write(params, zlib::Flush::finish, code);
  out.resize(out.size() - params.avail_out);
  boost::crc_32_type crc;
  crc.process_bytes(text.data(), text.size());
  std::string tail;
  for (const uint32_t word : {crc.checksum(), static_cast<uint32_t>(text.size())})
    for (int byte = 0; byte < 4; ++byte) tail += static_cast<char>(word >> (8 * byte));
  return std::string("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", 10) + out + tail;
}

int status_of(std::string_view encoding, std::string_view body, size_t most) {
  try {
    inflated(encoding, body, most);
  } catch (const HttpError& error) {
    return error.status();
  }
  return 200;
}

LogicalType timestamp(TimeUnit unit, std::string zone = "") {
  return {Kind::timestamp, unit, std::move(zone)};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(server)

BOOST_AUTO_TEST_CASE(a_document_is_a_tape) {
  Json json(kDepth);
  const JsonRef root =
      json.parse(R"({"a": [1, -2.5, "x\n\u00e9"], "b": {"c": null}, "d": true, "e": 18446744073709551615})");
  BOOST_TEST(root->size == 4u);
  const JsonRef list = find(root, "a");
  BOOST_TEST(list->size == 3u);
  BOOST_TEST(list.first()->integer == 1);
  BOOST_TEST(list.first().next()->number == -2.5);
  BOOST_TEST(list.first().next().next()->text() == "x\n\xc3\xa9");
  BOOST_TEST(find(find(root, "b"), "c").is(JsonKind::null));
  BOOST_TEST(find(root, "d")->boolean);
  BOOST_TEST(find(root, "e")->unsigned_integer == std::numeric_limits<uint64_t>::max());
  BOOST_TEST(!find(root, "f"));
  // the memory is used again
  BOOST_TEST(json.parse("[]")->size == 0u);
}

BOOST_AUTO_TEST_CASE(what_is_no_document) {
  for (const char* text :
       {"", " ", "[1", "[1,]", "{1: 2}", "01", "+1", "'a'", "[1] 2", "nan", "tru", "\"\xff\"", "\"\\ud800\""})
    BOOST_TEST(refusal(text) != "", text);
  BOOST_TEST(refusal(R"({"a": 1, "b": 2, "a": 3})").find("twice") != std::string::npos);
  BOOST_TEST(refusal(R"([{"\u0061": 1, "a": 3}])").find("twice") != std::string::npos);
  std::string many = "{";
  for (int i = 0; i < 100; ++i) many += "\"" + text(i) + "\": 1, ";
  BOOST_TEST(refusal(many + "\"x\": 1}") == "");
  BOOST_TEST(refusal(many + "\"57\": 1}").find("twice") != std::string::npos);
  BOOST_TEST(refusal("[[[[[[[[]]]]]]]]") == "");
  BOOST_TEST(refusal("[[[[[[[[[]]]]]]]]]").find("deep") != std::string::npos);
  BOOST_TEST(refusal(std::string(1 << 20, '[')).find("deep") != std::string::npos);
  BOOST_TEST(refusal("1e309").find("float64") != std::string::npos);
  BOOST_TEST(refusal("-1e309").find("float64") != std::string::npos);
  BOOST_TEST(refusal("[NaN, Infinity, -Infinity]") == "");
}

BOOST_AUTO_TEST_CASE(too_many_values_are_refused_before_they_take_the_memory) {
  std::string text = "[1";
  for (int i = 0; i < (1 << 22); ++i) text += ",1";
  Json json(kDepth);
  BOOST_CHECK_EXCEPTION(json.parse(text + "]"), HttpError,
                        [](const HttpError& error) { return error.status() == 413; });
}

BOOST_AUTO_TEST_CASE(memory_of_long_documents_is_given_back) {
  if (!samples::counts_new()) return;
  Json json(kDepth);
  std::string text = "[1";
  for (int i = 0; i < 1'000'000; ++i) text += ",1";
  json.parse("[1]");
  int64_t before = samples::counted_news();
  json.trim();
  BOOST_TEST(samples::counted_news() == before);
  json.parse(text + "]");
  before = samples::counted_news();
  json.trim();
  BOOST_TEST(samples::counted_news() == before + 2);  // the tape and the characters
  BOOST_TEST(json.parse("[1]")->size == 1u);
}

// For sanitizers: no rows may lie nowhere.
BOOST_AUTO_TEST_CASE(no_rows_are_a_tensor_of_no_bytes) {
  Program program = samples::program();
  validate_program(program);
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    const TensorOutput output(program, static_cast<int32_t>(i));
    BOOST_TEST(output.bytes(nullptr, 0) == 0u);
    output.write(nullptr, 0, nullptr);
  }
}

BOOST_AUTO_TEST_CASE(numbers_keep_their_bits) {
  std::mt19937_64 random(7);
  for (int64_t i = samples::scaled(100'000); i-- > 0;) {
    const uint64_t bits = random();
    double wide;
    float narrow;
    std::memcpy(&wide, &bits, sizeof wide);
    std::memcpy(&narrow, &bits, sizeof narrow);
    if (std::isfinite(wide)) BOOST_REQUIRE_MESSAGE(returns(wide), text(wide));
    if (std::isfinite(narrow)) BOOST_REQUIRE_MESSAGE(returns(narrow), text(narrow));
  }
  for (const double number : {0.0, -0.0, 1.0, -3.0, 5e-324, 1.7976931348623157e308, 1e22, 1e300})
    BOOST_TEST(returns(number));
}

BOOST_AUTO_TEST_CASE(texts_are_escaped) {
  std::string out;
  append_text(out, std::string_view("a\"\\\n\x01\x7f\xc3\xa9\0b", 10));
  BOOST_TEST(out == "\"a\\\"\\\\\\n\\u0001\x7f\xc3\xa9\\u0000b\"");
  out.clear();
  append_text(out, "\xff");
  BOOST_TEST(out == "\"?\"");
}

BOOST_AUTO_TEST_CASE(times_are_read_exactly) {
  BOOST_TEST(ticks_of("1970-01-02", {Kind::date32, {}, {}}).value() == 1);
  BOOST_TEST(ticks_of("1969-12-31", {Kind::date64, {}, {}}).value() == -86'400'000);
  BOOST_TEST(ticks_of("2024-02-29T23:59:59", timestamp(TimeUnit::second)).value() == 1'709'251'199);
  BOOST_TEST(ticks_of("2024-02-29 23:59", timestamp(TimeUnit::second)).value() == 1'709'251'140);
  BOOST_TEST(ticks_of("1970-01-01T02:00:00.5+02:00", timestamp(TimeUnit::micro, "Europe/Paris")).value() ==
             500'000);
  BOOST_TEST(ticks_of("1970-01-01T00:00:00Z", timestamp(TimeUnit::nano, "UTC")).value() == 0);
  for (const char* wrong :
       {"", "1970", "1970-1-1", "1970-02-30", "1970-13-01", "1970-01-01T24:00:00", "1970-01-01T00:60:00",
        "1970-01-01T00:00:60", "1970-01-01T", "1970-01-01T00:00:00.", "1970-01-01T00:00:00.1234567891",
        "1970-01-01T00:00:00Z", "1970-01-01T00:00:00 ", "-970-01-01", "1677-09-21T00:12:43"})
    BOOST_TEST(!ticks_of(wrong, timestamp(TimeUnit::nano)), wrong);
  BOOST_TEST(!ticks_of("1970-01-01T00:00:00", timestamp(TimeUnit::nano, "UTC")));
  BOOST_TEST(!ticks_of("1970-01-01T00:00:00.5", timestamp(TimeUnit::second)));
  BOOST_TEST(!ticks_of("1970-01-01T00:00:00", {Kind::date32, {}, {}}));
  BOOST_TEST(!ticks_of("9999-01-01T00:00:00", timestamp(TimeUnit::nano)));
}

BOOST_AUTO_TEST_CASE(bodies_unfold_up_to_a_limit) {
  const std::string text(100'000, 'a');
  const std::string packed = gzip(text);
  BOOST_TEST(inflated("gzip", packed, text.size()) == text);
  BOOST_TEST(inflated("GZIP", gzip(""), 0).empty());
  BOOST_TEST(inflated("identity", "x", 1) == "x");
  BOOST_TEST(status_of("gzip", packed, text.size() - 1) == 413);
  BOOST_TEST(status_of("br", packed, 1) == 415);
  for (size_t size = 0; size < packed.size(); ++size)
    BOOST_REQUIRE_EQUAL(status_of("gzip", std::string_view(packed).substr(0, size), text.size()), 400);
  BOOST_TEST(status_of("gzip", packed + "x", text.size()) == 400);
  // wherever a bit flips, the body is the one that was packed or none
  for (size_t bit = 0; bit < 8 * packed.size(); ++bit) {
    std::string damaged = packed;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    try {
      BOOST_REQUIRE(inflated("gzip", damaged, text.size()) == text);
    } catch (const HttpError& error) {
      BOOST_REQUIRE(error.status() == 400 || error.status() == 413);
    }
  }
}

BOOST_AUTO_TEST_CASE(heads_that_readers_disagree_about) {
  using namespace std::string_view_literals;
  BOOST_TEST(problem_of_head("GET / HTTP/1.1\r\nHost: a\r\n\r\n") == "");
  for (const std::string_view head :
       {"\r\nGET / HTTP/1.1\r\n\r\n"sv, "GET / HTTP/1.1\nHost: a\r\n\r\n"sv,
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"sv, "GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n"sv,
        "GET / HTTP/1.1\r\nA: \0\r\n\r\n"sv, "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n"sv})
    BOOST_TEST(problem_of_head(head) != "");
}

BOOST_AUTO_TEST_CASE(buckets_of_tokens) {
  using namespace std::chrono_literals;
  const RateLimit::Clock::time_point start{};
  RateLimit limit(2, 3, 2);  // of two clients
  for (int i = 0; i < 3; ++i) BOOST_TEST(limit.take("a", start) == 0);
  BOOST_TEST(limit.take("a", start) == 0.5);
  BOOST_TEST(limit.take("b", start) == 0);  // has its own
  BOOST_TEST(limit.take("a", start + 500ms) == 0);
  BOOST_TEST(limit.take("a", start + 500ms) > 0);
  // never more than the burst, however long nothing came
  for (int i = 0; i < 3; ++i) BOOST_TEST(limit.take("a", start + 1h) == 0);
  BOOST_TEST(limit.take("a", start + 1h) > 0);
  // beyond the clients that it keeps: those whose bucket is full go, or all newcomers share one
  BOOST_TEST(limit.take("c", start + 1h) == 0);
  for (int i = 0; i < 3; ++i) BOOST_TEST(limit.take(std::to_string(i), start + 1h) == 0);
  BOOST_TEST(limit.take("3", start + 1h) > 0);
}

BOOST_AUTO_TEST_SUITE_END()

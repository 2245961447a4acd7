#include <boost/test/unit_test.hpp>
#include <optional>
#include <random>

#include "artifact_samples.h"
#include "ir/artifact.h"
#include "runtime/model.h"

namespace {

using namespace mlcore;
using samples::Bytes;
using samples::message_of;

// The message of a refusal; nothing if the bytes loaded as a model. Any other exception leaves.
std::optional<std::string> refusal(const Bytes& bytes) {
  try {
    Model::from_bytes(bytes);
    return std::nullopt;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::artifact) throw;
    return error.what();
  }
}

void check_refused(const Bytes& bytes, std::string_view fragment, std::string_view what) {
  const auto message = refusal(bytes);
  BOOST_CHECK_MESSAGE(message.has_value(), "accepted: " << what);
  if (message)
    BOOST_CHECK_MESSAGE(message->find(fragment) != std::string::npos,
                        what << ": expected '" << fragment << "' in the message but found: " << *message);
}

// Refused, or the one encoding of what was understood: nothing may be accepted in a second spelling.
bool refused_or_canonical(const Bytes& bytes) {
  try {
    return encode_artifact(Model::from_bytes(bytes)->program()) == bytes;
  } catch (const Error& error) {
    return error.code() == ErrorCode::artifact;
  }
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  BOOST_REQUIRE_MESSAGE(at != std::string::npos, "the sample has no " << from);
  return text.replace(at, from.size(), to);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(artifact)

BOOST_AUTO_TEST_CASE(round_trip) {
  const Program before = samples::program();
  const Bytes bytes = encode_artifact(before);
  BOOST_TEST(bytes.size() % 64 == 32);
  const Program after = decode_artifact(bytes);
  BOOST_CHECK(encode_artifact(after) == bytes);

  BOOST_REQUIRE(after.schema.size() == before.schema.size());
  for (size_t i = 0; i < before.schema.size(); ++i) {
    BOOST_TEST(after.schema[i].name == before.schema[i].name);
    BOOST_CHECK(after.schema[i].type == before.schema[i].type);
    BOOST_TEST(after.schema[i].nullable == before.schema[i].nullable);
    BOOST_TEST(after.schema[i].distinguishes_missing == before.schema[i].distinguishes_missing);
  }
  BOOST_REQUIRE(after.nodes.size() == before.nodes.size());
  for (size_t i = 0; i < before.nodes.size(); ++i) {
    BOOST_TEST(after.nodes[i].op == before.nodes[i].op);
    BOOST_TEST(after.nodes[i].path == before.nodes[i].path);
    BOOST_CHECK(after.nodes[i].inputs == before.nodes[i].inputs);
    BOOST_CHECK(after.nodes[i].attributes == before.nodes[i].attributes);
    BOOST_CHECK(after.nodes[i].constants == before.nodes[i].constants);
  }
  BOOST_REQUIRE(after.constants.size() == before.constants.size());
  for (size_t i = 0; i < before.constants.size(); ++i) {
    BOOST_CHECK(after.constants[i].type() == before.constants[i].type());
    BOOST_CHECK(after.constants[i].shape() == before.constants[i].shape());
    BOOST_CHECK(std::ranges::equal(after.constants[i].bytes(), before.constants[i].bytes()));
    BOOST_TEST(reinterpret_cast<uintptr_t>(after.constants[i].bytes().data()) % 64 == 0U);
  }
  BOOST_REQUIRE(after.outputs.size() == before.outputs.size());
  for (size_t i = 0; i < before.outputs.size(); ++i) {
    const OutputSpec& left = after.outputs[i];
    const OutputSpec& right = before.outputs[i];
    BOOST_TEST(left.method == right.method);
    BOOST_TEST(left.index == right.index);
    BOOST_TEST(left.value == right.value);
    BOOST_TEST(left.dtype == right.dtype);
    BOOST_TEST(left.vector == right.vector);
    BOOST_CHECK(left.names == right.names);
    BOOST_TEST(left.labels == right.labels);
  }
  BOOST_TEST(after.golden.rows == before.golden.rows);
  BOOST_CHECK(after.golden.columns == before.golden.columns);
  BOOST_CHECK(after.golden.missing == before.golden.missing);
  BOOST_CHECK(after.golden.expected == before.golden.expected);
  BOOST_CHECK(after.provenance == before.provenance);
}

BOOST_AUTO_TEST_CASE(empty_program_round_trips) {
  const Bytes bytes = encode_artifact(Program{});
  BOOST_CHECK(encode_artifact(decode_artifact(bytes)) == bytes);
}

BOOST_AUTO_TEST_CASE(extreme_integers_and_slabs_round_trip) {
  Program program;
  Node node;
  node.op = "x";
  node.attributes = {{"least", std::numeric_limits<int64_t>::min()},
                     {"most", std::numeric_limits<int64_t>::max()},
                     {"empty", std::string()},
                     {"", false}};
  program.nodes.push_back(node);
  program.constants = {Constant(), Constant(DType::f64, {0, 5}, {}), Constant::strings({}),
                       Constant(DType::u8, {}, samples::bytes_of("x"))};
  const Bytes bytes = encode_artifact(program);
  const Program after = decode_artifact(bytes);
  BOOST_CHECK(after.nodes[0].attributes == node.attributes);
  BOOST_CHECK(after.constants[1].shape() == (std::vector<int64_t>{0, 5}));
  BOOST_TEST(after.constants[3].size() == 1);
  BOOST_CHECK(encode_artifact(after) == bytes);
}

BOOST_AUTO_TEST_CASE(no_bit_flip_goes_unnoticed) {
  Bytes bytes = encode_artifact(samples::program());
  int64_t accepted = 0;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1U << (bit % 8));
    bytes[bit / 8] ^= mask;
    accepted += !refusal(bytes);
    bytes[bit / 8] ^= mask;
  }
  BOOST_TEST(accepted == 0);
}

BOOST_AUTO_TEST_CASE(no_truncation_or_extension_goes_unnoticed) {
  const Bytes bytes = encode_artifact(samples::program());
  int64_t accepted = 0;
  for (size_t size = 0; size < bytes.size(); ++size)
    accepted += !refusal(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)));
  for (size_t more = 1; more <= 200; ++more) {
    Bytes longer = bytes;
    longer.resize(bytes.size() + more);
    accepted += !refusal(longer);
    longer = samples::reseal(longer);
    accepted += !refusal(longer);
  }
  BOOST_TEST(accepted == 0);
}

BOOST_AUTO_TEST_CASE(large_artifact_random_edits) {
  Program program = samples::program();
  const std::vector<double> values(8000, 0.25);
  program.constants.push_back(samples::constant(DType::f64, values));
  Bytes bytes = encode_artifact(program);
  std::mt19937_64 random(20);
  int64_t accepted = 0;
  for (int64_t trial = 0, trials = samples::scaled(500); trial < trials; ++trial) {
    Bytes changed = bytes;
    const size_t edits = 1 + random() % 8;
    for (size_t i = 0; i < edits; ++i)
      changed[random() % changed.size()] ^= static_cast<std::byte>(1 + random() % 255);
    if (changed != bytes) accepted += !refusal(changed);
  }
  BOOST_TEST(accepted == 0);
}

BOOST_AUTO_TEST_CASE(hostile_headers) {
  struct Edit {
    const char* from;
    const char* to;
    const char* message;
  };
  const std::vector<Edit> edits = {
      {"\"version\":1", "\"version\":2", "found version '2'; a newer mlcore"},
      {"\"version\":1", "\"version\":99999999999999999999999", "a newer mlcore"},
      {"\"version\":1", "\"version\":0", "expected format version 1 but found version '0'"},
      {"\"version\":1", "\"version\":01", "expected format version 1"},
      {"\"version\":1", "\"version\":1.0", "expected ',\"schema\":'"},
      {"\"version\":1", "\"version\":\"1\"", "expected format version 1"},
      {"\"format\":\"mlcore\"", "\"format\":\"onnx\"", "expected an mlcore artifact"},
      {"{\"format\"", " {\"format\"", "expected an mlcore artifact"},
      {",\"schema\"", ", \"schema\"", "expected ',\"schema\":'"},
      {"\"schema\"", "\"schemas\"", "expected ',\"schema\":'"},
      // keys: unknown, missing, twice, in another order
      {"\"nullable\":true,", "", "key 'nullable' but it is missing"},
      {"\"nullable\":true,", "\"nullable\":true,\"code\":\"import os\",",
       "no key beyond the format's but found 'code'"},
      {"\"nullable\":true,", "\"nullable\":false,\"nullable\":true,", "the one spelling"},
      {"\"name\":\"amount\",\"type\":\"float64\"", "\"type\":\"float64\",\"name\":\"amount\"",
       "the one spelling"},
      {"\"column\":0,\"dtype\":\"f64\"", "\"dtype\":\"f64\",\"column\":0", "the one spelling"},
      {"\"column\":0,\"dtype\":\"f64\"", "\"column\":1,\"column\":0,\"dtype\":\"f64\"", "the one spelling"},
      // spellings
      {"\"column\":0", "\"column\":-0", "the one spelling"},
      {"\"column\":0", "\"column\":0.0", "a bool, 64-bit integer or string"},
      {"\"column\":0", "\"column\":0e0", "a bool, 64-bit integer or string"},
      {"\"column\":0", "\"column\":00", "expected JSON"},
      {"\"column\":0", "\"column\":null", "found null"},
      {"\"column\":0", "\"column\":[]", "found array"},
      {"\"column\":0", "\"column\":NaN", "expected JSON"},
      {"\"column\":0", "\"column\":9223372036854775808", "a bool, 64-bit integer or string"},
      {"\"column\":0", "\"column\":1e400", "expected"},
      {"\"column\":0", "\"column\":0 ", "the one spelling"},
      {"amount", "\\u0061mount", "the one spelling"},
      {"/ a", "\\/ a", "the one spelling"},
      {"\\u0009step", "\\tstep", "the one spelling"},
      {"amount", "amo\\u0000nt", "without NUL"},
      {"amount", "amo\tnt", "expected JSON"},
      {"amount",
       "amo\xff"
       "nt",
       "expected JSON"},
      {"amount", "amo\xc0\x80nt", "expected JSON"},
      {"amount", "amo\xed\xa0\x80nt", "expected JSON"},
      {"amount", "amo\\ud800nt", "expected JSON"},
      {"amount", "at", "found 'at' twice"},
      // types
      {"\"float64\"", "\"float65\"", "a column type but found 'float65'"},
      {"\"float64\"", "7", "a string as 'type' but found int64"},
      {"timestamp[us, Europe/Paris]", "timestamp[us,Europe/Paris]", "a column type"},
      {"timestamp[us, Europe/Paris]", "timestamp[us", "a column type"},
      {"\"nullable\":true", "\"nullable\":1", "true or false as 'nullable'"},
      {"\"dtype\":\"i32\"", "\"dtype\":\"f16\"", "an element type but found 'f16'"},
      {"\"dtype\":\"i32\"", "\"dtype\":\"i64\"", "expected 24 bytes for i64 [3] but found 12"},
      {"\"shape\":[3]", "\"shape\":3", "an array as 'shape'"},
      // graph
      {"\"inputs\":[1]", "\"inputs\":[2]", "inputs below its own id but found 2"},
      {"\"inputs\":[1]", "\"inputs\":[3]", "inputs below its own id"},
      {"\"inputs\":[1]", "\"inputs\":[-1]", "inputs below its own id"},
      {"\"inputs\":[1]", "\"inputs\":[-2]", "an index as 'inputs'"},
      {"\"inputs\":[1]", "\"inputs\":[4294967297]", "an index as 'inputs' but found 4294967297"},
      {"\"inputs\":[1]", "\"inputs\":[1.0]", "a 64-bit integer as 'inputs'"},
      {"\"inputs\":[1]", "\"inputs\":[[[[[[[[[[[[[[1]]]]]]]]]]]]]]", "expected JSON"},
      {"\"keys\":0", "\"keys\":13", "expected constant 'keys' below 13 but found 13"},
      {"\"keys\":0", "\"keys\":-1", "expected constant 'keys' below 13 but found -1"},
      // slabs: holes, overlap, sizes, overflow
      {"\"offset\":64", "\"offset\":128", "expected offset 64 but found 128"},
      {"\"offset\":64", "\"offset\":0", "expected offset 64 but found 0"},
      {"\"offset\":64", "\"offset\":-64", "expected offset 64"},
      {"\"offset\":64", "\"offset\":9223372036854775807", "expected offset 64"},
      {"\"bytes\":12", "\"bytes\":13", "expected 12 bytes for i32 [3] but found 13"},
      {"\"bytes\":12", "\"bytes\":0", "expected offset"},
      {"\"bytes\":12", "\"bytes\":-1", "but found -1"},
      {"\"bytes\":12", "\"bytes\":9223372036854775807", "expected at most"},
      {"\"bytes\":12", "\"bytes\":18446744073709551615", "a 64-bit integer as 'bytes'"},
      {"\"shape\":[3],\"offset\":64", "\"shape\":[4],\"offset\":64", "expected 16 bytes for i32 [4]"},
      {"\"shape\":[3],\"offset\":64", "\"shape\":[-3],\"offset\":64", "dimensions >= 0"},
      {"\"shape\":[3],\"offset\":64", "\"shape\":[4194305,4194305,211106198978564],\"offset\":64",
       "fewer than 2^56"},
      {"\"shape\":[3],\"offset\":64", "\"shape\":[9223372036854775807,0],\"offset\":64", "fewer than 2^56"},
      {"\"shape\":[3],\"offset\":64", "\"shape\":[3,1,1,1,1,1,1,1,1],\"offset\":64", "at most 8 dimensions"},
      {"\"shape\":[3],\"offset\":0", "\"shape\":[1152921504606846976],\"offset\":0", "fewer than 2^56"},
      {"\"shape\":[3],\"offset\":0", "\"shape\":[72057594037927935],\"offset\":0", "string offsets"},
      {"\"shape\":[3],\"offset\":0", "\"shape\":[2],\"offset\":0", "bytes of text"},
      // outputs
      {"\"names\":13", "\"names\":14", "slab 13 as 'names' but found 14"},
      {"\"names\":13", "\"names\":0", "slab 13 as 'names' but found 0"},
      {"\"names\":13", "\"names\":-1", "slab 13 as 'names'"},
      {"\"value\":5", "\"value\":0", "output 'predict'"},
      {"\"index\":-1", "\"index\":-2", "an index as 'index'"},
      {"\"value\":5", "\"value\":7", "to be one of 7 values but found 7"},
      {"\"value\":5", "\"value\":-1", "to be one of 7 values but found -1"},
      {"\"labels\":4", "\"labels\":13", "the labels of output 'predict'"},
      {"\"method\":\"transform\"", "\"method\":\"predict\"", "output 'predict'"},
      // golden rows
      {"\"rows\":2", "\"rows\":3", "golden rows"},
      {"\"rows\":2", "\"rows\":1", "golden rows"},
      {"\"rows\":2", "\"rows\":0", "golden rows"},
      {"\"rows\":2", "\"rows\":-2", "golden rows"},
      {"\"rows\":2", "\"rows\":1000000000000", "golden rows"},
      {"\"columns\":[6,7,-1]", "\"columns\":[6,7]", "expected 3 entries in 'columns' but found 2"},
      {"\"columns\":[6,7,-1]", "\"columns\":[6,99,-1]",
       "expected golden rows in one of 13 constants but found 99"},
      {"\"columns\":[6,7,-1]", "\"columns\":[6,7,-2]", "an index as 'columns'"},
      {"\"columns\":[6,7,-1]", "\"columns\":[1,7,-1]", "golden rows"},
      {"\"missing\":[-1,8,-1]", "\"missing\":[-1,9,-1]", "golden rows"},
      {"\"missing\":[-1,8,-1]", "\"missing\":[-1,-1,-1]", "differs from the bytes stored"},
      {"\"missing\":[-1,8,-1]", "\"missing\":[-1,8]", "expected 3 entries in 'missing'"},
      {"\"expected\":[9,10,11]", "\"expected\":[9,10]", "expected 3 entries in 'expected' but found 2"},
      {"\"expected\":[9,10,11]", "\"expected\":[9,-1,11]", "golden rows"},
      {"\"expected\":[9,10,11]", "\"expected\":[9,6,11]", "differs from the bytes stored"},
      // provenance and the end
      {"\"library\":\"xgboost 3.2.0\"", "\"library\":3", "a string as"},
      {"\"library\"", "\"zlibrary\"", "the one spelling"},
      {"\"library\":\"xgboost 3.2.0\",", "\"library\":\"xgboost 3.2.0\",\"library\":\"xgboost 3.2.0\",",
       "the one spelling"},
      {"語\"}}", "語\"}}{}", "only spaces up to the alignment"},
      {"語\"}}", "語\"},\"extra\":1}", "expected '}'"},
      {"語\"}}", "語\"}", "the one spelling"},
      {"語\"}}", "語\"}}\n", "only spaces up to the alignment"},
  };
  const samples::Parts good = samples::split(encode_artifact(samples::program()));
  BOOST_REQUIRE(!refusal(samples::build(good.header, good.data)));
  for (const Edit& edit : edits) {
    const std::string header = replaced(good.header, edit.from, edit.to);
    check_refused(samples::build(header, good.data), edit.message, std::string(edit.from) + " -> " + edit.to);
  }
}

BOOST_AUTO_TEST_CASE(hostile_frames) {
  const Bytes good = encode_artifact(samples::program());
  const samples::Parts parts = samples::split(good);
  const auto with_length = [&](uint64_t length) {
    Bytes bytes = good;
    std::memcpy(bytes.data(), &length, sizeof length);
    return samples::reseal(bytes);
  };
  check_refused({}, "an empty file", "empty");
  check_refused(samples::bytes_of("PK\x03\x04 a zip file"), "other content", "zip");
  check_refused(samples::bytes_of(std::string(200, '\0')), "other content", "zeros");
  check_refused(with_length(0), "ends at a multiple of 64", "length 0");
  check_refused(with_length(56), "incomplete JSON", "length 56");
  check_refused(with_length(std::numeric_limits<uint64_t>::max()), "a header of at most", "length 2^64 - 1");
  check_refused(with_length(uint64_t{1} << 63), "a header of at most", "length 2^63");
  check_refused(with_length((uint64_t{16} << 20) - 8), "the file ends after", "length beyond the file");
  check_refused(with_length(good.size() - 8 - 32 - 64), "only spaces up to the alignment",
                "length over the data");

  Bytes spaced = samples::build(parts.header + std::string(64, ' '), parts.data);
  check_refused(spaced, "only spaces up to the alignment", "64 more spaces");
  Bytes longer = parts.data;
  longer.resize(longer.size() + 64);
  check_refused(samples::build(parts.header, longer), "bytes of data but found", "64 more zeros");
  Bytes shorter = parts.data;
  shorter.resize(shorter.size() - 64);
  check_refused(samples::build(parts.header, shorter), "slab", "64 bytes fewer");
  Bytes dirty = parts.data;
  dirty[63] = std::byte{1};
  check_refused(samples::build(parts.header, dirty), "expected zeros behind it", "a byte in the padding");
  dirty = parts.data;
  dirty.back() = std::byte{1};
  check_refused(samples::build(parts.header, dirty), "expected zeros behind it",
                "a byte in the last padding");
}

BOOST_AUTO_TEST_CASE(hostile_text_slabs) {
  const samples::Parts good = samples::split(encode_artifact(samples::program()));
  // slab 0: offsets 0, 3, 3, 8 and then "redgrün"
  const auto with_offset = [&](size_t index, int64_t value) {
    Bytes data = good.data;
    std::memcpy(data.data() + index * 8, &value, sizeof value);
    return samples::build(good.header, data);
  };
  check_refused(with_offset(0, 1), "the first string offset to be 0", "first offset");
  check_refused(with_offset(1, -1), "string offset 1 between", "negative offset");
  check_refused(with_offset(1, 4), "string offset 2 between", "falling offsets");
  check_refused(with_offset(3, 9), "string offset 3 between", "offset beyond the text");
  check_refused(with_offset(3, 7), "bytes of text", "a character left over");
  check_refused(with_offset(3, 6), "expected UTF-8", "offset inside a character");
  check_refused(with_offset(3, 5), "bytes of text", "text left over");
  check_refused(with_offset(3, std::numeric_limits<int64_t>::max()), "string offset 3 between",
                "huge offset");
  Bytes data = good.data;
  data[32] = std::byte{0xff};
  check_refused(samples::build(good.header, data), "expected UTF-8 but string 0", "bad UTF-8");
}

// Counts and nesting that cost far more than the file. Memory is held to the promise in
// tests/test_artifact.py.
BOOST_AUTO_TEST_CASE(bombs) {
  const samples::Parts good = samples::split(encode_artifact(samples::program()));
  const auto many = [](std::string_view item, size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i) {
      if (i) out += ',';
      out += item;
    }
    return out;
  };
  const auto hostile = [&](std::string_view from, const std::string& to, std::string_view message) {
    check_refused(samples::build(replaced(good.header, from, to), good.data), message, from);
  };
  hostile("\"inputs\":[1]", "\"inputs\":[" + many("0", 4000000) + "]", "fits in");
  hostile("\"inputs\":[1]", "\"inputs\":" + std::string(1000000, '['), "expected JSON");
  hostile("\"column\":0", "\"column\":" + many("{\"a\":", 1) + std::string(1000000, '{'), "expected JSON");
  hostile("amount", std::string(17000000, 'a'), "a header of at most");
  std::string entries;
  for (int i = 0; i < 300; ++i) entries += "\"k" + std::to_string(100 + i) + "\":\"\",";
  hostile("\"library\"", entries + "\"library\"", "at most 256 entries");
  const std::string node = "{\"op\":\"\",\"path\":\"\",\"inputs\":[],\"attributes\":{},\"constants\":{}}";
  hostile("\"nodes\":[", "\"nodes\":[" + many(node, 240000) + ",", "fits in");
}

// Random edits of the header with a digest that fits: refused, or understood in exactly one way; never a
// crash.
BOOST_AUTO_TEST_CASE(random_header_edits) {
  const samples::Parts good = samples::split(encode_artifact(samples::program()));
  const std::vector<std::string> tokens = {"{",
                                           "}",
                                           "[",
                                           "]",
                                           ",",
                                           ":",
                                           "\"",
                                           "0",
                                           "1",
                                           "-1",
                                           "9223372036854775807",
                                           "null",
                                           "true",
                                           "false",
                                           "1e9",
                                           "\\u0000",
                                           "\"x\"",
                                           "\"x\":1,",
                                           "[]",
                                           "{}",
                                           " ",
                                           "f64",
                                           "str",
                                           "-",
                                           "64",
                                           "\x80",
                                           "2147483648",
                                           "4294967296"};
  std::mt19937_64 random(21);
  int64_t accepted = 0;
  for (int64_t trial = 0, trials = samples::scaled(20000); trial < trials; ++trial) {
    std::string header = good.header;
    const size_t edits = 1 + random() % 3;
    for (size_t i = 0; i < edits; ++i) {
      const size_t at = random() % header.size();
      const size_t length = random() % 3 == 0 ? random() % 12 : random() % 3;
      const std::string& token = tokens[random() % tokens.size()];
      if (random() % 4 == 0)
        header.replace(at, length, header.substr(random() % header.size(), random() % 20));
      else header.replace(at, length, token);
    }
    const Bytes bytes = samples::build(header, good.data);
    BOOST_REQUIRE_MESSAGE(refused_or_canonical(bytes), "two spellings of " << header);
    accepted += !refusal(bytes);
  }
  BOOST_TEST(accepted > 0);  // otherwise the edits are too wild to test anything behind the first check
}

BOOST_AUTO_TEST_CASE(random_data_edits) {
  const samples::Parts good = samples::split(encode_artifact(samples::program()));
  std::mt19937_64 random(22);
  for (int64_t trial = 0, trials = samples::scaled(20000); trial < trials; ++trial) {
    Bytes data = good.data;
    const size_t edits = 1 + random() % 4;
    for (size_t i = 0; i < edits; ++i) data[random() % data.size()] = static_cast<std::byte>(random() % 256);
    BOOST_REQUIRE(refused_or_canonical(samples::build(good.header, data)));
  }
}

BOOST_AUTO_TEST_CASE(a_program_that_cannot_be_read_back_is_not_written) {
  const auto refused = [](const auto& change, std::string_view fragment) {
    Program program = samples::program();
    change(program);
    const std::string message = message_of(ErrorCode::program, [&] { encode_artifact(program); });
    BOOST_CHECK_MESSAGE(message.find(fragment) != std::string::npos, message);
  };
  refused([](Program& p) { p.schema[0].name = "\xff"; }, "UTF-8");
  refused([](Program& p) { p.schema[0].name = std::string("a\0b", 3); }, "without NUL");
  refused([](Program& p) { p.schema[0].type.timezone = "UTC"; }, "a column type with a name of its own");
  refused([](Program& p) { p.nodes[2].inputs = {2}; }, "inputs below its own id");
  refused([](Program& p) { p.nodes[2].constants["keys"] = 13; }, "expected constant 'keys'");
  refused([](Program& p) { p.outputs[0].value = 9; }, "to be one of 7 values");
  refused([](Program& p) { p.outputs[0].names = {"\xff"}; }, "UTF-8");
  refused([](Program& p) { p.golden.columns[0] = 13; }, "golden rows in one of 13");
  refused([](Program& p) { p.provenance["long"] = std::string(size_t{20} << 20, 'x'); },
          "a header of at most");
  refused(
      [](Program& p) {
        for (int i = 0; i < 300; ++i) p.provenance[std::to_string(i)] = "x";
      },
      "at most 256");
  refused([](Program& p) { p.outputs[0].names.assign(2000000, "x"); }, "expected names that fit in");
}

BOOST_AUTO_TEST_CASE(a_million_names_fit) {
  Program program = samples::program();
  for (int i = 0; i < 1000000; ++i) program.outputs[1].names.push_back("category_" + std::to_string(i));
  const Bytes bytes = encode_artifact(program);
  BOOST_CHECK(decode_artifact(bytes).outputs[1].names == program.outputs[1].names);
}

BOOST_AUTO_TEST_CASE(thirty_thousand_columns_fit) {
  Program program;
  for (int i = 0; i < 30000; ++i) {
    program.schema.push_back({"feature_" + std::to_string(i), {}, true, false});
    program.nodes.push_back({"column",
                             "pipeline / columntransformer / num / standardscaler",
                             {},
                             {{"column", int64_t{i}}, {"dtype", std::string("f64")}},
                             {},
                             {}});
  }
  const Bytes bytes = encode_artifact(program);
  BOOST_CHECK(decode_artifact(bytes).schema.size() == 30000U);
}

BOOST_AUTO_TEST_CASE(known_digest) {
  BOOST_TEST(digest_of(samples::bytes_of("abc")) ==
             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  BOOST_TEST(digest_of({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

BOOST_AUTO_TEST_SUITE_END()

// Artifacts for the tests: a small good one, and hostile ones with a digest that fits.
#pragma once

#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/sha256.h"
#include "ir/artifact.h"

namespace samples {

using Bytes = std::vector<std::byte>;

// MLCORE_TEST_SCALE multiplies the counts of randomised and exhaustive tests.
inline int64_t scaled(int64_t count) {
  const char* scale = std::getenv("MLCORE_TEST_SCALE");
  const double factor = scale ? std::atof(scale) : 1.0;
  const auto out = static_cast<int64_t>(static_cast<double>(count) * factor);
  return out < 1 ? 1 : out;
}

inline Bytes bytes_of(std::string_view text) {
  Bytes out(text.size());
  if (!text.empty()) std::memcpy(out.data(), text.data(), text.size());
  return out;
}

template <class T>
mlcore::Constant constant(mlcore::DType type, const std::vector<T>& values, std::vector<int64_t> shape = {}) {
  if (shape.empty()) shape = {static_cast<int64_t>(values.size())};
  return {type, std::move(shape), std::as_bytes(std::span(values))};
}

inline mlcore::Constant strings(const std::vector<std::string_view>& values) {
  return mlcore::Constant::strings(values);
}

// A model that loads: every element type, every field of the header set to something.
inline mlcore::Program program() {
  using namespace mlcore;
  Program out;
  out.schema = {{"amount", {Kind::float64, TimeUnit::nano, {}}, true, false},
                {"straße", {Kind::string, TimeUnit::nano, {}}, false, true},
                {"at", {Kind::timestamp, TimeUnit::micro, "Europe/Paris"}, true, false}};
  const std::string f64 = "f64";
  out.nodes = {{"column", "pipeline", {}, {{"column", int64_t{0}}, {"dtype", f64}}, {}, {}},
               {"column", "pipeline", {}, {{"column", int64_t{1}}, {"dtype", std::string("str")}}, {}, {}},
               {"encode",
                "pipeline / a \"quoted\"\tstep",
                {1},
                {{"unknown", std::string("code")}, {"null_code", int64_t{-1}}},
                {{"keys", 0}, {"codes", 1}},
                {}},
               {"clip", "pipeline", {0}, {}, {{"lo", 2}, {"hi", 3}}, {}},
               {"dot",
                "pipeline",
                {0},
                {{"accumulate", std::string("sequential")}, {"skip_missing", true}},
                {{"weights", 3}},
                {}},
               {"argmax", "pipeline", {4}, {}, {}, {}},
               {"one_hot", "pipeline", {2}, {{"width", int64_t{3}}, {"dtype", f64}}, {}, {}}};
  out.constants = {strings({"red", "", "grün"}),
                   constant<int32_t>(DType::i32, {2, 0, 1}),
                   constant<double>(DType::f64, {-0.0}),
                   constant<double>(DType::f64, {1.5}, {1, 1}),
                   constant<int64_t>(DType::i64, {7, -9}),
                   constant<uint32_t>(DType::u32, {1U << 31}),
                   constant<double>(DType::f64, {1.0, 2.0}),
                   strings({"red", ""}),
                   constant<uint8_t>(DType::u8, {0, 3}),
                   constant<int64_t>(DType::i64, {0, 0}),
                   constant<double>(DType::f64, {1.0, 1.5}),
                   constant<double>(DType::f64, {0, 0, 1, 0, 0, 0}),
                   constant<float>(DType::f32, {1.5F})};
  out.outputs = {{"predict", -1, 5, "int64", true, {"class"}, 4},
                 {"transform", 0, 3, "float64", false, {"a\n"}, -1},
                 {"transform", 1, 6, "float64", false, {"x", "", "语"}, -1}};
  out.golden = {2, {6, 7, -1}, {-1, 8, -1}, {9, 10, 11}};
  out.provenance = {{"library", "xgboost 3.2.0"}, {"note", "tab\t, quote\", backslash\\, \x7f, 語"}};
  return out;
}

// What `run` throws, checked to have the code.
template <class Run>
std::string message_of(mlcore::ErrorCode code, const Run& run) {
  try {
    run();
  } catch (const mlcore::Error& error) {
    BOOST_CHECK(error.code() == code);
    return error.what();
  }
  BOOST_ERROR("expected an error but found none");
  return {};
}

inline Bytes reseal(Bytes bytes) {
  const size_t end = bytes.size() - sizeof(mlcore::Sha256);
  const mlcore::Sha256 digest = mlcore::sha256(std::span(bytes).first(end));
  std::memcpy(bytes.data() + end, digest.data(), sizeof digest);
  return bytes;
}

// A whole file around any header and data, well formed on the outside.
inline Bytes build(std::string header, std::span<const std::byte> data) {
  while ((8 + header.size()) % 64 != 0) header += ' ';
  const uint64_t length = header.size();
  Bytes out(8 + header.size() + data.size() + sizeof(mlcore::Sha256));
  std::memcpy(out.data(), &length, sizeof length);
  std::memcpy(out.data() + 8, header.data(), header.size());
  if (!data.empty()) std::memcpy(out.data() + 8 + header.size(), data.data(), data.size());
  return reseal(std::move(out));
}

struct Parts {
  std::string header;  // without the spaces behind it
  Bytes data;
};

inline Parts split(const Bytes& bytes) {
  uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof length);
  Parts out;
  out.header.assign(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  out.header.resize(out.header.find_last_not_of(' ') + 1);
  out.data.assign(bytes.begin() + 8 + static_cast<std::ptrdiff_t>(length),
                  bytes.end() - sizeof(mlcore::Sha256));
  return out;
}

}  // namespace samples

// Programs, nodes and blocks for the tests of ops.
#pragma once

#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ops/op.h"

namespace samples {

using namespace mlcore;

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, double>) return DType::f64;
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, int64_t>) return DType::i64;
  if constexpr (std::is_same_v<T, int32_t>) return DType::i32;
  if constexpr (std::is_same_v<T, uint32_t>) return DType::u32;
  return DType::u8;
}

template <class T>
Constant slab(const std::vector<T>& values, std::vector<int64_t> shape = {}) {
  if (shape.empty()) shape = {static_cast<int64_t>(values.size())};
  return {dtype_of<T>(), std::move(shape), std::as_bytes(std::span(values))};
}

inline Constant texts(std::initializer_list<std::string_view> values) {
  return Constant::strings(std::span(values.begin(), values.size()));
}

using Attributes = std::map<std::string, Attribute>;
using Constants = std::vector<std::pair<std::string, Constant>>;

// Appends a node as a file would hold it: without a type, unchecked.
inline int32_t append(Program& program, const std::string& op, std::vector<int32_t> inputs,
                      Attributes attributes = {}, const Constants& constants = {}) {
  Node node;
  node.op = op;
  node.path = "pipeline / " + op;
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  for (const auto& [name, constant] : constants) {
    node.constants[name] = static_cast<int32_t>(program.constants.size());
    program.constants.push_back(constant);
  }
  program.nodes.push_back(std::move(node));
  return static_cast<int32_t>(program.nodes.size()) - 1;
}

inline int32_t append_column(Program& program, int64_t column, const std::string& dtype) {
  return append(program, "column", {}, {{"column", column}, {"dtype", dtype}});
}

inline OutputSpec output(int32_t value, const std::string& dtype) {
  OutputSpec out;
  out.method = "transform";
  out.value = value;
  out.dtype = dtype;
  return out;
}

// Columns "age" (float64), "color" (string) and "count" (int64); no nodes.
inline Program empty_program() {
  Program program;
  program.schema = {{"age", {Kind::float64, TimeUnit::nano, {}}, true, false},
                    {"color", {Kind::string, TimeUnit::nano, {}}, true, false},
                    {"count", {Kind::int64, TimeUnit::nano, {}}, true, false}};
  return program;
}

// The message with which `run` fails with `code`, or "accepted".
template <class Run>
std::string refusal(ErrorCode code, const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.code() == code ? error.what() : std::string("another code: ") + error.what();
  }
  return "accepted";
}

inline std::string refusal(Program& program) {
  return refusal(ErrorCode::program, [&] { validate_program(program); });
}

inline bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace samples

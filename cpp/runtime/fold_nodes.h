// Nodes and constants, appended to a program that is being written.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ir/program.h"

namespace mlcore {

template <class T>
int32_t add_constant(Program& out, DType type, const std::vector<T>& values) {
  out.constants.emplace_back(type, std::vector<int64_t>{static_cast<int64_t>(values.size())},
                             std::as_bytes(std::span(values)));
  return static_cast<int32_t>(out.constants.size()) - 1;
}

// Numbers as floats of `type`, which holds them exactly.
inline int32_t add_floats(Program& out, DType type, const std::vector<double>& values) {
  if (type == DType::f64) return add_constant(out, type, values);
  return add_constant(out, type, std::vector<float>(values.begin(), values.end()));
}

inline int32_t add_node(Program& out, Node node) {
  out.nodes.push_back(std::move(node));
  return static_cast<int32_t>(out.nodes.size()) - 1;
}

inline int32_t concat(Program& out, const std::string& path, const std::vector<int32_t>& parts) {
  if (parts.size() == 1) return parts[0];
  return add_node(out, {"concat", path, parts, {}, {}, {}});
}

inline int32_t cast(Program& out, const std::string& path, int32_t value, DType type) {
  return add_node(out, {"cast", path, {value}, {{"dtype", std::string(name_of(type))}}, {}, {}});
}

}  // namespace mlcore

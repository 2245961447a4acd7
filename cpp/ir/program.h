// Program: what a model means. Schema, ordered nodes, constant slabs, outputs.
//
// The artifact stores exactly this; lowering to a plan happens at load. A node has one value, whose id
// is the node's index, and reads values of smaller id only, so a program cannot hold a cycle.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace mlcore {

// An owned, 64-byte aligned, immutable slab. Elements are little-endian, C order.
// A str slab holds int64 offsets[n + 1] and then the UTF-8 bytes.
class Constant {
 public:
  Constant() = default;
  // Copies `bytes`. Throws ErrorCode::program if the shape and the byte count disagree.
  Constant(DType type, std::vector<int64_t> shape, std::span<const std::byte> bytes);
  static Constant strings(std::span<const std::string_view> values);

  DType type() const { return type_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  int64_t size() const { return size_; }  // number of elements
  std::span<const std::byte> bytes() const { return {data_.get(), byte_size_}; }

  template <class T>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(data_.get()), static_cast<size_t>(size_)};
  }
  std::string_view string_at(int64_t index) const;
  // Of a str slab: where each string starts in characters(), and where the last one ends.
  std::span<const int64_t> string_offsets() const {
    return {reinterpret_cast<const int64_t*>(data_.get()), static_cast<size_t>(size_) + 1};
  }
  const char* characters() const { return reinterpret_cast<const char*>(data_.get()) + 8 * (size_ + 1); }

 private:
  DType type_ = DType::u8;
  std::vector<int64_t> shape_{0};
  int64_t size_ = 0;
  size_t byte_size_ = 0;
  std::shared_ptr<const std::byte[]> data_;
};

using Attribute = std::variant<bool, int64_t, std::string>;

struct ValueType {
  DType dtype = DType::f64;
  int64_t width = 0;  // columns of the block

  bool operator==(const ValueType&) const = default;
};

struct Node {
  std::string op;
  std::string path;  // where it comes from: "columntransformer / num / standardscaler"
  std::vector<int32_t> inputs;
  std::map<std::string, Attribute> attributes;
  std::map<std::string, int32_t> constants;  // name -> index in Program::constants
  ValueType type;                            // derived by the op's validate, never stored in a file
};

struct ColumnSpec {
  std::string name;
  LogicalType type;
  bool nullable = true;
  bool distinguishes_missing = false;  // a step learned None and NaN as different categories
};

// One array that a method returns. A method that returns a list of arrays has several, by `index`.
struct OutputSpec {
  std::string method;   // "predict", "predict_proba", "decision_function", "transform"
  int32_t index = -1;   // position in a list of arrays; -1: the method returns one array
  int32_t value = -1;   // node whose block it is
  std::string dtype;    // NumPy dtype of the returned array: "float32", "int64", "bool", "object", "<U5"
  bool vector = false;  // shape (n,) instead of (n, width)
  std::vector<std::string> names;  // one per column of the block; for messages and row()
  int32_t labels = -1;             // constant with class labels; the block then holds i64 positions in it
};

// Rows with the bytes that the outputs must have; replayed at load.
struct GoldenRows {
  int64_t rows = 0;
  std::vector<int32_t> columns;  // constant per schema column: f64, i64 or str
  std::vector<int32_t>
      missing;  // constant per schema column: u8, 0 present, 1 + MissingKind otherwise; -1: none missing
  std::vector<int32_t> expected;  // constant per output: the block's bytes, row-major
};

struct Program {
  std::vector<ColumnSpec> schema;
  std::vector<Node> nodes;
  std::vector<Constant> constants;
  std::vector<OutputSpec> outputs;
  GoldenRows golden;
  std::map<std::string, std::string> provenance;

  const Constant& constant(const Node& node, std::string_view name) const;
  // Per node: it takes part in one of `values` (ids of nodes), or is one.
  std::vector<bool> ancestors(std::span<const int32_t> values) const;
};

}  // namespace mlcore

// OpDef: everything the engine knows of an op. One definition per op; registry.cc names them all.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/program.h"

namespace mlcore {

// A block of one chunk of rows, column-major: element (row, column) at data[column * rows + row].
// A chunk of one row is therefore contiguous.
struct BlockView {
  const void* data;
  int64_t rows;
  int64_t width;

  template <class T>
  const T* column(int64_t index) const {
    return static_cast<const T*>(data) + index * rows;
  }
};
struct MutableBlock {
  void* data;
  int64_t rows;
  int64_t width;

  template <class T>
  T* column(int64_t index) const {
    return static_cast<T*>(data) + index * rows;
  }
};

struct StepArgs {
  std::span<const BlockView> inputs;
  MutableBlock output;
  void* scratch;      // scratch_bytes(rows) bytes, 64-byte aligned
  int64_t first_row;  // row number of the chunk's first row in the table, for messages
};

// What an `encode` of strings can do beside run(): look a dictionary up once, so that no row needs it.
class TextEncoder {
 public:
  virtual ~TextEncoder() = default;
  // The code of each value; values without a code get a mark that run_translated() knows.
  virtual void find(std::span<const StringRef> values, int32_t* codes) const = 0;
  // As Step::run, where the input holds int32 positions in `entries`, whose codes find() gave; ~MissingKind
  // for a missing row.
  virtual void run_translated(const StepArgs& args, std::span<const StringRef> entries,
                              std::span<const int32_t> codes) const = 0;
};

// A node lowered for this machine. Immutable; run() neither allocates nor locks.
class Step {
 public:
  virtual ~Step() = default;
  // Throws ErrorCode::input, naming path, column and value, when the op refuses a value.
  virtual void run(const StepArgs& args) const = 0;
  virtual size_t scratch_bytes(int64_t rows) const {
    (void)rows;
    return 0;
  }
  // Rows that it pays to take through the step at once because it reads many constants, though their blocks
  // do not fit into the first-level cache; 0: it does not.
  virtual int64_t good_rows() const { return 0; }
  virtual const TextEncoder* text_encoder() const { return nullptr; }
};

// Typed, checked access to a node while it is validated or lowered. Every read marks the name as known;
// what a validate never read is an error (`finish`), so no attribute or constant is silently ignored.
class NodeReader {
 public:
  NodeReader(const Program& program, const Node& node) : program_(program), node_(node) {}

  const Program& program() const { return program_; }
  const Node& node() const { return node_; }
  std::string where() const;  // "op 'bin' of step 'pipeline / kbins'"

  size_t input_count() const { return node_.inputs.size(); }
  ValueType input(size_t index) const {
    return program_.nodes[static_cast<size_t>(node_.inputs[index])].type;
  }
  void expect_inputs(size_t count) const;
  void expect_dtype(size_t index, std::initializer_list<DType> allowed) const;

  bool has_attribute(std::string_view name) const;
  bool flag(std::string_view name) const;  // required
  bool flag_or(std::string_view name, bool fallback) const;
  int64_t integer(std::string_view name) const;  // required
  int64_t integer_or(std::string_view name, int64_t fallback) const;
  // required; one of `allowed`
  const std::string& choice(std::string_view name, std::initializer_list<std::string_view> allowed) const;
  DType dtype(std::string_view name, std::initializer_list<DType> allowed) const;

  bool has_constant(std::string_view name) const;
  // required; of `type`; `size` < 0: any number of elements
  const Constant& constant(std::string_view name, DType type, int64_t size = -1) const;
  // required; any of `allowed`
  const Constant& constant_of(std::string_view name, std::initializer_list<DType> allowed,
                              int64_t size = -1) const;

  void finish() const;  // throws if an attribute or constant was never read

  template <class... Parts>
  void expect(bool condition, const Parts&... parts) const {
    if (!condition) [[unlikely]]
      fail(ErrorCode::program, where(), ": ", parts...);
  }

 private:
  const Program& program_;
  const Node& node_;
  mutable std::set<std::string, std::less<>> read_;
};

enum class Exactness {
  exact,      // the library's bits
  tolerance,  // dot products, exp and log and their kin: within the bound in docs/guarantees
};

// How the numbers of one column of an op's output follow from those of one column of an input. NaN stands
// apart: it may become anything.
enum class Order : uint8_t {
  same,     // the value itself
  rising,   // numbers become numbers in the same order, equal ones allowed: a step that is correctly rounded
  falling,  // the same, the other way round
  lookup,   // neither is known: only a list of all inputs tells
};

// An op as it acts on one column: a node of width 1 of op `op`, whose input is column `column` of the op's
// input number `input`. Order `same` has no node.
struct ColumnStep {
  size_t input = 0;
  int64_t column = 0;
  Order order = Order::same;
  std::string op;
  std::map<std::string, Attribute> attributes;
  std::map<std::string, Constant> constants;
};

class DeviceStep;

struct OpDef {
  std::string_view name;
  Exactness (*exactness)(const NodeReader&);
  // Checks inputs, attributes, constants (sizes, ranges, order: run() trusts them) and returns the output
  // type.
  ValueType (*validate)(const NodeReader&);
  std::unique_ptr<Step> (*lower)(const NodeReader&);
  // Output shares its input's storage and `run` only looks ("check" and "guard").
  bool in_place = false;
  // What gives column `column` of the output, where that depends on one column of one input only; null:
  // never.
  std::optional<ColumnStep> (*column_step)(const NodeReader&, int64_t column) = nullptr;
  // What another device is told; null: it knows no such step, or none of these types.
  std::unique_ptr<DeviceStep> (*device)(const NodeReader&) = nullptr;
};

inline Exactness always_exact(const NodeReader&) { return Exactness::exact; }
inline Exactness always_tolerance(const NodeReader&) { return Exactness::tolerance; }

// Name of the schema column that a column of a node's input comes from, when only select, concat, check,
// guard, fill, cast and encode lie between; else "x<column>".
std::string column_label(const NodeReader& node, size_t input, int64_t column);

// All ops, sorted by name.
std::span<const OpDef* const> all_ops();
const OpDef& op_named(std::string_view name, std::string_view path);  // throws ErrorCode::program

// Fills `type` of node `index`; the nodes before it are already valid. Throws ErrorCode::program.
void validate_node(Program& program, size_t index);

// Fills `type` of every node, checks every edge, attribute, constant and output. Throws ErrorCode::program.
void validate_program(Program& program);

}  // namespace mlcore

// What the op files share: messages of steps, and small helpers for their loops.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "ops/op.h"

namespace mlcore {

// "step 'pipeline / onehotencoder'"; control characters and overlong paths are quoted safely.
std::string step_name(std::string_view path);

// A step made of one function of StepArgs; what it captures must not change.
template <class Run>
class FunctionStep final : public Step {
 public:
  explicit FunctionStep(Run run) : run_(std::move(run)) {}
  void run(const StepArgs& args) const override { run_(args); }

 private:
  Run run_;
};

template <class Run>
std::unique_ptr<Step> make_step(Run run) {
  return std::make_unique<FunctionStep<Run>>(std::move(run));
}

// Raises the errors of a step's run(). Costs nothing until then: the program outlives the plan, so names are
// looked up when they are needed.
class Blame {
 public:
  explicit Blame(const NodeReader& reader) : program_(&reader.program()), node_(&reader.node()) {}

  // "step 'p': expected <expected> in column 'c' but found <found> (row 12)"; `column` of the step's input 0.
  [[noreturn]] void refuse(const std::string& expected, int64_t column, const std::string& found,
                           int64_t row) const;
  // An input of the step holds a code that the program says cannot occur.
  [[noreturn]] void bad_code(int64_t code, int64_t limit) const;

 private:
  const Program* program_;
  const Node* node_;
};

// Calls `make` with a value of the C++ type of a float block.
template <class Make>
auto for_float(DType dtype, const Make& make) {
  return dtype == DType::f64 ? make(double{}) : make(float{});
}

// Calls `make` with a value of the C++ type of any block.
template <class Make>
auto for_block(DType dtype, const Make& make) {
  switch (dtype) {
    case DType::f64: return make(double{});
    case DType::f32: return make(float{});
    case DType::i64: return make(int64_t{});
    case DType::i32: return make(int32_t{});
    default: return make(StringRef{});
  }
}

// A constant of [w] or [1] elements, read per column.
template <class T>
struct PerColumn {
  Constant constant;

  T operator[](int64_t column) const {
    const auto values = constant.as<T>();
    return values[values.size() == 1 ? 0 : static_cast<size_t>(column)];
  }
};

// Elements [first, first + count) of a constant of numbers.
inline Constant part(const Constant& constant, int64_t first, int64_t count) {
  const size_t size = size_of(constant.type());
  return {constant.type(),
          {count},
          constant.bytes().subspan(static_cast<size_t>(first) * size, static_cast<size_t>(count) * size)};
}
// The element of a [w] or [1] constant that belongs to a column.
inline Constant part_of_column(const Constant& constant, int64_t column) {
  return part(constant, constant.size() == 1 ? 0 : column, 1);
}

// The op itself on one column, its constants unchanged.
inline ColumnStep same_op(const NodeReader& reader, int64_t column, Order order) {
  return {0, column, order, reader.node().op, reader.node().attributes, {}};
}

// A constant that must have [w] or [1] elements, none of them NaN.
template <class T>
void expect_no_nan(const NodeReader& reader, std::string_view name, const Constant& constant) {
  for (T value : constant.as<T>())
    reader.expect(value == value, "expected no NaN in constant '", name, "' but found one");
}

inline void expect_no_nan(const NodeReader& reader, std::string_view name, const Constant& constant) {
  if (constant.type() == DType::f64) expect_no_nan<double>(reader, name, constant);
  if (constant.type() == DType::f32) expect_no_nan<float>(reader, name, constant);
}

inline void expect_per_column(const NodeReader& reader, std::string_view name, const Constant& constant,
                              int64_t width) {
  reader.expect(constant.size() == width || constant.size() == 1, "expected ", width,
                " elements or 1 in constant '", name, "' but found ", constant.size());
}

}  // namespace mlcore

// One Python value read as the type that a schema asks for. Every function needs the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/types.h"
#include "runtime/row.h"

namespace mlcore {

enum class ValueState : uint8_t {
  present,
  missing,
  wrong,  // another type, or a value that the type cannot hold exactly
};

struct ValueResult {
  ValueState state = ValueState::present;
  MissingKind missing = kNull;  // of a missing value
  const char* reason =
      nullptr;  // of a wrong value whose type alone does not explain it: ", which ... exactly"

  static ValueResult absent(MissingKind kind) { return {ValueState::missing, kind, nullptr}; }
  static ValueResult refused(const char* why = nullptr) { return {ValueState::wrong, kNull, why}; }
};

// A number, boolean, date or timestamp into the plain layout at `out` (zeros, or NaN for floats, when
// missing). Python and NumPy scalars are checked by value: an int fits any integer or float type that holds
// it exactly, a float only float types, a bool only bool. None, NaN, pandas.NA and (for dates) NaT are
// missing.
ValueResult read_value(PyObject* value, const LogicalType& type, std::byte* out);

// A string; `out` is borrowed from `value`. None, NaN and pandas.NA are missing.
ValueResult read_text(PyObject* value, std::string_view& out);

// "float (39.5)", "str ('abc')": a value for a message.
std::string describe_value(PyObject* value);
std::string describe_wrong(PyObject* value, const ValueResult& result, const LogicalType& type);

}  // namespace mlcore

// Single rows from Python: mappings, sequences by position, NumPy arrays. Every function needs the GIL.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "bindings/py_value.h"
#include "ir/program.h"
#include "runtime/row.h"

namespace mlcore {

// Reads rows for one schema: built once, then `read` per call. Immutable.
class RowReader {
 public:
  // `used[i]` false: column i may be absent, and its value is not looked at. `order` lists, for rows by
  // position, the schema column of each value.
  RowReader(std::vector<ColumnSpec> schema, std::vector<bool> used, std::vector<int32_t> order);
  ~RowReader();
  RowReader(RowReader&&) = delete;

  // Values: float, int, bool, str, None, NumPy scalars, datetime, date, datetime64, Decimal. Throws one
  // ErrorCode::input that lists every missing, extra and mistyped key.
  void read(pybind11::handle mapping, Row& row) const;
  // One value per column of `order`: any sequence, or an array of one dimension.
  void read_positional(pybind11::handle sequence, Row& row) const;

 private:
  friend class ArrayRow;
  void read_array(const pybind11::array& values, Row& row) const;
  ValueResult put(PyObject* value, size_t column, Row& row) const;
  bool put_plain(PyObject* value, size_t column, Row& row) const;
  template <class T>
  bool put_elements(const pybind11::array& values, Row& row) const;
  std::string wrong(size_t column, PyObject* value, const ValueResult& result) const;
  [[noreturn]] void explain(PyObject* dict, Row& row) const;

  std::vector<ColumnSpec> schema_;
  std::vector<uint8_t> used_;
  std::vector<int32_t> order_;
  std::vector<pybind11::object> keys_;  // interned, so that their hash is computed once
};

// The elements of a NumPy array of floats read where they lie, as a row whose columns are all floats that
// hold them as they are.
class ArrayRow final : public Source {
 public:
  explicit ArrayRow(const RowReader& reader);

  // Whether this array is such a row; if so, the next run reads it.
  bool take(pybind11::handle values);

  void read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const override;
  void read_columns(std::span<const int32_t> columns, int64_t first, int64_t n, DType dtype,
                    std::byte* out) const override;

 private:
  template <class From, class To>
  void copy(std::span<const int32_t> columns, std::byte* out) const;

  const RowReader& reader_;
  bool all_double_ = true;         // every used column is a nullable float64
  bool all_float_ = true;          // is one, or a nullable float32
  std::vector<int32_t> position_;  // per schema column: its element
  const char* data_ = nullptr;
  int64_t stride_ = 0;
  bool is_double_ = false;  // what the elements are; else float32
};

}  // namespace mlcore

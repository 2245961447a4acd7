// The table boundary towards Python: rows and containers become batches.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <vector>

#include "ir/program.h"
#include "runtime/batch.h"

namespace mlcore {

// One row, reused from call to call. Its batch has the schema's columns in order (no binding needed), in
// exactly the schema's types; the memory belongs to this object and is overwritten by the next read.
class Row {
 public:
  ~Row();
  Row(Row&&) noexcept;
  const Batch& batch() const;

 private:
  friend class RowReader;
  struct State;
  explicit Row(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Reads Python rows for one schema: built once per model, then `read` per call. Immutable; needs the GIL.
class RowReader {
 public:
  // `used[i]` false: column i may be absent from a mapping, and its value is not looked at.
  RowReader(std::vector<ColumnSpec> schema, std::vector<bool> used);
  ~RowReader();
  RowReader(RowReader&&) noexcept;

  Row make_row() const;
  // Values: float, int, bool, str, None, NumPy scalars, datetime, date, datetime64, Decimal. Throws one
  // ErrorCode::input that lists every missing, extra and mistyped key.
  void read(pybind11::handle mapping, Row& row) const;
  // Values by position, one per schema column.
  void read_positional(pybind11::handle sequence, Row& row) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mlcore

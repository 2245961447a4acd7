// Columns of a device's memory, brought to the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "ir/program.h"
#include "runtime/batch.h"

namespace mlcore {

// Bytes of the device to the host; they are there on return.
using CopyToHost = std::function<void(void* to, const void* from, size_t bytes)>;

// Rows [first, first + rows) of one column. Throws ErrorCode::input where strings do not lie inside what the
// column's offsets span, which no copy can bring.
class HostColumn {
 public:
  // `dictionary`: the host's copy of the column's own, if it has one.
  HostColumn(const ColumnView& column, std::string_view name, int64_t first, int64_t rows,
             const ColumnView* dictionary, const CopyToHost& copy);
  HostColumn(HostColumn&&) = default;  // the memory stays where it is
  const ColumnView& view() const { return view_; }

 private:
  template <class Offset>
  void read_text(const ColumnView& column, std::string_view name, int64_t start, const CopyToHost& copy);
  void read_numbers(const ColumnView& column, int64_t start, const CopyToHost& copy);
  std::vector<uint8_t> read_bits(const void* bits, int64_t start, int64_t rows, const CopyToHost& copy) const;

  ColumnView view_;
  std::vector<std::byte> data_, offsets_;
  std::vector<uint8_t> missing_;  // per row
};

// The same of a table's columns, given by schema column (null: the table has none).
class HostRows {
 public:
  HostRows(const std::vector<ColumnSpec>& schema, std::span<const ColumnView* const> columns,
           std::span<const ColumnView* const> dictionaries, int64_t first, int64_t rows,
           const CopyToHost& copy);
  const Batch& batch() const { return batch_; }

 private:
  std::vector<HostColumn> columns_;
  Batch batch_;
};

}  // namespace mlcore

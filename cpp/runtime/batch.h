// Batch: the table a model reads, as rows x named columns. Columns are borrowed memory in the layouts that
// Arrow, NumPy and pandas use, so that nothing is copied before a plan decodes the rows it needs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace mlcore {

// How the values of a column lie in memory.
enum class Storage : uint8_t {
  none,   // no buffer: every row is missing (Arrow `null`)
  bits,   // booleans, one bit each, least significant first
  bytes,  // booleans, one byte each
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float16,
  float32,
  float64,
  decimal,      // little-endian two's complement of `width` bytes, times 10^-scale
  utf8,         // int32 offsets into `data`
  large_utf8,   // int64 offsets into `data`
  utf8_view,    // 16-byte Arrow views into `buffers`
  refs,         // StringRef each; a missing one carries its own MissingKind
  unsupported,  // nothing readable; `problem` says what was found
};

// One column. Plain borrowed data: the Batch that holds it keeps the memory alive. Row r of the column is
// element `offset + r` of every buffer below. Memory need not be aligned.
struct ColumnView {
  Storage storage = Storage::none;  // of the values, or of the indices when there is a dictionary
  LogicalType type;                 // what the values mean; of the dictionary's values when there is one
  int64_t length = 0;
  int64_t offset = 0;
  int64_t first_row = 0;  // what row 0 is called in messages: batches of a stream count on
  int64_t stride =
      0;  // bytes from one element of `data` to the next, may be negative; unused for bits and strings
  const void* data = nullptr;
  const void* offsets = nullptr;  // utf8, large_utf8

  // Missing rows. Any of these may be null; a row is missing when one of them says so.
  const uint8_t* validity = nullptr;  // Arrow bitmap, 1 = present
  const uint8_t* mask = nullptr;      // a byte per row, non-zero = missing
  const uint8_t* kinds = nullptr;     // a byte per row, 0 = present, else 1 + MissingKind
  MissingKind missing_kind = kNull;   // of missing rows that `kinds` does not describe
  bool sentinel = false;              // INT64_MIN (NaT) is missing; with a dictionary: a negative index is

  const void* const* buffers = nullptr;   // utf8_view: character buffers
  const int64_t* buffer_sizes = nullptr;  // utf8_view: bytes in each
  int64_t buffer_count = 0;

  const ColumnView* dictionary = nullptr;  // values that `data` indexes
  uint8_t width = 0;                       // decimal: bytes per value
  int32_t precision = 0;                   // decimal: decimal digits
  int32_t scale = 0;                       // decimal: digits after the point
  bool trusted = false;  // offsets, indices, views and UTF-8 were checked, or the caller vouches for them
  std::string problem;  // not empty: why this column cannot be read ("found list"); reported when it is bound
};

// Parts of messages that cost nothing until the message is needed.
struct ColumnName {
  std::string_view name;
};
std::string text(const ColumnName& column);  // column 'age'
inline std::string text(const LogicalType& type) { return name_of(type); }

// "int64", "string", "dictionary of string", "decimal128(10, 2)": what a message calls the type of a column.
std::string found_type(const ColumnView& column);

// The rows [first, first + length) of a column.
ColumnView slice(const ColumnView& column, int64_t first, int64_t length);

using KeepAlive = std::shared_ptr<const void>;
using Names = std::shared_ptr<const std::vector<std::string>>;

// Immutable; safe to read from several threads. Copies share the memory behind the columns.
class Batch {
 public:
  Batch() : Batch(0, std::make_shared<const std::vector<std::string>>(), {}, {}) {}
  // Throws ErrorCode::input unless there is a name per column and every column has `rows` rows.
  Batch(int64_t rows, Names names, std::vector<ColumnView> columns, std::vector<KeepAlive> keep_alive);

  int64_t rows() const { return rows_; }
  size_t column_count() const { return columns_.size(); }
  std::span<const std::string> names() const { return *names_; }
  const ColumnView& column(size_t index) const { return columns_[index]; }
  // Rows of the table before this batch, for messages.
  int64_t first_row() const { return columns_.empty() ? 0 : columns_.front().first_row; }

 private:
  int64_t rows_;
  Names names_;
  std::vector<ColumnView> columns_;
  std::vector<KeepAlive> keep_alive_;
};

// A column in pieces, as chunked containers hold it; `keep_alive` covers all pieces.
struct ChunkedColumn {
  std::string name;
  std::vector<ColumnView> chunks;
  std::vector<KeepAlive> keep_alive;
};

// Cuts columns at the union of their chunk boundaries, so that every batch has one piece of each. A table
// without rows gives one empty batch. Throws ErrorCode::input when the columns differ in length; `rows` is
// the expected count, or -1 for the first column's.
std::vector<Batch> align_chunks(std::vector<ChunkedColumn> columns, int64_t rows);

}  // namespace mlcore

// Columns of one row-major matrix of floats, read row by row instead of column by column: each cache line of
// the matrix is fetched once for all its columns.
#include <algorithm>

#include "runtime/column_reader.h"
#include "runtime/decode.h"

namespace mlcore {
namespace {

constexpr int64_t kTileRows = 16;

// A float column in which no row can be missing by anything but a NaN, which is allowed.
bool is_plain_float(const DecodeInput& input) {
  const ColumnView& column = *input.column;
  return (column.storage == Storage::float32 || column.storage == Storage::float64) && !column.dictionary &&
         !column.validity && !column.mask && !column.kinds && !column.sentinel && input.spec->nullable &&
         (input.spec->type.kind == Kind::float32 || input.spec->type.kind == Kind::float64);
}

bool is_matrix(std::span<const DecodeInput> inputs, std::span<const int32_t> columns, int64_t first,
               int64_t n) {
  const DecodeInput& start = inputs[static_cast<size_t>(columns.front())];
  if (!is_plain_float(start) || first < 0 || first > start.column->length - n) return false;
  const int64_t element = start.column->storage == Storage::float32 ? 4 : 8;
  const auto* address = static_cast<const char*>(start.column->data);
  for (int32_t index : columns) {
    const DecodeInput& input = inputs[static_cast<size_t>(index)];
    const ColumnView& column = *input.column;
    if (static_cast<const char*>(column.data) != address || !is_plain_float(input) ||
        column.storage != start.column->storage || column.stride != start.column->stride ||
        column.offset != start.column->offset || column.length != start.column->length)
      return false;
    address += element;
  }
  return true;
}

// `rows` elements from `from` on, `stride` bytes apart. Inlined for a constant count of rows, the loop
// unrolls.
template <class S, class T>
inline void read_column(const char* from, int64_t stride, int64_t rows, T* out) {
  for (int64_t r = 0; r < rows; ++r, from += stride) out[r] = static_cast<T>(load<S>(from, 0));
}

template <class S, class T>
void read_rows(const ColumnView& start, int64_t first, int64_t n, int64_t width, T* out) {
  const char* base = static_cast<const char*>(start.data) + (start.offset + first) * start.stride;
  for (int64_t tile = 0; tile < n; tile += kTileRows, base += kTileRows * start.stride) {
    const char* from = base;
    for (int64_t k = 0; k < width; ++k, from += sizeof(S)) {
      T* to = out + k * n + tile;
      if (n - tile >= kTileRows) read_column<S>(from, start.stride, kTileRows, to);
      else read_column<S>(from, start.stride, n - tile, to);
    }
  }
}

template <class T>
void read_matrix(const ColumnView& start, int64_t first, int64_t n, int64_t width, T* out) {
  if (start.storage == Storage::float32) read_rows<float>(start, first, n, width, out);
  else read_rows<double>(start, first, n, width, out);
}

}  // namespace

bool decode_matrix(std::span<const DecodeInput> inputs, std::span<const int32_t> columns, int64_t first,
                   int64_t n, DType as, std::byte* out) {
  if (columns.size() < 2 || n < 2 || !is_matrix(inputs, columns, first, n)) return false;
  const ColumnView& start = *inputs[static_cast<size_t>(columns.front())].column;
  const auto width = static_cast<int64_t>(columns.size());
  if (as == DType::f64) read_matrix(start, first, n, width, reinterpret_cast<double*>(out));
  else if (as == DType::f32) read_matrix(start, first, n, width, reinterpret_cast<float*>(out));
  else return false;
  return true;
}

}  // namespace mlcore

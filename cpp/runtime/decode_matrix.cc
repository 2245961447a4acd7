// Columns of one row-major matrix of floats, read row by row instead of column by column: each cache line of
// the matrix is fetched once for all its columns.
#include "runtime/decode.h"

namespace mlcore {
namespace {

// A float column in which no row can be missing by anything but a NaN, which is allowed.
bool is_plain_float(const DecodeInput& input) {
  const ColumnView& column = *input.column;
  return (column.storage == Storage::float32 || column.storage == Storage::float64) && !column.dictionary &&
         !column.validity && !column.mask && !column.kinds && !column.sentinel && input.spec->nullable &&
         (input.spec->type.kind == Kind::float32 || input.spec->type.kind == Kind::float64);
}

bool lies_beside(const ColumnView& column, const ColumnView& before) {
  const int64_t element = before.storage == Storage::float32 ? 4 : 8;
  return static_cast<const char*>(column.data) == static_cast<const char*>(before.data) + element &&
         column.storage == before.storage && column.stride == before.stride &&
         column.offset == before.offset && column.length == before.length;
}

template <class T>
void read_matrix(const BlockLoops& loops, const ColumnView& start, int64_t first, int64_t n, int64_t width,
                 T* out) {
  const char* from = static_cast<const char*>(start.data) + (start.offset + first) * start.stride;
  const NumberLoops<T>& of = loops.of<T>();
  (start.storage == Storage::float32 ? of.read_f32 : of.read_f64)(from, start.stride, n, width, out);
}

}  // namespace

void find_matrices(std::span<DecodeInput> inputs) {
  for (size_t i = 1; i < inputs.size(); ++i)
    inputs[i].beside = inputs[i].column && inputs[i - 1].column && is_plain_float(inputs[i]) &&
                       is_plain_float(inputs[i - 1]) && lies_beside(*inputs[i].column, *inputs[i - 1].column);
}

bool decode_matrix(const BlockLoops& loops, std::span<const DecodeInput> inputs,
                   std::span<const int32_t> columns, int64_t first, int64_t n, DType as, std::byte* out) {
  if (columns.size() < 2 || n < 2) return false;
  for (size_t i = 1; i < columns.size(); ++i)
    if (columns[i] != columns[i - 1] + 1 || !inputs[static_cast<size_t>(columns[i])].beside) return false;
  const ColumnView& start = *inputs[static_cast<size_t>(columns.front())].column;
  if (first < 0 || first > start.length - n) return false;
  const auto width = static_cast<int64_t>(columns.size());
  if (as == DType::f64) read_matrix(loops, start, first, n, width, reinterpret_cast<double*>(out));
  else if (as == DType::f32) read_matrix(loops, start, first, n, width, reinterpret_cast<float*>(out));
  else return false;
  return true;
}

}  // namespace mlcore

// From the columns of a Batch to the blocks of a plan: types are matched once, values are checked as they are
// read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "ir/program.h"
#include "kernels/block_loops.h"
#include "runtime/batch.h"

namespace mlcore {

// Whether a column of this type is accepted where the schema says `expected`; values may still be refused.
// Accepted: the same type; integer to float and narrower to wider where no value is lost (checked value by
// value where the type alone does not say: int64 to float64, uint64 to int64, decimal to float64 ...); a
// dictionary as its values; any string layout; timestamps of any unit that agree on having a zone; Arrow
// `null` where nullable.
[[gnu::visibility("default")]] bool accepts(const ColumnSpec& expected, const ColumnView& found);

// Matches columns by name. Throws one ErrorCode::input that lists every missing, extra, repeated and mistyped
// column. `used[i]`: the plan reads schema column i; a column that is not used may be absent, and its type is
// not looked at. Returns for each schema column its index in the batch, or -1.
[[gnu::visibility("default")]] std::vector<int32_t> bind_columns(const std::vector<ColumnSpec>& schema,
                                                                 const std::vector<bool>& used,
                                                                 const Batch& batch);

// "the <subject> does not fit the model's columns: 3 problems", one per line; a single problem stands alone.
[[gnu::visibility("default")]] std::string list_problems(std::string_view subject,
                                                         const std::vector<std::string>& problems);

// Decodes rows [first, first + n) of a column that `accepts` accepted into n elements of `as` (f64, f32, i64,
// str). Numbers convert from the schema's type to `as` as C casts do, booleans to 0 and 1, dates and
// timestamps to ticks of the schema's unit. Missing: NaN, a null StringRef with its kind, an error for i64
// and for columns that are not nullable. Strings are borrowed from the batch. Throws ErrorCode::input naming
// column, row and value. Neither allocates (unless it throws) nor locks.
[[gnu::visibility("default")]] void decode(const ColumnSpec& spec, const ColumnView& column, int64_t first,
                                           int64_t n, DType as, void* out);

// A schema column and the table's column that fills it; null where the plan reads none.
struct DecodeInput {
  const ColumnSpec* spec;
  const ColumnView* column;
  bool beside = false;  // the next number of the same row-major matrix of floats as the column before
};
// Fills `beside`.
void find_matrices(std::span<DecodeInput> inputs);

// Decodes those of `inputs` that `columns` names, side by side; false, with nothing done, unless they are
// neighbours in one matrix.
bool decode_matrix(const BlockLoops& loops, std::span<const DecodeInput> inputs,
                   std::span<const int32_t> columns, int64_t first, int64_t n, DType as, std::byte* out);

}  // namespace mlcore

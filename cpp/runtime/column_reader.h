// Access to single rows of a ColumnView, shared by the numeric and the text side of decode.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "base/status.h"
#include "ir/program.h"
#include "runtime/batch.h"

namespace mlcore {

// Where a value sits, for messages.
struct DecodeContext {
  const ColumnSpec& spec;
  const ColumnView& column;
  int64_t first;  // row of the batch that is decoded first

  std::string where(int64_t i) const {
    return "column " + quoted(spec.name) + ", row " + text(column.first_row + first + i);
  }
  template <class... Parts>
  [[noreturn]] void refuse(int64_t i, const Parts&... parts) const {
    fail(ErrorCode::input, where(i), ": expected ", name_of(spec.type), " but found ", parts...);
  }
};

constexpr int64_t kPresent = -1;
constexpr int64_t kNoElement = -1;

template <class T>
T load(const void* base, int64_t byte_offset) {
  T value;
  std::memcpy(&value, static_cast<const char*>(base) + byte_offset, sizeof value);
  return value;
}

inline bool bit_at(const uint8_t* bits, int64_t index) {
  return ((bits[index >> 3] >> (index & 7)) & 1) != 0;
}

// MissingKind of element `element` (offset included) by the column's own buffers, or kPresent.
inline int64_t missing_by_buffers(const ColumnView& column, int64_t element) {
  if (column.kinds && column.kinds[element] != 0) return column.kinds[element] - 1;
  if (column.validity && !bit_at(column.validity, element)) return column.missing_kind;
  if (column.mask && column.mask[element] != 0) return column.missing_kind;
  return kPresent;
}

// Element of the dictionary (its offset included) that row `element` means, or kNoElement when the row is
// missing. Throws when an unchecked index lies outside.
int64_t dictionary_element(const DecodeContext& context, int64_t element, int64_t i);

// dtype str. `out` holds n StringRef.
void decode_text(const DecodeContext& context, int64_t n, StringRef* out);

}  // namespace mlcore

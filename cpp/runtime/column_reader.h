// Access to single rows of a ColumnView, shared by the numeric and the text side of decode.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

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

// Calls `visit(i)` for those of `n` rows from element `start` on whose bit is zero.
template <class Visit>
void each_zero_bit(const uint8_t* bits, int64_t start, int64_t n, const Visit& visit) {
  constexpr int64_t kStep = 56;  // of 64 loaded bits, up to 7 lie before the first
  for (int64_t i = 0; i < n; i += kStep) {
    const int64_t count = n - i < kStep ? n - i : kStep;
    const uint8_t* first = bits + ((start + i) >> 3);
    const int64_t shift = (start + i) & 7;
    uint64_t word = 0;
    if (count == kStep && shift > 0) std::memcpy(&word, first, sizeof word);
    else std::memcpy(&word, first, static_cast<size_t>((shift + count + 7) / 8));
    word = ~(word >> shift) & ((uint64_t{1} << count) - 1);
    for (; word != 0; word &= word - 1) visit(i + __builtin_ctzll(word));
  }
}

// MissingKind of element `element` (offset included) by the column's own buffers, or kPresent.
inline int64_t missing_by_buffers(const ColumnView& column, int64_t element) {
  if (column.kinds && column.kinds[element] != 0) return column.kinds[element] - 1;
  if (column.validity && !bit_at(column.validity, element)) return column.missing_kind;
  if (column.mask && column.mask[element] != 0) return column.missing_kind;
  return kPresent;
}

[[noreturn]] void refuse_index(const DecodeContext& context, int64_t index, int64_t i);

// Element of the dictionary (its offset included) that row `element` means, or kNoElement when the row is
// missing. Throws when the index lies outside, also where contents are trusted: a wrong index reads any
// memory.
inline int64_t dictionary_element(const DecodeContext& context, int64_t element, int64_t i) {
  const ColumnView& column = context.column;
  if (missing_by_buffers(column, element) != kPresent) return kNoElement;
  const int64_t at = element * column.stride;
  int64_t index = 0;
  switch (column.storage) {
    case Storage::int8: index = load<int8_t>(column.data, at); break;
    case Storage::int16: index = load<int16_t>(column.data, at); break;
    case Storage::int32: index = load<int32_t>(column.data, at); break;
    case Storage::uint8: index = load<uint8_t>(column.data, at); break;
    case Storage::uint16: index = load<uint16_t>(column.data, at); break;
    case Storage::uint32: index = load<uint32_t>(column.data, at); break;
    // an unsigned index above the largest int64 becomes negative here, and is refused as such
    default: index = load<int64_t>(column.data, at); break;
  }
  if (index < 0 && column.sentinel) return kNoElement;
  const ColumnView& dictionary = *column.dictionary;
  if (index < 0 || index >= dictionary.length) [[unlikely]]
    refuse_index(context, index, i);
  return dictionary.storage == Storage::none ? kNoElement : dictionary.offset + index;
}

// dtype str. `out` holds n StringRef.
void decode_text(const DecodeContext& context, int64_t n, StringRef* out);

// Rows of a column with a dictionary as positions in it, ~MissingKind for missing ones, with decode_text's
// errors. `entries` are the dictionary's, as decode_text gives them; `complete`: none of them is missing.
void decode_positions(const DecodeContext& context, int64_t n, std::span<const StringRef> entries,
                      bool complete, int32_t* out);

}  // namespace mlcore

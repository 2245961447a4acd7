// From columns as others have them to blocks: indices into a dictionary, and strings.
#pragma once

#include <type_traits>

#include "base/utf8_inl.h"
#include "bodies.h"
#include "steps.h"
#include "text_map.h"

namespace mlcore::device {

MLCORE_BODY inline bool bit_at(const uint8_t* bits, int64_t at) {
  return ((bits[at >> 3] >> (at & 7)) & 1) != 0;
}
MLCORE_BODY inline bool is_there(const Bitmap& there, int64_t row) {
  return there.bits == nullptr || bit_at(there.bits, there.first + row);
}

// The entry of a row that is there; negative: the row is to be refused.
template <class Index>
struct ByIndex {
  const Index* indices;
  int64_t stride, count;

  MLCORE_BODY int64_t entry(int64_t row) const {
    const auto index = static_cast<int64_t>(indices[row * stride]);
    return index < count ? index : -1;  // an unsigned one above the largest int64 is negative here
  }
};

template <class Offset>
struct ByText {
  const Offset* offsets;
  const char* bytes;
  int64_t first, begin, end;
  TextKeys keys;

  MLCORE_BODY int64_t entry(int64_t row) const {
    const auto from = static_cast<int64_t>(offsets[first + row]);
    const auto to = static_cast<int64_t>(offsets[first + row + 1]);
    const auto lowest = static_cast<int64_t>(offsets[begin]), highest = static_cast<int64_t>(offsets[end]);
    if (lowest < 0 || from < lowest || to < from || to > highest || (to > from && bytes == nullptr))
      return -1;
    const int64_t number = keys.number_of(bytes + from, to - from);
    return number < keys.count || is_utf8_text(bytes + from, to - from) ? number : -1;
  }
};

template <class By, class T>
struct Translate {
  By by;
  Bitmap there;
  int64_t count, width;
  const T* values;
  const uint8_t* refused;
  Columns<T> out;
  int64_t first_row;
  int64_t* fault;

  MLCORE_BODY void operator()(int64_t row, int64_t) const {
    const int64_t entry = is_there(there, row) ? by.entry(row) : count;
    if (entry < 0 || refused[entry] != 0) return refuse(fault, first_row + row);
    for (int64_t column = 0; column < width; ++column) out.at(row, column) = values[entry * width + column];
  }
};

// Calls `f` with a pointer to indices of a column's kind.
template <class F>
Failure with_indices(Kind kind, const void* data, const F& f) {
  switch (kind) {
    case Kind::int8: return f(static_cast<const int8_t*>(data));
    case Kind::int16: return f(static_cast<const int16_t*>(data));
    case Kind::int32: return f(static_cast<const int32_t*>(data));
    case Kind::int64: return f(static_cast<const int64_t*>(data));
    case Kind::uint8: return f(static_cast<const uint8_t*>(data));
    case Kind::uint16: return f(static_cast<const uint16_t*>(data));
    case Kind::uint32: return f(static_cast<const uint32_t*>(data));
    case Kind::uint64: return f(static_cast<const uint64_t*>(data));
    default: return "expected indices";
  }
}

inline Failure translate(void* to, DType type, int64_t stride, const Entries& from, int64_t rows,
                         int64_t width, Stream* stream) {
  return with_size(type, [&](auto zero) {
    using T = decltype(zero);
    const auto launch = [&](const auto& by) {
      const Translate<std::remove_cvref_t<decltype(by)>, T> body{by,
                                                                 from.there,
                                                                 from.count,
                                                                 width,
                                                                 static_cast<const T*>(from.values),
                                                                 from.refused,
                                                                 {static_cast<T*>(to), stride},
                                                                 from.first_row,
                                                                 from.fault};
      return each(body, rows, 1, stream);
    };
    if (from.map != nullptr) {
      const Text& text = from.text;
      const auto by_text = [&](const auto* offsets) {
        using Offset = std::remove_cv_t<std::remove_pointer_t<decltype(offsets)>>;
        return launch(ByText<Offset>{offsets, text.bytes, text.first, text.begin, text.end, from.map->keys});
      };
      return text.wide ? by_text(static_cast<const int64_t*>(text.offsets))
                       : by_text(static_cast<const int32_t*>(text.offsets));
    }
    return with_indices(from.kind, from.indices, [&](const auto* indices) {
      using Index = std::remove_cv_t<std::remove_pointer_t<decltype(indices)>>;
      return launch(ByIndex<Index>{indices, from.stride, from.count});
    });
  });
}

}  // namespace mlcore::device

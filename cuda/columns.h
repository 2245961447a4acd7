// From columns as others have them to blocks: numbers of any type, indices into a dictionary, strings.
#pragma once

#include <limits>
#include <type_traits>

#include "base/utf8_inl.h"
#include "bodies.h"
#include "kernels/exact_inl.h"
#include "steps.h"
#include "text_map.h"

namespace mlcore::device {

MLCORE_BODY inline bool bit_at(const uint8_t* bits, int64_t at) {
  return ((bits[at >> 3] >> (at & 7)) & 1) != 0;
}
MLCORE_BODY inline bool is_there(const Bitmap& there, int64_t row) {
  return there.bits == nullptr || bit_at(there.bits, there.first + row);
}

// Where numbers lie as others than themselves.
struct Bit {};
struct Flag {
  uint8_t byte;
};
struct Half {
  uint16_t bits;
};

template <class S>
MLCORE_BODY S number_at(const S* data, int64_t, int64_t at) {
  return data[at];
}
MLCORE_BODY inline uint8_t number_at(const Bit* data, int64_t first_bit, int64_t at) {
  return bit_at(reinterpret_cast<const uint8_t*>(data), first_bit + at) ? 1 : 0;
}
MLCORE_BODY inline uint8_t number_at(const Flag* data, int64_t, int64_t at) {
  return data[at].byte != 0 ? 1 : 0;
}
MLCORE_BODY inline float number_at(const Half* data, int64_t, int64_t at) {
  return half_to_float(data[at].bits);
}

// Whether a column of `expected` may hold the number, and a block of T has it.
template <class T, class S>
MLCORE_BODY bool holds(Kind expected, S x) {
  if constexpr (std::is_floating_point_v<S>) {
    if constexpr (std::is_same_v<T, int64_t>)
      return x >= S{-9223372036854775808.0} && x < S{9223372036854775808.0};
  } else {
    const bool to_float = expected >= Kind::float16 && expected <= Kind::float64;
    if (to_float && std::numeric_limits<S>::digits > significand_bits(expected) &&
        !exact_in_float(x, expected))
      return false;
    if constexpr (std::is_same_v<S, uint64_t>) {
      constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
      if ((expected == Kind::int64 || std::is_same_v<T, int64_t>) && x > kMost) return false;
    }
  }
  return true;
}

template <class S, class T>
struct Gather {
  const S* from;
  int64_t row_stride, column_stride, first_bit;
  Bitmap there;
  bool nullable;
  Kind expected;
  Columns<T> out;
  int64_t first_row;
  int64_t* fault;

  MLCORE_BODY void operator()(int64_t row, int64_t column) const {
    constexpr bool kHasNaN = std::is_floating_point_v<T>;
    if (!is_there(there, row)) {
      if (!nullable || !kHasNaN) return refuse(fault, first_row + row);
      if constexpr (kHasNaN) out.at(row, column) = std::numeric_limits<T>::quiet_NaN();
      return;
    }
    const auto x = number_at(from, first_bit, row * row_stride + column * column_stride);
    if ((!nullable && x != x) || !holds<T>(expected, x)) return refuse(fault, first_row + row);
    out.at(row, column) = static_cast<T>(x);
  }
};

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

// Calls `f` with a pointer to numbers of a column's kind.
template <class F>
Failure with_kind(Kind kind, const void* data, const F& f) {
  switch (kind) {
    case Kind::boolean: return f(static_cast<const Flag*>(data));
    case Kind::int8: return f(static_cast<const int8_t*>(data));
    case Kind::int16: return f(static_cast<const int16_t*>(data));
    case Kind::int32:
    case Kind::date32: return f(static_cast<const int32_t*>(data));
    case Kind::int64:
    case Kind::date64:
    case Kind::timestamp: return f(static_cast<const int64_t*>(data));
    case Kind::uint8: return f(static_cast<const uint8_t*>(data));
    case Kind::uint16: return f(static_cast<const uint16_t*>(data));
    case Kind::uint32: return f(static_cast<const uint32_t*>(data));
    case Kind::uint64: return f(static_cast<const uint64_t*>(data));
    case Kind::float16: return f(static_cast<const Half*>(data));
    case Kind::float32: return f(static_cast<const float*>(data));
    case Kind::float64: return f(static_cast<const double*>(data));
    default: return "expected numbers";
  }
}

inline Failure gather(void* to, DType type, int64_t stride, const Strided& from, int64_t rows, int64_t width,
                      Stream* stream) {
  return with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const auto launch = [&](const auto* data) {
      using S = std::remove_cv_t<std::remove_pointer_t<decltype(data)>>;
      const Gather<S, T> body{
          data,           from.row_stride, from.column_stride, from.first_bit,
          from.there,     from.nullable,   from.expected,      {static_cast<T*>(to), stride},
          from.first_row, from.fault};
      return each(body, rows, width, stream);
    };
    if (from.first_bit >= 0) return launch(static_cast<const Bit*>(from.data));
    return with_kind(from.kind, from.data, launch);
  });
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
    return with_kind(from.kind, from.indices, [&](const auto* indices) -> Failure {
      using Index = std::remove_cv_t<std::remove_pointer_t<decltype(indices)>>;
      if constexpr (std::is_integral_v<Index>)
        return launch(ByIndex<Index>{indices, from.stride, from.count});
      else return "expected indices";
    });
  });
}

}  // namespace mlcore::device

#include "runtime/decode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>

#include "runtime/column_reader.h"
#include "runtime/exact_number.h"

namespace mlcore {
namespace {

constexpr int64_t kBlock = 256;  // rows whose dictionary elements are gathered at a time

// Elements to read: `count` adjacent ones from `first`, or those that `gathered` lists (kNoElement: missing).
struct Elements {
  const ColumnView& values;
  const int64_t* gathered;
  int64_t first;
  int64_t count;
  int64_t row;  // position of the first one among the rows to decode

  template <class S, class Visit>
  void visit(const Visit& visit) const {
    if (gathered) {
      for (int64_t i = 0; i < count; ++i)
        if (gathered[i] != kNoElement) visit(i, load<S>(values.data, gathered[i] * values.stride));
    } else if (values.stride == static_cast<int64_t>(sizeof(S))) {
      const auto* base = static_cast<const char*>(values.data) + first * static_cast<int64_t>(sizeof(S));
      for (int64_t i = 0; i < count; ++i) visit(i, load<S>(base, i * static_cast<int64_t>(sizeof(S))));
    } else {
      for (int64_t i = 0; i < count; ++i) visit(i, load<S>(values.data, (first + i) * values.stride));
    }
  }

  int64_t element(int64_t i) const { return gathered ? gathered[i] : first + i; }
  int64_t missing(int64_t i) const {
    if (element(i) == kNoElement) return kNull;
    const int64_t kind = missing_by_buffers(values, element(i));
    if (kind != kPresent || !values.sentinel) return kind;
    const bool nat =
        load<int64_t>(values.data, element(i) * values.stride) == std::numeric_limits<int64_t>::min();
    return nat ? int64_t{values.missing_kind} : kPresent;
  }
  // Each element needs a look of its own, not the validity bitmap alone.
  bool needs_looks() const { return gathered || values.mask || values.kinds || values.sentinel; }
};

bool is_integer(Kind kind) { return kind >= Kind::int8 && kind <= Kind::uint64; }
bool is_float(Kind kind) { return kind >= Kind::float16 && kind <= Kind::float64; }
bool is_signed(Kind kind) { return kind <= Kind::int64; }
int width_rank(Kind kind) { return (static_cast<int>(kind) - static_cast<int>(Kind::int8)) % 4; }

bool accepts_number(Kind expected, Kind found) {
  if (expected == found) return true;
  if (is_float(expected)) return is_integer(found) || (is_float(found) && found < expected);
  if (!is_integer(expected) || !is_integer(found)) return false;
  if (is_signed(expected) == is_signed(found)) return width_rank(found) < width_rank(expected);
  if (!is_signed(expected)) return false;
  return width_rank(found) < width_rank(expected) || (expected == Kind::int64 && found == Kind::uint64);
}

// Value by value: is `value` a number of the schema's kind? Called only where the types alone do not say so.
template <class S>
bool fits(S value, Kind expected) {
  if constexpr (std::is_integral_v<S>) {
    if (is_float(expected)) return exact_in_float(value, expected);
    return magnitude(value) <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  } else {
    return exact_in_float(static_cast<double>(value), expected);
  }
}

// Whether some value of type S is no number of `expected`, given that the types are accepted.
template <class S>
bool must_check(Kind expected) {
  if constexpr (std::is_integral_v<S>) {
    if (is_float(expected)) return std::numeric_limits<S>::digits > significand_bits(expected);
    return std::is_same_v<S, uint64_t> && expected == Kind::int64;
  }
  return false;
}

template <class S, class T>
void convert_numbers(const DecodeContext& context, const Elements& elements, T* out) {
  const Kind expected = context.spec.type.kind;
  if constexpr (std::is_same_v<T, int64_t> && std::is_floating_point_v<S>) {
    elements.visit<S>([&](int64_t i, S value) {
      const bool inside = value >= S{-9223372036854775808.0} && value < S{9223372036854775808.0};
      if (!inside) {
        if (elements.missing(i) == kPresent)
          context.refuse(elements.row + i, text(static_cast<double>(value)), ", which is no 64-bit integer");
        return;
      }
      out[i] = static_cast<int64_t>(value);
    });
    return;
  } else {
    elements.visit<S>([&](int64_t i, S value) { out[i] = static_cast<T>(value); });
  }
  if constexpr (std::is_integral_v<S>) {
    const bool wraps = std::is_same_v<T, int64_t> && std::is_same_v<S, uint64_t>;
    if (!wraps && !must_check<S>(expected)) return;
    const uint64_t safe = wraps || !is_float(expected)
                              ? static_cast<uint64_t>(std::numeric_limits<int64_t>::max())
                              : uint64_t{1} << significand_bits(expected);
    bool suspicious = false;
    elements.visit<S>([&](int64_t, S value) { suspicious |= magnitude(value) > safe; });
    if (!suspicious) return;
    elements.visit<S>([&](int64_t i, S value) {
      if (elements.missing(i) != kPresent) return;
      const std::string number =
          (std::is_signed_v<S> && value < S{0} ? "-" : "") + std::to_string(magnitude(value));
      if (must_check<S>(expected) && !fits(value, expected))
        context.refuse(elements.row + i, found_type(context.column), " (", number, "), which ",
                       name_of(context.spec.type), " cannot hold exactly");
      if (wraps && magnitude(value) > safe)
        context.refuse(elements.row + i, number, ", which this model's 64-bit step cannot hold");
    });
  }
}

template <class T>
void convert_halves(const Elements& elements, T* out) {
  elements.visit<uint16_t>([&](int64_t i, uint16_t half) { out[i] = static_cast<T>(half_to_float(half)); });
}

template <class T>
void convert_booleans(const Elements& elements, T* out) {
  if (elements.values.storage == Storage::bytes) {
    elements.visit<uint8_t>([&](int64_t i, uint8_t value) { out[i] = static_cast<T>(value != 0); });
    return;
  }
  const auto* bits = static_cast<const uint8_t*>(elements.values.data);
  for (int64_t i = 0; i < elements.count; ++i)
    if (elements.element(i) != kNoElement) out[i] = static_cast<T>(bit_at(bits, elements.element(i)));
}

template <class T>
void convert_decimals(const DecodeContext& context, const Elements& elements, T* out) {
  const ColumnView& values = elements.values;
  for (int64_t i = 0; i < elements.count; ++i) {
    if (elements.missing(i) != kPresent) continue;
    const void* at = static_cast<const char*>(values.data) + elements.element(i) * values.stride;
    double value = 0.0;
    if (!decimal_to_double(at, values.width, values.scale, value) ||
        !exact_in_float(value, context.spec.type.kind))
      context.refuse(elements.row + i, found_type(context.column), " (",
                     decimal_text(at, values.width, values.scale), "), which ", name_of(context.spec.type),
                     " cannot hold exactly");
    out[i] = static_cast<T>(value);
  }
}

int64_t ticks_per_second(TimeUnit unit) {
  constexpr std::array<int64_t, 4> kTicks{1, 1'000, 1'000'000, 1'000'000'000};
  return kTicks[static_cast<size_t>(unit)];
}

template <class T>
void convert_timestamps(const DecodeContext& context, const Elements& elements, T* out) {
  const int64_t from = ticks_per_second(elements.values.type.unit);
  const int64_t to = ticks_per_second(context.spec.type.unit);
  if (from == to) {
    elements.visit<int64_t>([&](int64_t i, int64_t value) { out[i] = static_cast<T>(value); });
    return;
  }
  elements.visit<int64_t>([&](int64_t i, int64_t value) {
    if (elements.missing(i) != kPresent) return;
    int64_t ticks = 0;
    const bool fits =
        to > from ? !__builtin_mul_overflow(value, to / from, &ticks) : value % (from / to) == 0;
    if (!fits)
      context.refuse(elements.row + i, found_type(context.column), " (", value, " ticks), which ",
                     name_of(context.spec.type), " cannot hold exactly");
    out[i] = static_cast<T>(to > from ? ticks : value / (from / to));
  });
}

template <class T>
void convert(const DecodeContext& context, const Elements& elements, T* out) {
  if (elements.values.type.kind == Kind::timestamp) return convert_timestamps(context, elements, out);
  switch (elements.values.storage) {
    case Storage::bits:
    case Storage::bytes: return convert_booleans(elements, out);
    case Storage::int8: return convert_numbers<int8_t>(context, elements, out);
    case Storage::int16: return convert_numbers<int16_t>(context, elements, out);
    case Storage::int32: return convert_numbers<int32_t>(context, elements, out);
    case Storage::int64: return convert_numbers<int64_t>(context, elements, out);
    case Storage::uint8: return convert_numbers<uint8_t>(context, elements, out);
    case Storage::uint16: return convert_numbers<uint16_t>(context, elements, out);
    case Storage::uint32: return convert_numbers<uint32_t>(context, elements, out);
    case Storage::uint64: return convert_numbers<uint64_t>(context, elements, out);
    case Storage::float16:
      if constexpr (!std::is_same_v<T, int64_t>) return convert_halves(elements, out);
      break;
    case Storage::float32: return convert_numbers<float>(context, elements, out);
    case Storage::float64: return convert_numbers<double>(context, elements, out);
    case Storage::decimal:
      if constexpr (!std::is_same_v<T, int64_t>) return convert_decimals(context, elements, out);
      break;
    default: break;
  }
  fail(ErrorCode::program, ColumnName{context.spec.name}, ": expected a numeric column but found ",
       found_type(context.column));
}

template <class T>
[[noreturn]] void refuse_missing(const DecodeContext& context, int64_t row) {
  if constexpr (std::is_same_v<T, int64_t>)
    if (context.spec.nullable)
      context.refuse(row, "a missing value, which the model's integer step cannot hold");
  context.refuse(row, "a missing value in a column that is not nullable");
}

template <class T>
void mark_missing(const DecodeContext& context, const Elements& elements, T* out) {
  constexpr bool kFloat = std::is_floating_point_v<T>;
  const auto mark = [&](int64_t i) {
    if (!kFloat || !context.spec.nullable) refuse_missing<T>(context, elements.row + i);
    if constexpr (kFloat) out[i] = std::numeric_limits<T>::quiet_NaN();
  };
  if (!elements.needs_looks()) {
    if (elements.values.validity)
      each_zero_bit(elements.values.validity, elements.first, elements.count, mark);
  } else {
    for (int64_t i = 0; i < elements.count; ++i) {
      if (elements.missing(i) != kPresent) mark(i);
    }
  }
  if constexpr (kFloat)
    if (!context.spec.nullable)
      for (int64_t i = 0; i < elements.count; ++i)
        if (std::isnan(out[i])) refuse_missing<T>(context, elements.row + i);
}

template <class T>
void decode_numbers(const DecodeContext& context, int64_t n, T* out) {
  const ColumnView& column = context.column;
  if (column.storage == Storage::none) {
    if (!std::is_floating_point_v<T> || !context.spec.nullable) refuse_missing<T>(context, 0);
    if constexpr (std::is_floating_point_v<T>) std::fill(out, out + n, std::numeric_limits<T>::quiet_NaN());
    return;
  }
  const int64_t start = column.offset + context.first;
  if (!column.dictionary) {
    const Elements elements{column, nullptr, start, n, 0};
    convert(context, elements, out);
    mark_missing(context, elements, out);
    return;
  }
  std::array<int64_t, kBlock> gathered;
  for (int64_t done = 0; done < n; done += kBlock) {
    const int64_t count = std::min(kBlock, n - done);
    for (int64_t i = 0; i < count; ++i)
      gathered[static_cast<size_t>(i)] = dictionary_element(context, start + done + i, done + i);
    const Elements elements{*column.dictionary, gathered.data(), 0, count, done};
    if (column.dictionary->storage != Storage::none) convert(context, elements, out + done);
    mark_missing(context, elements, out + done);
  }
}

}  // namespace

[[gnu::cold]] void refuse_index(const DecodeContext& context, int64_t index, int64_t i) {
  fail(ErrorCode::input, context.where(i), ": expected a dictionary index below ",
       context.column.dictionary->length, " but found ", index);
}

bool accepts(const ColumnSpec& expected, const ColumnView& found) {
  if (found.storage == Storage::unsupported) return false;
  const ColumnView& values = found.dictionary ? *found.dictionary : found;
  if (values.storage == Storage::unsupported) return false;
  if (values.storage == Storage::none) return expected.nullable;
  const Kind kind = expected.type.kind;
  if (values.storage == Storage::decimal) return kind == Kind::float32 || kind == Kind::float64;
  if (kind == Kind::timestamp)
    return values.type.kind == Kind::timestamp &&
           values.type.timezone.empty() == expected.type.timezone.empty();
  return accepts_number(kind, values.type.kind);
}

void decode(const ColumnSpec& spec, const ColumnView& column, int64_t first, int64_t n, DType as, void* out) {
  require(first >= 0 && n >= 0 && first <= column.length - n, ErrorCode::input, ColumnName{spec.name},
          ": expected rows below ", column.length, " but found rows ", first, " to ", first + n);
  const DecodeContext context{spec, column, first};
  require((as == DType::str) == (spec.type.kind == Kind::string), ErrorCode::program, ColumnName{spec.name},
          ": expected to decode ", spec.type, " but found a request for ", name_of(as));
  if (n == 0) return;
  switch (as) {
    case DType::f64: return decode_numbers(context, n, static_cast<double*>(out));
    case DType::f32: return decode_numbers(context, n, static_cast<float*>(out));
    case DType::i64: return decode_numbers(context, n, static_cast<int64_t*>(out));
    case DType::str: return decode_text(context, n, static_cast<StringRef*>(out));
    default:
      fail(ErrorCode::program, ColumnName{spec.name}, ": expected f64, f32, i64 or str but found ",
           name_of(as));
  }
}

}  // namespace mlcore

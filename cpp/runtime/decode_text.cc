// The text side of decode: every string layout becomes a run of StringRef.
#include <array>

#include "base/utf8.h"
#include "runtime/column_reader.h"

namespace mlcore {
namespace {

// Bytes of a bad string as a message may show them: printable ASCII as it is, the rest as \xNN.
std::string escaped(std::string_view bytes) {
  constexpr size_t kShown = 40;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "'";
  for (char c : bytes.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) out += c;
    else out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
  }
  return out + (bytes.size() > kShown ? "...'" : "'");
}

// True only for ASCII; the text of most models is, and this is several times cheaper than looking for UTF-8.
bool is_ascii(const char* text, int64_t size) {
  constexpr uint64_t kHigh = 0x8080808080808080u;
  if (size >= 8) {
    uint64_t bits = load<uint64_t>(text, size - 8);
    for (int64_t at = 0; at + 8 <= size; at += 8) bits |= load<uint64_t>(text, at);
    return (bits & kHigh) == 0;
  }
  if (size >= 4) return ((load<uint32_t>(text, 0) | load<uint32_t>(text, size - 4)) & kHigh) == 0;
  unsigned bits = 0;
  for (int64_t at = 0; at < size; ++at) bits |= static_cast<unsigned char>(text[at]);
  return bits < 0x80;
}

// What a missing value of a column becomes, where it may be missing.
StringRef missing(const DecodeContext& context, int64_t kind, int64_t i) {
  if (!context.spec.nullable) context.refuse(i, "a missing value in a column that is not nullable");
  if (kind == kNull && context.spec.distinguishes_missing)
    fail(ErrorCode::input, context.where(i),
         ": expected None or NaN, which the model learned as different categories, but found a null that "
         "does not "
         "say which; Arrow and pandas.NA have one null for both: pass NumPy objects, pandas object columns "
         "or rows");
  return {nullptr, kind};
}

struct TextReader {
  const DecodeContext& context;
  const ColumnView& values;
  bool trusted;

  template <class Offset>
  StringRef by_offsets(int64_t element, int64_t i) const {
    constexpr auto kSize = static_cast<int64_t>(sizeof(Offset));
    const int64_t begin = load<Offset>(values.offsets, element * kSize);
    const int64_t end = load<Offset>(values.offsets, (element + 1) * kSize);
    if (!trusted) {
      const int64_t lowest = load<Offset>(values.offsets, values.offset * kSize);
      const int64_t highest = load<Offset>(values.offsets, (values.offset + values.length) * kSize);
      if (lowest < 0 || begin < lowest || end < begin || end > highest)
        fail(ErrorCode::input, context.where(i), ": expected string offsets in order between ", lowest,
             " and ", highest, " but found ", begin, " and ", end);
      if (end > begin && !values.data)
        fail(ErrorCode::input, context.where(i), ": expected characters but found a null data buffer");
    }
    if (end == begin) return {"", 0};
    return {static_cast<const char*>(values.data) + begin, end - begin};
  }

  StringRef by_view(int64_t element, int64_t i) const {
    constexpr int64_t kInline = 12;
    const auto* view = static_cast<const char*>(values.data) + element * 16;
    const int64_t size = load<int32_t>(view, 0);
    if (size >= 0 && size <= kInline) return {view + 4, size};
    const int64_t buffer = load<int32_t>(view, 8);
    const int64_t start = load<int32_t>(view, 12);
    if (!trusted) {
      if (size < 0 || buffer < 0 || buffer >= values.buffer_count || start < 0 ||
          start > values.buffer_sizes[buffer] - size)
        fail(ErrorCode::input, context.where(i), ": expected a string view inside its ", values.buffer_count,
             " buffers but found ", size, " bytes at ", start, " of buffer ", buffer);
      if (std::memcmp(view + 4, static_cast<const char*>(values.buffers[buffer]) + start, 4) != 0)
        fail(ErrorCode::input, context.where(i),
             ": expected a string view with its text's prefix but found another");
    }
    return {static_cast<const char*>(values.buffers[buffer]) + start, size};
  }

  // A present string, checked; refs may turn out to be missing.
  StringRef text_at(int64_t element, int64_t i) const {
    StringRef out{};
    switch (values.storage) {
      case Storage::utf8: out = by_offsets<int32_t>(element, i); break;
      case Storage::large_utf8: out = by_offsets<int64_t>(element, i); break;
      case Storage::utf8_view: out = by_view(element, i); break;
      case Storage::refs:
        return load<StringRef>(values.data, element * static_cast<int64_t>(sizeof(StringRef)));
      default:
        fail(ErrorCode::program, ColumnName{context.spec.name}, ": expected a string column but found ",
             found_type(context.column));
    }
    if (!trusted && !is_ascii(out.data, out.size)) {
      const std::string_view found(out.data, static_cast<size_t>(out.size));
      if (!is_utf8(found)) context.refuse(i, "bytes that are not UTF-8: ", escaped(found));
    }
    return out;
  }
};

// Whether n adjacent strings have offsets in order and in range, and ASCII text: then none needs a look of
// its own.
template <class Offset>
bool all_plain(const ColumnView& values, int64_t start, int64_t n) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(Offset));
  const auto at = [&](int64_t element) { return load<Offset>(values.offsets, element * kSize); };
  bool ordered = true;
  for (int64_t i = start; i < start + n; ++i) ordered &= at(i) <= at(i + 1);
  const int64_t first = at(start);
  const int64_t last = at(start + n);
  if (!ordered || at(values.offset) < 0 || first < at(values.offset) ||
      last > at(values.offset + values.length))
    return false;
  if (first == last) return true;
  return values.data && is_ascii(static_cast<const char*>(values.data) + first, last - first);
}

// The texts of n adjacent strings that need no look of their own.
template <class Offset>
void read_plain(const ColumnView& values, int64_t start, int64_t n, StringRef* out) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(Offset));
  const auto* text = static_cast<const char*>(values.data);  // null only where all are empty
  int64_t begin = load<Offset>(values.offsets, start * kSize);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t end = load<Offset>(values.offsets, (start + i + 1) * kSize);
    out[i] = {end > begin ? text + begin : "", end - begin};
    begin = end;
  }
}

bool trusted_rows(const ColumnView& column, int64_t start, int64_t n) {
  if (column.dictionary) return column.dictionary->trusted;
  if (column.trusted) return true;
  if (column.storage == Storage::utf8) return all_plain<int32_t>(column, start, n);
  return column.storage == Storage::large_utf8 && all_plain<int64_t>(column, start, n);
}

}  // namespace

void decode_text(const DecodeContext& context, int64_t n, StringRef* out) {
  const ColumnView& column = context.column;
  const int64_t start = column.offset + context.first;
  const bool trusted = trusted_rows(column, start, n);
  const bool by_offsets = column.storage == Storage::utf8 || column.storage == Storage::large_utf8;
  if (trusted && by_offsets && !column.dictionary && !column.kinds && !column.mask) {
    if (column.storage == Storage::utf8) read_plain<int32_t>(column, start, n, out);
    else read_plain<int64_t>(column, start, n, out);
    if (column.validity)
      each_zero_bit(column.validity, start, n,
                    [&](int64_t i) { out[i] = missing(context, column.missing_kind, i); });
    return;
  }
  const TextReader reader{context, column.dictionary ? *column.dictionary : column, trusted};
  for (int64_t i = 0; i < n; ++i) {
    int64_t kind = column.storage == Storage::none ? int64_t{column.missing_kind}
                                                   : missing_by_buffers(column, start + i);
    int64_t element = start + i;
    if (kind == kPresent && column.dictionary) {
      element = dictionary_element(context, element, i);
      kind = element == kNoElement ? int64_t{column.missing_kind}
                                   : missing_by_buffers(*column.dictionary, element);
    }
    if (kind == kPresent) {
      const StringRef value = reader.text_at(element, i);
      out[i] = value.data ? value : missing(context, value.size, i);
    } else {
      out[i] = missing(context, kind, i);
    }
  }
}

namespace {

template <class Index>
void read_positions(const DecodeContext& context, int64_t n, std::span<const StringRef> entries,
                    bool complete, int32_t* out) {
  const ColumnView& column = context.column;
  const int64_t start = column.offset + context.first;
  const auto* base = static_cast<const char*>(column.data) + start * column.stride;
  const auto limit = static_cast<uint64_t>(entries.size());
  bool plain = complete && !column.kinds && !column.mask;
  if (plain) {
    for (int64_t i = 0; i < n; ++i) {
      const auto index = static_cast<uint64_t>(load<Index>(base, i * column.stride));
      plain &= index < limit;
      out[i] = static_cast<int32_t>(index);
    }
    if (plain && !column.validity) return;
  }
  for (int64_t i = 0; i < n; ++i) {
    if (plain && bit_at(column.validity, start + i)) continue;
    const int64_t element = dictionary_element(context, start + i, i);
    int64_t kind = missing_by_buffers(column, start + i);
    if (kind == kPresent && element == kNoElement) kind = column.missing_kind;
    if (kind == kPresent) {
      const int64_t position = element - column.dictionary->offset;
      const StringRef& entry = entries[static_cast<size_t>(position)];
      out[i] = static_cast<int32_t>(position);
      if (!entry.data) kind = entry.size;
    }
    if (kind != kPresent) out[i] = static_cast<int32_t>(~missing(context, kind, i).size);
  }
}

}  // namespace

void decode_positions(const DecodeContext& context, int64_t n, std::span<const StringRef> entries,
                      bool complete, int32_t* out) {
  switch (context.column.storage) {
    case Storage::int8: return read_positions<int8_t>(context, n, entries, complete, out);
    case Storage::int16: return read_positions<int16_t>(context, n, entries, complete, out);
    case Storage::int32: return read_positions<int32_t>(context, n, entries, complete, out);
    case Storage::uint8: return read_positions<uint8_t>(context, n, entries, complete, out);
    case Storage::uint16: return read_positions<uint16_t>(context, n, entries, complete, out);
    case Storage::uint32: return read_positions<uint32_t>(context, n, entries, complete, out);
    default: return read_positions<int64_t>(context, n, entries, complete, out);
  }
}

}  // namespace mlcore

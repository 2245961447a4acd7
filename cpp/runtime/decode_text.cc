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

struct TextReader {
  const DecodeContext& context;
  const ColumnView& values;

  template <class Offset>
  StringRef by_offsets(int64_t element, int64_t i) const {
    constexpr auto kSize = static_cast<int64_t>(sizeof(Offset));
    const int64_t begin = load<Offset>(values.offsets, element * kSize);
    const int64_t end = load<Offset>(values.offsets, (element + 1) * kSize);
    if (!values.trusted) {
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
    if (!values.trusted) {
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
    if (!values.trusted) {
      const std::string_view found(out.data, static_cast<size_t>(out.size));
      if (!is_utf8(found)) context.refuse(i, "bytes that are not UTF-8: ", escaped(found));
    }
    return out;
  }

  StringRef missing(int64_t kind, int64_t i) const {
    if (!context.spec.nullable) context.refuse(i, "a missing value in a column that is not nullable");
    if (kind == kNull && context.spec.distinguishes_missing)
      fail(ErrorCode::input, context.where(i),
           ": expected None or NaN, which the model learned as different categories, but found a null that "
           "does not "
           "say which; Arrow and pandas.NA have one null for both: pass NumPy objects, pandas object columns "
           "or rows");
    return {nullptr, kind};
  }
};

}  // namespace

void decode_text(const DecodeContext& context, int64_t n, StringRef* out) {
  const ColumnView& column = context.column;
  const int64_t start = column.offset + context.first;
  const TextReader reader{context, column.dictionary ? *column.dictionary : column};
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
      out[i] = value.data ? value : reader.missing(value.size, i);
    } else {
      out[i] = reader.missing(kind, i);
    }
  }
}

}  // namespace mlcore

#include "runtime/arrow_layout.h"

#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/status.h"
#include "runtime/column_reader.h"

namespace mlcore {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 56;  // keeps every byte offset inside int64
constexpr int32_t kMaxScale = 1000;

struct Primitive {
  std::string_view format;
  Storage storage;
  Kind kind;
};
constexpr std::array<Primitive, 17> kPrimitives{{
    {"b", Storage::bits, Kind::boolean},
    {"c", Storage::int8, Kind::int8},
    {"C", Storage::uint8, Kind::uint8},
    {"s", Storage::int16, Kind::int16},
    {"S", Storage::uint16, Kind::uint16},
    {"i", Storage::int32, Kind::int32},
    {"I", Storage::uint32, Kind::uint32},
    {"l", Storage::int64, Kind::int64},
    {"L", Storage::uint64, Kind::uint64},
    {"e", Storage::float16, Kind::float16},
    {"f", Storage::float32, Kind::float32},
    {"g", Storage::float64, Kind::float64},
    {"u", Storage::utf8, Kind::string},
    {"U", Storage::large_utf8, Kind::string},
    {"vu", Storage::utf8_view, Kind::string},
    {"tdD", Storage::int32, Kind::date32},
    {"tdm", Storage::int64, Kind::date64},
}};

// By longest prefix first.
constexpr std::array<std::pair<std::string_view, std::string_view>, 22> kOther{{
    {"vz", "binary_view"}, {"z", "binary"},
    {"Z", "large_binary"}, {"w:", "fixed_size_binary"},
    {"n", "null"},         {"d:", "decimal"},
    {"tts", "time32"},     {"ttm", "time32"},
    {"ttu", "time64"},     {"ttn", "time64"},
    {"ts", "timestamp"},   {"tD", "duration"},
    {"ti", "interval"},    {"+l", "list"},
    {"+L", "large_list"},  {"+vl", "list_view"},
    {"+vL", "list_view"},  {"+w:", "fixed_size_list"},
    {"+s", "struct"},      {"+m", "map"},
    {"+u", "union"},       {"+r", "run-end encoded"},
}};

bool parse_int(std::string_view& from, int32_t& out) {
  const auto [end, error] = std::from_chars(from.data(), from.data() + from.size(), out);
  if (error != std::errc()) return false;
  from.remove_prefix(static_cast<size_t>(end - from.data()));
  return true;
}

// "d:precision,scale" with an optional ",bits".
void parse_decimal(std::string_view format, ArrowLayout& layout, std::string_view column) {
  std::string_view rest = format.substr(2);
  int32_t bits = 128;
  const auto comma = [&] {
    if (!rest.starts_with(',')) return false;
    rest.remove_prefix(1);
    return true;
  };
  bool good = parse_int(rest, layout.precision) && comma() && parse_int(rest, layout.scale);
  if (good && !rest.empty()) good = comma() && parse_int(rest, bits) && rest.empty();
  good = good && (bits == 32 || bits == 64 || bits == 128 || bits == 256) && layout.precision > 0 &&
         layout.precision <= 76 && layout.scale >= -kMaxScale && layout.scale <= kMaxScale;
  require(good, ErrorCode::input, ColumnName{column}, ": expected an Arrow decimal format but found ",
          quoted(format));
  layout.storage = Storage::decimal;
  layout.width = static_cast<uint8_t>(bits / 8);
}

// Value of "ARROW:extension:name" in a field's metadata; empty when there is none.
std::string extension_name(const char* metadata, std::string_view column) {
  if (!metadata) return {};
  constexpr std::string_view kKey = "ARROW:extension:name";
  int64_t at = 0;
  const auto number = [&] {
    const auto value = load<int32_t>(metadata, at);
    require(value >= 0, ErrorCode::input, ColumnName{column},
            ": expected Arrow metadata but found a length of ", static_cast<int64_t>(value));
    at += 4;
    return value;
  };
  const auto string = [&] {
    const int32_t size = number();
    const std::string_view out(metadata + at, static_cast<size_t>(size));
    at += size;
    return out;
  };
  for (int32_t left = number(); left > 0; --left) {
    const std::string_view key = string();
    const std::string_view value = string();
    if (key == kKey) return std::string(value);
  }
  return {};
}

ArrowLayout unsupported(std::string name) {
  ArrowLayout out;
  out.problem = std::move(name) + ", which is not supported";
  return out;
}

// Empty for a format that the specification does not have.
std::string known_name(std::string_view format) {
  for (const Primitive& entry : kPrimitives)
    if (entry.format == format) return name_of(LogicalType{entry.kind, TimeUnit::nano, {}});
  for (const auto& [prefix, name] : kOther)
    if (format.starts_with(prefix)) return std::string(name);
  return {};
}

bool is_index(Storage storage) { return storage >= Storage::int8 && storage <= Storage::uint64; }

ArrowLayout plain_layout(const ArrowSchema& schema, std::string_view format, std::string_view column) {
  ArrowLayout out;
  for (const Primitive& entry : kPrimitives)
    if (entry.format == format) {
      out.storage = entry.storage;
      out.type.kind = entry.kind;
    }
  if (format == "n") {
    out.storage = Storage::none;
  } else if (format.starts_with("d:")) {
    parse_decimal(format, out, column);
  } else if (format.size() >= 4 && format.starts_with("ts") && format[3] == ':') {
    constexpr std::string_view kUnits = "smun";
    const size_t unit = kUnits.find(format[2]);
    require(unit != std::string_view::npos, ErrorCode::input, ColumnName{column},
            ": expected an Arrow timestamp format but found ", quoted(format));
    out.storage = Storage::int64;
    out.type = {Kind::timestamp, static_cast<TimeUnit>(unit), std::string(format.substr(4))};
  }
  if (out.storage == Storage::unsupported) return unsupported(arrow_type_name(format));
  if (schema.n_children != 0)
    fail(ErrorCode::input, ColumnName{column}, ": expected no children of ", arrow_type_name(format),
         " but found ", schema.n_children);
  return out;
}

const uint8_t* validity_of(const ArrowArray& array, std::string_view column) {
  const auto* validity = static_cast<const uint8_t*>(array.buffers[0]);
  require(validity || array.null_count <= 0, ErrorCode::input, ColumnName{column},
          ": expected a validity bitmap for ", array.null_count, " nulls but found none");
  return validity;
}

void check_buffer(const void* buffer, bool needed, std::string_view column, std::string_view what) {
  require(buffer || !needed, ErrorCode::input, ColumnName{column}, ": expected ", what,
          " but found a null pointer");
}

void read_views(const ArrowArray& array, std::string_view column, ColumnView& view) {
  const int64_t count = array.n_buffers - 3;
  view.buffers = array.buffers + 2;
  view.buffer_count = count;
  view.buffer_sizes = static_cast<const int64_t*>(array.buffers[array.n_buffers - 1]);
  check_buffer(view.buffer_sizes, count > 0, column, "the sizes of view buffers");
  for (int64_t i = 0; i < count; ++i) {
    require(view.buffer_sizes[i] >= 0, ErrorCode::input, ColumnName{column},
            ": expected the size of view buffer ", i, " but found ", view.buffer_sizes[i]);
    check_buffer(view.buffers[i], view.buffer_sizes[i] > 0, column, "a view buffer");
  }
}

ColumnSpec spec_of(const LogicalType& type, std::string_view column) {
  return {std::string(column), type, true, false};
}

// Reads everything the view can be asked for; throws at the first thing that is wrong.
void check_contents(const ColumnView& view, std::string_view column) {
  const ColumnSpec spec = spec_of(view.type, column);
  const DecodeContext context{spec, view, 0};
  if (view.dictionary) {
    check_contents(*view.dictionary, column);
    for (int64_t i = 0; i < view.length; ++i) dictionary_element(context, view.offset + i, i);
    return;
  }
  if (view.type.kind != Kind::string || view.storage == Storage::none || view.length == 0) return;
  if (view.storage != Storage::utf8_view) {
    // order and range also where a row is null: its neighbours' text depends on its offsets
    const auto offset_at = [&](int64_t i) {
      return view.storage == Storage::utf8 ? int64_t{load<int32_t>(view.offsets, i * 4)}
                                           : load<int64_t>(view.offsets, i * 8);
    };
    for (int64_t i = view.offset; i < view.offset + view.length; ++i)
      require(offset_at(i) >= 0 && offset_at(i) <= offset_at(i + 1), ErrorCode::input, ColumnName{column},
              ": expected string offsets in order but found ", offset_at(i), " and ", offset_at(i + 1));
  }
  std::array<StringRef, 64> block;
  for (int64_t first = 0; first < view.length; first += static_cast<int64_t>(block.size())) {
    const DecodeContext part{spec, view, first};
    decode_text(part, std::min<int64_t>(static_cast<int64_t>(block.size()), view.length - first),
                block.data());
  }
}

int64_t count_nulls(const ColumnView& view) {
  int64_t count = 0;
  if (view.validity)
    for (int64_t i = 0; i < view.length; ++i) count += bit_at(view.validity, view.offset + i) ? 0 : 1;
  return count;
}

void apply_level(ColumnView& view, const ArrowArray& array, std::string_view column, Validation level) {
  if (level == Validation::none) {
    view.trusted = true;
    return;
  }
  if (level == Validation::full) {
    if (view.storage != Storage::none && array.null_count >= 0) {
      const int64_t nulls = count_nulls(view);
      require(nulls == array.null_count, ErrorCode::input, ColumnName{column}, ": expected ",
              array.null_count, " nulls but found ", nulls);
    }
    check_contents(view, column);
    view.trusted = true;
  }
}

// A dictionary is read many times: when it is no longer than the column, checking it once is cheaper.
void check_dictionary_once(ColumnView& values, int64_t rows, std::string_view column) {
  constexpr int64_t kShort = 256;
  if (values.trusted || values.length > std::max(rows, kShort)) return;
  try {
    check_contents(values, column);
    values.trusted = true;
  } catch (const Error&) {
    // an entry that no row uses may be bad; rows are then checked one by one
  }
}

}  // namespace

std::string arrow_type_name(std::string_view format) {
  const std::string name = known_name(format);
  return name.empty() ? "the unknown Arrow format " + quoted(format) : name;
}

ArrowLayout arrow_layout(const ArrowSchema& schema, std::string_view column) {
  require(schema.format != nullptr, ErrorCode::input, ColumnName{column},
          ": expected an Arrow format but found none");
  const std::string_view format = schema.format;
  if (std::string name = extension_name(schema.metadata, column); !name.empty())
    return unsupported("the extension type " + quoted(name));
  ArrowLayout out = plain_layout(schema, format, column);
  if (known_name(format).empty())
    fail(ErrorCode::input, ColumnName{column}, ": expected an Arrow type but found ",
         arrow_type_name(format));
  if (!schema.dictionary) return out;
  if (!is_index(out.storage))
    fail(ErrorCode::input, ColumnName{column}, ": expected integer dictionary indices but found ",
         arrow_type_name(format));
  require(schema.dictionary->release != nullptr, ErrorCode::input, ColumnName{column},
          ": expected the schema of a dictionary but found a released one");
  if (schema.dictionary->dictionary) return unsupported("a dictionary of dictionaries");
  auto values = std::make_shared<ArrowLayout>(arrow_layout(*schema.dictionary, column));
  if (values->storage == Storage::unsupported) return unsupported("a dictionary of " + values->problem);
  out.type = values->type;
  out.dictionary = std::move(values);
  return out;
}

int64_t element_bytes(Storage storage, uint8_t width) {
  switch (storage) {
    case Storage::decimal: return width;
    case Storage::bytes:
    case Storage::int8:
    case Storage::uint8: return 1;
    case Storage::int16:
    case Storage::uint16:
    case Storage::float16: return 2;
    case Storage::int32:
    case Storage::uint32:
    case Storage::float32: return 4;
    default: return 8;
  }
}

void check_lengths(const ArrowArray& array, std::string_view column) {
  require(array.length >= 0 && array.offset >= 0 && array.length <= kMaxElements &&
              array.offset <= kMaxElements - array.length,
          ErrorCode::input, ColumnName{column}, ": expected a length and offset of at least 0 but found ",
          array.length, " and ", array.offset);
  require(array.null_count >= -1 && array.null_count <= array.length, ErrorCode::input, ColumnName{column},
          ": expected a null count between -1 and ", array.length, " but found ", array.null_count);
}

ColumnView arrow_view(const ArrowLayout& layout, const ArrowArray& array, std::string_view column,
                      Validation level, std::vector<KeepAlive>& keep_alive) {
  check_lengths(array, column);
  ColumnView view;
  view.storage = layout.storage;
  view.type = layout.type;
  view.width = layout.width;
  view.precision = layout.precision;
  view.scale = layout.scale;
  view.problem = layout.problem;
  view.length = array.length;
  view.offset = array.offset;
  if (layout.storage == Storage::unsupported) return view;

  const bool is_view = layout.storage == Storage::utf8_view;
  if (is_view && level == Validation::elsewhere) {
    view.storage = Storage::unsupported;
    view.problem = "string_view, which is not read in a device's memory";
    return view;
  }
  const bool has_offsets = layout.storage == Storage::utf8 || layout.storage == Storage::large_utf8;
  const int64_t expected = layout.storage == Storage::none ? 0 : has_offsets || is_view ? 3 : 2;
  require(is_view ? array.n_buffers >= expected : array.n_buffers == expected, ErrorCode::input,
          ColumnName{column}, ": expected ", expected, " buffers of ", layout.type, " but found ",
          array.n_buffers);
  require((array.dictionary != nullptr) == (layout.dictionary != nullptr), ErrorCode::input,
          ColumnName{column}, ": expected ", layout.dictionary ? "a dictionary" : "no dictionary",
          " but found ", array.dictionary ? "one" : "none");
  require(array.n_children == 0, ErrorCode::input, ColumnName{column},
          ": expected no child arrays but found ", array.n_children);
  if (expected == 0) return view;
  require(array.buffers != nullptr, ErrorCode::input, ColumnName{column},
          ": expected buffers but found a null pointer");

  const bool filled = array.length > 0;
  view.validity = validity_of(array, column);
  if (has_offsets) {
    view.offsets = array.buffers[1];
    view.data = array.buffers[2];
    check_buffer(view.offsets, filled, column, "string offsets");
  } else {
    view.data = array.buffers[1];
    check_buffer(view.data, filled, column, "values");
  }
  if (is_view) read_views(array, column, view);
  view.stride = element_bytes(layout.storage, layout.width);
  if (layout.dictionary) {
    require(array.dictionary->release != nullptr, ErrorCode::input, ColumnName{column},
            ": expected a dictionary but found a released one");
    auto values = std::make_shared<ColumnView>(
        arrow_view(*layout.dictionary, *array.dictionary, column, level, keep_alive));
    if (level != Validation::elsewhere) check_dictionary_once(*values, array.length, column);
    view.dictionary = values.get();
    keep_alive.push_back(std::move(values));
  }
  apply_level(view, array, column, level);
  return view;
}

ColumnView empty_view(const ArrowLayout& layout, std::vector<KeepAlive>& keep_alive) {
  ColumnView view;
  view.storage = layout.storage;
  view.type = layout.type;
  view.width = layout.width;
  view.precision = layout.precision;
  view.scale = layout.scale;
  view.problem = layout.problem;
  if (layout.dictionary) {
    auto values = std::make_shared<ColumnView>(empty_view(*layout.dictionary, keep_alive));
    view.dictionary = values.get();
    keep_alive.push_back(std::move(values));
  }
  return view;
}

}  // namespace mlcore

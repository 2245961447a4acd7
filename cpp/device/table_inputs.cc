#include "device/table_inputs.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/status.h"
#include "runtime/decode.h"

namespace mlcore {
namespace {

bool is_text(const ColumnView& column) {
  return column.storage == Storage::utf8 || column.storage == Storage::large_utf8;
}

// Indices have the type of their dictionary's values; their own is what they are stored as.
Kind kind_of(Storage storage) {
  switch (storage) {
    case Storage::int8: return Kind::int8;
    case Storage::int16: return Kind::int16;
    case Storage::int32: return Kind::int32;
    case Storage::int64: return Kind::int64;
    case Storage::uint8: return Kind::uint8;
    case Storage::uint16: return Kind::uint16;
    case Storage::uint32: return Kind::uint32;
    default: return Kind::uint64;
  }
}

device::Bitmap there(const ColumnView& column) { return {column.validity, column.offset}; }

const void* element(const ColumnView& column, int64_t at) {
  return static_cast<const std::byte*>(column.data) + at * column.stride;
}

// Numbers that a kernel reads as they are.
bool is_plain(const ColumnSpec& spec, const ColumnView& column) {
  if (column.dictionary || is_text(column)) return false;
  if (column.storage == Storage::none || column.storage == Storage::decimal) return false;
  return spec.type.kind != Kind::timestamp || column.type.unit == spec.type.unit;
}

device::Strided numbers_of(const ColumnSpec& spec, const ColumnView& column) {
  device::Strided out;
  out.kind = column.type.kind;
  if (column.storage == Storage::bits) {
    out.data = column.data;
    out.first_bit = column.offset;
  } else {
    out.data = element(column, column.offset);
    out.row_stride = column.stride / bytes_of(out.kind);
  }
  out.there = there(column);
  out.nullable = spec.nullable;
  out.expected = spec.type.kind;
  return out;
}

// A device's loads are of whole, aligned values; one that is not ends all work of the process there.
void check_aligned(const ColumnSpec& spec, const void* data, int64_t bytes) {
  require(reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(bytes) == 0, ErrorCode::input,
          ColumnName{spec.name}, ": expected values at a multiple of ", bytes,
          " bytes in the device's memory but found an address that is none");
}

std::string list_of(const std::vector<ColumnSpec>& schema, std::span<const int32_t> columns) {
  std::string out;
  for (int32_t column : columns)
    out += (out.empty() ? "" : ", ") + quoted(schema[static_cast<size_t>(column)].name);
  return out;
}

}  // namespace

device::Strided TableInput::numbers_from(int64_t first) const {
  device::Strided out = *numbers;
  if (out.first_bit >= 0) out.first_bit += first;
  else out.data = static_cast<const std::byte*>(out.data) + first * out.row_stride * bytes_of(out.kind);
  out.there.first += first;
  return out;
}

device::Entries TableInput::entries_from(int64_t first) const {
  device::Entries out = *entries;
  if (out.map != nullptr) out.text.first += first;
  else out.indices = static_cast<const std::byte*>(out.indices) + first * out.stride * bytes_of(out.kind);
  out.there.first += first;
  return out;
}

TableInputs::TableInputs(const Model& model, const Cut& cut,
                         std::span<const std::unique_ptr<ColumnFeed>> feeds, const DeviceTable& table,
                         std::span<const int32_t> crossings)
    : model_(model),
      cut_(cut),
      feeds_(feeds),
      crossings_(crossings.begin(), crossings.end()),
      inputs_(cut.crossings.size()) {
  const std::vector<ColumnSpec>& schema = model.program().schema;
  const std::vector<int32_t> bound = bind_columns(schema, model.used_columns(), table.columns);
  for (size_t i = 0; i < schema.size(); ++i) {
    columns_.push_back(bound[i] < 0 ? nullptr : &table.columns.column(static_cast<size_t>(bound[i])));
    if (columns_[i] == nullptr || columns_[i]->dictionary == nullptr) continue;
    dictionaries_.push_back({static_cast<int32_t>(i), nullptr, 0, {}});
  }
  for (int32_t crossing : crossings) inputs_[static_cast<size_t>(crossing)] = read(crossing);
}

TableInput TableInputs::read(int32_t index) {
  const Crossing& crossing = cut_.crossings[static_cast<size_t>(index)];
  const std::vector<ColumnSpec>& schema = model_.program().schema;
  const std::vector<int32_t>& behind = crossing.behind;
  const std::string& path = cut_.feed.nodes[static_cast<size_t>(crossing.node)].path;
  const auto by_host = [&] {
    fail(ErrorCode::input, "step ", quoted(path),
         ": expected a table in the host's memory, because it reads ", list_of(schema, behind),
         " there, but found columns of a device");
  };
  if (behind.size() != 1) by_host();
  const auto at = static_cast<size_t>(behind.front());
  const ColumnSpec& spec = schema[at];
  const ColumnView& column = *columns_[at];
  if (crossing.column < 0 && is_plain(spec, column)) by_host();
  TableInput out;
  if (crossing.column >= 0 && is_plain(spec, column)) {
    out.numbers = numbers_of(spec, column);
    if (out.numbers->first_bit < 0) check_aligned(spec, out.numbers->data, bytes_of(out.numbers->kind));
    return out;
  }
  const ColumnFeed* const feed = feeds_[at].get();
  if (column.dictionary != nullptr) {
    const auto known = std::ranges::find(dictionaries_, behind.front(), &Dictionary::column);
    if (known->feed == nullptr) {
      known->feed = feed;
      known->place = bytes_;
      bytes_ += feed->bytes(column.dictionary->length);
    }
    device::Entries entries;
    entries.indices = element(column, column.offset);
    entries.kind = kind_of(column.storage);
    entries.stride = column.stride / bytes_of(entries.kind);
    check_aligned(spec, entries.indices, bytes_of(entries.kind));
    out.entries = entries;
  } else if (is_text(column)) {
    check_aligned(spec, column.offsets, column.storage == Storage::utf8 ? 4 : 8);
    out.entries = feed->text_entries(index);
    require(out.entries.has_value(), ErrorCode::input, ColumnName{spec.name},
            ": expected a table in the host's memory, or a dictionary, because step ", quoted(path),
            " does more than compare its text, but found strings in a device's memory");
    out.entries->text = {column.offsets,
                         column.storage == Storage::large_utf8,
                         static_cast<const char*>(column.data),
                         column.offset,
                         column.offset,
                         column.offset + column.length};
  } else {
    fail(
        ErrorCode::input, ColumnName{spec.name},
        ": expected numbers, strings or a dictionary of them in a device's memory, or a table in the host's, "
        "but found ",
        found_type(column));
  }
  out.entries->there = there(column);
  return out;
}

const ColumnView& TableInputs::values_of(Dictionary& dictionary, const CopyToHost& copy) {
  const auto at = static_cast<size_t>(dictionary.column);
  const ColumnView& values = *columns_[at]->dictionary;
  if (!dictionary.values)
    dictionary.values.emplace(values, model_.program().schema[at].name, 0, values.length, nullptr, copy);
  return dictionary.values->view();
}

void TableInputs::fill(std::byte* host, const std::byte* device, const CopyToHost& copy) {
  for (Dictionary& dictionary : dictionaries_)
    if (dictionary.feed != nullptr)
      dictionary.feed->fill(values_of(dictionary, copy), host + dictionary.place);
  for (int32_t crossing : crossings_) {
    TableInput& input = inputs_[static_cast<size_t>(crossing)];
    if (!input.entries || input.entries->map != nullptr) continue;
    const int32_t column = cut_.crossings[static_cast<size_t>(crossing)].behind.front();
    const auto known = std::ranges::find(dictionaries_, column, &Dictionary::column);
    const device::Entries tables =
        known->feed->entries(crossing, known->values->view().length, device + known->place);
    input.entries->count = tables.count;
    input.entries->values = tables.values;
    input.entries->refused = tables.refused;
  }
}

HostRows TableInputs::rows(int64_t first, int64_t count, const CopyToHost& copy) {
  std::vector<const ColumnView*> dictionaries(columns_.size());
  for (Dictionary& dictionary : dictionaries_)
    dictionaries[static_cast<size_t>(dictionary.column)] = &values_of(dictionary, copy);
  return {model_.program().schema, columns_, dictionaries, first, count, copy};
}

}  // namespace mlcore

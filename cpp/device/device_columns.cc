#include "device/device_columns.h"

#include <cstdlib>

#include "base/status.h"
#include "runtime/decode.h"

namespace mlcore {

int64_t bytes_of(Kind kind) {
  switch (kind) {
    case Kind::boolean:
    case Kind::int8:
    case Kind::uint8: return 1;
    case Kind::int16:
    case Kind::uint16: return 2;
    case Kind::int32:
    case Kind::uint32:
    case Kind::float32: return 4;
    default: return 8;
  }
}
namespace {

Storage storage_of(Kind kind) {
  switch (kind) {
    case Kind::boolean: return Storage::bytes;
    case Kind::int8: return Storage::int8;
    case Kind::int16: return Storage::int16;
    case Kind::int32: return Storage::int32;
    case Kind::int64: return Storage::int64;
    case Kind::uint8: return Storage::uint8;
    case Kind::uint16: return Storage::uint16;
    case Kind::uint32: return Storage::uint32;
    case Kind::float32: return Storage::float32;
    default: return Storage::float64;
  }
}
// Every number of `found` is one of `expected`, so that no value needs a look.
bool holds_all(Kind expected, Kind found) {
  if (expected == found) return true;
  const int64_t bits = 8 * bytes_of(found);
  if (expected == Kind::float64) return found == Kind::float32 || (found != Kind::boolean && bits <= 32);
  if (expected == Kind::float32) return found != Kind::boolean && bits <= 16;
  return found != Kind::float32 && found != Kind::boolean;  // widths were compared
}

}  // namespace

std::vector<DeviceColumn> bind_device_columns(const std::vector<ColumnSpec>& schema,
                                              const std::vector<bool>& used, const Names& names,
                                              std::span<const DeviceColumn> columns, int64_t rows) {
  std::vector<ColumnView> views;
  for (const DeviceColumn& column : columns) {
    ColumnView& view = views.emplace_back();
    view.storage = storage_of(column.kind);
    view.type.kind = column.kind;
    view.length = rows;
  }
  const Batch shape(rows, names, std::move(views), {});
  const std::vector<int32_t> bound = bind_columns(schema, used, shape);
  std::vector<DeviceColumn> by_column(schema.size());
  for (size_t i = 0; i < schema.size(); ++i) {
    if (bound[i] < 0) continue;
    by_column[i] = columns[static_cast<size_t>(bound[i])];
    require(holds_all(schema[i].type.kind, by_column[i].kind), ErrorCode::input, ColumnName{schema[i].name},
            ": expected ", schema[i].type,
            " in the device's memory, where values are not looked at one by one, "
            "but found ",
            name_of({by_column[i].kind, TimeUnit::nano, {}}));
  }
  return by_column;
}

HostRows::HostRows(const std::vector<ColumnSpec>& schema, std::span<const DeviceColumn> columns,
                   int64_t first, int64_t rows, const std::function<void(void*, const void*, size_t)>& copy) {
  std::vector<std::string> names;
  std::vector<ColumnView> views;
  for (size_t i = 0; i < schema.size(); ++i) {
    const DeviceColumn& column = columns[i];
    if (column.data == nullptr) continue;
    const int64_t size = bytes_of(column.kind), stride = column.stride * size;
    ColumnView view;
    view.storage = storage_of(column.kind);
    view.type.kind = column.kind;
    view.length = rows;
    view.first_row = first;
    view.stride = stride;
    // from the lowest address on, whichever way the rows go
    const int64_t span = (rows - 1) * std::abs(stride), lowest = stride < 0 ? -span : 0;
    auto& bytes = memory_.emplace_back(static_cast<size_t>(span + size));
    copy(bytes.data(), static_cast<const std::byte*>(column.data) + first * stride + lowest, bytes.size());
    view.data = bytes.data() - lowest;
    names.push_back(schema[i].name);
    views.push_back(view);
  }
  batch_ =
      Batch(rows, std::make_shared<const std::vector<std::string>>(std::move(names)), std::move(views), {});
}

}  // namespace mlcore

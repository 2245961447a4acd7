#include "device/device_table.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "runtime/arrow_import.h"

namespace mlcore {
namespace {

// Released at the end of the scope, unless it was moved out.
template <class T>
struct Owned {
  T value{};
  Owned() = default;
  explicit Owned(T* source) : value(*source) { source->release = nullptr; }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (value.release) value.release(&value);
  }
};

// The array of a device array, and what it says beside its data.
struct OwnedDeviceArray {
  Owned<ArrowArray> array;
  int32_t type;
  DeviceTable table;

  explicit OwnedDeviceArray(ArrowDeviceArray* source) : array(&source->array), type(source->device_type) {
    table.device = source->device_id;
    if (source->sync_event != nullptr) table.events.push_back(source->sync_event);
  }
};

std::string_view name_of_device(int32_t type) {
  switch (type) {
    case kArrowCpu: return "the host's memory";
    case 3: return "the host's memory, pinned for CUDA";
    case 13: return "CUDA's managed memory";
    case 10:
    case 11: return "a ROCm device's memory";
    default: return "another device's memory";
  }
}

void check_device(int32_t type) {
  require(type == kArrowCuda, ErrorCode::input,
          "Arrow: expected an array in a CUDA device's memory but found one in ", name_of_device(type),
          " (device type ", static_cast<int64_t>(type), ")");
}

struct OwnedStream : Owned<ArrowDeviceArrayStream> {
  using Owned::Owned;

  void check(int code, std::string_view action) {
    if (code == 0) return;
    const char* const detail = value.get_last_error ? value.get_last_error(&value) : nullptr;
    fail(ErrorCode::input, "Arrow stream: expected ", action,
         " but the producer failed: ", detail ? std::string(detail) : std::string(std::strerror(code)));
  }
  void read_schema(Owned<ArrowSchema>& schema) {
    check(value.get_schema(&value, &schema.value), "a schema");
    require(schema.value.release != nullptr, ErrorCode::input,
            "Arrow stream: expected a schema but found none");
  }
};

}  // namespace

DeviceTable import_device_table(ArrowSchema* schema, ArrowDeviceArray* array) {
  Owned<ArrowSchema> owned_schema(schema);
  OwnedDeviceArray owned(array);
  check_device(owned.type);
  owned.table.columns = import_batch(&owned_schema.value, &owned.array.value, Validation::elsewhere);
  return std::move(owned.table);
}

DeviceTable import_device_column(std::string name, ArrowSchema* schema, ArrowDeviceArray* array) {
  Owned<ArrowSchema> owned_schema(schema);
  OwnedDeviceArray owned(array);
  check_device(owned.type);
  ChunkedColumn column =
      import_column(std::move(name), &owned_schema.value, &owned.array.value, kNull, Validation::elsewhere);
  const int64_t rows = column.chunks.front().length;
  owned.table.columns =
      Batch(rows, std::make_shared<const std::vector<std::string>>(1, std::move(column.name)),
            std::move(column.chunks), std::move(column.keep_alive));
  return std::move(owned.table);
}

std::vector<DeviceTable> import_device_stream(ArrowDeviceArrayStream* stream) {
  OwnedStream owned(stream);
  require(owned.value.release && owned.value.get_schema && owned.value.get_next, ErrorCode::input,
          "Arrow stream: expected an open stream but found a released one");
  check_device(owned.value.device_type);
  std::vector<DeviceTable> out;
  for (int64_t rows = 0;;) {
    Owned<ArrowSchema> schema;
    owned.read_schema(schema);
    ArrowDeviceArray found{};
    owned.check(owned.value.get_next(&owned.value, &found), "a batch");
    if (found.array.release == nullptr) {
      if (out.empty()) out.emplace_back().columns = empty_batch(&schema.value);
      return out;
    }
    OwnedDeviceArray array(&found);
    check_device(array.type);
    array.table.columns = import_batch(&schema.value, &array.array.value, Validation::elsewhere, rows);
    rows += array.table.columns.rows();
    out.push_back(std::move(array.table));
  }
}

void DeviceColumns::expect_device(int64_t device) {
  if (device == DeviceTable::kAnyDevice) return;
  require(out_.device == DeviceTable::kAnyDevice || out_.device == device, ErrorCode::input,
          "expected columns of one device but found some of cuda:", out_.device, " and of cuda:", device);
  out_.device = device;
}

void DeviceColumns::add(std::string name, ColumnView column, int64_t device) {
  expect_device(device);
  names_.push_back(std::move(name));
  views_.push_back(std::move(column));
}

void DeviceColumns::add(DeviceTable table) {
  expect_device(table.device);
  const Batch& columns = table.columns;
  names_.insert(names_.end(), columns.names().begin(), columns.names().end());
  for (size_t i = 0; i < columns.column_count(); ++i) views_.push_back(columns.column(i));
  out_.events.insert(out_.events.end(), table.events.begin(), table.events.end());
  owners_.push_back(std::make_shared<const Batch>(std::move(table.columns)));
}

DeviceTable DeviceColumns::finish(int64_t rows) {
  out_.columns = Batch(rows, std::make_shared<const std::vector<std::string>>(std::move(names_)),
                       std::move(views_), std::move(owners_));
  return std::move(out_);
}

}  // namespace mlcore

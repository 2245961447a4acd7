// Columns of numbers in a device's memory: how they are matched with a model's, and brought to the host.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/types.h"
#include "ir/program.h"
#include "runtime/batch.h"

namespace mlcore {

// Numbers of one column in the device's memory, `stride` elements apart.
struct DeviceColumn {
  const void* data = nullptr;
  Kind kind = Kind::float64;
  int64_t stride = 1;
};

int64_t bytes_of(Kind kind);

// By schema column; those that the model does not use are left out. Throws ErrorCode::input with the messages
// of a table of the host, and where a column's type does not say that every value is one of the schema's
// type.
std::vector<DeviceColumn> bind_device_columns(const std::vector<ColumnSpec>& schema,
                                              const std::vector<bool>& used, const Names& names,
                                              std::span<const DeviceColumn> columns, int64_t rows);

// Rows [first, first + rows) of such columns as a table of the host. `copy`: bytes of the device to the host.
class HostRows {
 public:
  HostRows(const std::vector<ColumnSpec>& schema, std::span<const DeviceColumn> columns, int64_t first,
           int64_t rows, const std::function<void(void* to, const void* from, size_t bytes)>& copy);
  const Batch& batch() const { return batch_; }

 private:
  std::vector<std::vector<std::byte>> memory_;
  Batch batch_;
};

}  // namespace mlcore

// Tables in a device's memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/arrow_abi.h"
#include "runtime/batch.h"

namespace mlcore {

// Every pointer of the columns' views is the device's, but for those to the views of dictionaries: only
// kernels and copies follow them.
struct DeviceTable {
  static constexpr int64_t kAnyDevice = -1;  // the producer does not say which

  Batch columns;
  int64_t device = kAnyDevice;
  std::vector<const void*> events;  // that the data wait for; null ones left out
};

// A column, or a struct array as a table, of Arrow's C Device interface. Takes ownership of both structs,
// also when it throws. Throws ErrorCode::input, also where the array lies on no CUDA device.
DeviceTable import_device_table(ArrowSchema* schema, ArrowDeviceArray* array);
DeviceTable import_device_column(std::string name, ArrowSchema* schema, ArrowDeviceArray* array);

// The tables of a stream, one after the other. The same of ownership and errors.
std::vector<DeviceTable> import_device_stream(ArrowDeviceArrayStream* stream);

// Columns side by side, of one device.
class DeviceColumns {
 public:
  void add(std::string name, ColumnView column, int64_t device);
  void add(DeviceTable table);
  int64_t first_length() const { return views_.empty() ? 0 : views_.front().length; }
  // Throws ErrorCode::input unless every column has `rows` rows.
  DeviceTable finish(int64_t rows);

 private:
  void expect_device(int64_t device);

  DeviceTable out_;
  std::vector<std::string> names_;
  std::vector<ColumnView> views_;
  std::vector<KeepAlive> owners_;
};

}  // namespace mlcore

// One chunk of rows on its way through a lane, for those who implement DeviceModel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "device/device_model.h"

namespace mlcore {

inline constexpr int64_t kGraphRows = 512;  // up to so many are worth a recorded graph

inline size_t align_up(size_t bytes) { return (bytes + 255) / 256 * 256; }

inline size_t row_bytes(const Program& program, int32_t output) {
  const ValueType type =
      program.nodes[static_cast<size_t>(program.outputs[static_cast<size_t>(output)].value)].type;
  return size_of(type.dtype) * static_cast<size_t>(type.width);
}

// Rows [first, first + rows) on their way through a lane.
struct DeviceModel::Task {
  const Route* route;
  std::span<const int32_t> outputs;
  std::span<void* const> destinations;
  int64_t first, rows, capacity;
  device::Stream* stream;
  TableInputs* inputs = nullptr;  // of a table in the device's memory; null: the host feeds

  bool on_device() const { return inputs != nullptr; }
};

}  // namespace mlcore

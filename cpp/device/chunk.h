// One chunk of rows on its way through a lane, for those who implement DeviceModel.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "device/device_model.h"

namespace mlcore {

inline constexpr int64_t kGraphRows = 512;  // up to so many are worth a recorded graph
inline constexpr size_t kLine = 256;        // bytes of which a lane's memory is made

inline size_t align_up(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

// Rows that the blocks of a chunk have room for: columns begin at whole lines of memory, and few bytes cross
// that are nobody's.
inline int64_t room_for(int64_t rows) { return std::max<int64_t>((rows + 31) / 32 * 32, 32); }

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

// Where the chunk lies in its lane. The device and the host have the same order each way, so that a copy
// takes all of it: what comes back is the results (of a table of the host) and the word for faults; what goes
// there is that word and, a line after it, the blocks that cross.
struct DeviceModel::Places {
  size_t result_bytes;
  // on the device
  std::byte* results;
  int64_t* fault;
  std::byte *blocks, *scratch;
  // on the host
  std::byte *found, *sent;
};

// Where what crosses is staged, behind Places::sent.
struct DeviceModel::Staging {
  std::vector<size_t> at;  // by crossing
  size_t bytes;            // of all, with the line of the word for faults
};

}  // namespace mlcore

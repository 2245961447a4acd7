// A step of a device: built once from what the core says of it, launched with blocks of rows.
#pragma once

#include <memory>
#include <string>

#include "launch.h"
#include "memory.h"

namespace mlcore::device {

// Of one device. What it points to is in the device's memory, and is given back with it.
struct Step {
  explicit Step(Device& on) : memory(on) {}
  virtual ~Step() = default;
  virtual Failure launch(const LaunchArgs& args, Stream* stream) const = 0;

  DeviceMemory memory;
  size_t scratch_bytes = 0;
  std::string description;  // of a step that may run in several ways
};

}  // namespace mlcore::device

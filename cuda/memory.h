// Memory of a device: whoever holds it gives it back.
#pragma once

#include <cstddef>
#include <exception>
#include <span>
#include <vector>

#include "launch.h"

namespace mlcore::device {

// A call of the device's own interface failed.
class Unable : public std::exception {
 public:
  explicit Unable(Failure why) : why_(why) {}
  const char* what() const noexcept override { return why_; }

 private:
  Failure why_;
};

// Of the device's own interface; each library defines them. `place` throws Unable.
void* place(Device& device, const void* data, size_t bytes);
void give_back(Device& device, void* data) noexcept;

class DeviceMemory {
 public:
  explicit DeviceMemory(Device& device) : device_(&device) {}
  DeviceMemory(DeviceMemory&& other) noexcept : device_(other.device_), blocks_(std::move(other.blocks_)) {
    other.blocks_.clear();
  }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    blocks_.swap(other.blocks_);
    return *this;
  }
  ~DeviceMemory() {
    for (void* block : blocks_) give_back(*device_, block);
  }

  // A copy of `bytes` bytes on the device.
  const void* keep(const void* data, size_t bytes) {
    blocks_.reserve(blocks_.size() + 1);
    blocks_.push_back(place(*device_, data, bytes));
    return blocks_.back();
  }
  template <class Values>
  auto keep_all(const Values& values) {
    using T = typename Values::value_type;
    return static_cast<const T*>(keep(values.data(), values.size() * sizeof(T)));
  }

 private:
  Device* device_;
  std::vector<void*> blocks_;
};

}  // namespace mlcore::device

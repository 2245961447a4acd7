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

// Of the device's own interface; each library defines them. `place` throws Unable; without `data` the memory
// holds whatever it held.
void* place(Device& device, const void* data, size_t bytes);
void give_back(Device& device, void* data) noexcept;

// Times what is put into a stream of its own. Throws Unable.
class Stopwatch {
 public:
  explicit Stopwatch(Device& device);
  ~Stopwatch();
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  // Rows of the largest table that is worth timing; 0: this library measures nothing.
  static int64_t most_rows();
  Stream* stream() const;
  void start();
  double stop();  // microseconds since the start, once all that the stream was given is done

 private:
  struct State;
  State* state_;
};

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

  // Memory of `bytes` bytes, and a copy of so many.
  void* room(size_t bytes) {
    blocks_.reserve(blocks_.size() + 1);
    blocks_.push_back(place(*device_, nullptr, bytes));
    return blocks_.back();
  }
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

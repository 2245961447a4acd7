// Memory on a device for results, kept when they are given back, for those of the next calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "device/library.h"

namespace mlcore {

class ResultPool {
 public:
  explicit ResultPool(const OpenDevice& device) : device_(device) {}
  ~ResultPool();
  ResultPool(const ResultPool&) = delete;
  ResultPool& operator=(const ResultPool&) = delete;

  struct Block {
    void* data = nullptr;
    size_t bytes = 0;
  };
  // At least so many bytes that no work on the device touches. Throws ErrorCode::device.
  Block take(size_t bytes);
  // `shown`: others know the address, so that work which somebody has given the device may still read there.
  void give_back(Block block, bool shown) noexcept;

 private:
  struct Idle {
    Block block;
    bool shown;
  };
  void release(const Idle& one) noexcept;
  void release_all() noexcept;

  const OpenDevice& device_;
  std::mutex mutex_;
  std::vector<Idle> idle_;  // the one that came back last at the end
};

}  // namespace mlcore

// Memory that one thread at a time works in; grows on first use and is kept for the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/release.h"

namespace mlcore {

class Arena {
 public:
  // At least `bytes` bytes at an address that is a multiple of kAlign. What lay there before is lost.
  std::byte* reserve(size_t bytes) {
    if (memory_.size() < bytes + kAlign) {
      release(memory_);  // nothing to copy
      memory_.resize(bytes + kAlign);
    }
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    return memory_.data() + ((address + kAlign - 1) / kAlign * kAlign - address);
  }

  // Gives back what is more than an ordinary plan needs.
  void trim() {
    if (memory_.size() > kKept) release(memory_);
  }

  static constexpr size_t kAlign = 64;

 private:
  static constexpr size_t kKept = size_t{4} << 20;

  std::vector<std::byte> memory_;
};

}  // namespace mlcore

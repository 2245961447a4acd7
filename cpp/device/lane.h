// What one chunk of rows needs on a device while it is under way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "device/library.h"
#include "runtime/route.h"

namespace mlcore {

struct Lane {
  explicit Lane(const OpenDevice& on);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // At least so much memory of each; what lay there before is lost.
  void reserve(size_t device_bytes, size_t host_bytes);
  void forget_graphs();

  static constexpr int64_t kNoFault = INT64_MAX;  // the word for faults where no row is refused

  const OpenDevice& device;
  device::Stream* own = nullptr;
  std::byte *memory = nullptr, *host = nullptr;
  size_t size = 0, host_size = 0;
  std::map<std::pair<const Route*, int64_t>, device::Graph*> graphs;
};

// Lanes that wait for a call; there are as many as calls were under way at once.
class LanePool {
 public:
  explicit LanePool(const OpenDevice& device) : device_(device) {}

  // A lane for one call at a time.
  class Loan {
   public:
    explicit Loan(LanePool& pool);
    ~Loan();
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Lane& operator*() const { return *lane_; }

   private:
    LanePool& pool_;
    std::unique_ptr<Lane> lane_;
  };

 private:
  const OpenDevice& device_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Lane>> idle_;
};

}  // namespace mlcore

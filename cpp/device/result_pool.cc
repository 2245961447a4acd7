#include "device/result_pool.h"

#include <algorithm>

namespace mlcore {
namespace {

constexpr size_t kMostIdle = 8;
constexpr size_t kIdleBytes = size_t{64} << 20;  // or twice the block that came back last

size_t bytes_to_ask_for(size_t bytes) { return (std::max<size_t>(bytes, 1) + 511) / 512 * 512; }

}  // namespace

ResultPool::~ResultPool() { release_all(); }

void ResultPool::release(const Idle& one) noexcept {
  if (one.shown) device_.library->wait_for_all(device_.device);
  device_.library->release(device_.device, one.block.data);
}

void ResultPool::release_all() noexcept {
  for (const Idle& one : idle_) release(one);
  idle_.clear();
}

ResultPool::Block ResultPool::take(size_t bytes) {
  bytes = bytes_to_ask_for(bytes);
  const std::scoped_lock lock(mutex_);
  auto best = idle_.end();
  for (auto at = idle_.begin(); at != idle_.end(); ++at) {
    const size_t size = at->block.bytes;
    if (size >= bytes && size / 2 <= bytes && (best == idle_.end() || size < best->block.bytes)) best = at;
  }
  if (best != idle_.end()) {
    if (best->shown) {
      device_.check(device_.library->wait_for_all(device_.device));
      for (Idle& one : idle_) one.shown = false;
    }
    const Block out = best->block;
    idle_.erase(best);
    return out;
  }
  Block out{nullptr, bytes};
  if (device_.library->allocate(device_.device, bytes, &out.data) != nullptr) {
    release_all();
    device_.check(device_.library->allocate(device_.device, bytes, &out.data));
  }
  return out;
}

void ResultPool::give_back(Block block, bool shown) noexcept {
  const std::scoped_lock lock(mutex_);
  size_t total = block.bytes;
  for (const Idle& one : idle_) total += one.block.bytes;
  while (!idle_.empty() && (idle_.size() >= kMostIdle || total > std::max(kIdleBytes, 2 * block.bytes))) {
    total -= idle_.front().block.bytes;
    release(idle_.front());
    idle_.erase(idle_.begin());
  }
  try {
    idle_.push_back({block, shown});
  } catch (...) {
    release({block, shown});
  }
}

}  // namespace mlcore

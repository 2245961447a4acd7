#include "device/lane.h"

namespace mlcore {

Lane::Lane(const OpenDevice& on) : device(on) {
  device.check(device.library->make_stream(device.device, &own));
}

Lane::~Lane() {
  const device::Library& library = *device.library;
  forget_graphs();
  library.release(device.device, memory);
  library.release_host(device.device, host);
  library.free_stream(device.device, own);
}

void Lane::reserve(size_t device_bytes, size_t host_bytes) {
  const device::Library& library = *device.library;
  if (device_bytes > size) {
    forget_graphs();
    device.check(library.release(device.device, std::exchange(memory, nullptr)));
    size = 0;
    device.check(library.allocate(device.device, device_bytes, reinterpret_cast<void**>(&memory)));
    size = device_bytes;
  }
  if (host_bytes > host_size) {
    forget_graphs();
    device.check(library.release_host(device.device, std::exchange(host, nullptr)));
    host_size = 0;
    device.check(library.allocate_host(device.device, host_bytes, reinterpret_cast<void**>(&host)));
    host_size = host_bytes;
  }
}

void Lane::forget_graphs() {
  for (const auto& [key, graph] : graphs) device.library->free_graph(device.device, graph);
  graphs.clear();
}

LanePool::Loan::Loan(LanePool& pool) : pool_(pool) {
  {
    const std::scoped_lock lock(pool.mutex_);
    if (!pool.idle_.empty()) {
      lane_ = std::move(pool.idle_.back());
      pool.idle_.pop_back();
    }
  }
  if (!lane_) lane_ = std::make_unique<Lane>(pool.device_);
}

LanePool::Loan::~Loan() {
  // whatever stopped the call, nothing of it is under way when the next one takes the lane
  pool_.device_.library->wait(pool_.device_.device, lane_->own);
  const std::scoped_lock lock(pool_.mutex_);
  pool_.idle_.push_back(std::move(lane_));
}

}  // namespace mlcore

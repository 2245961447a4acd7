#include "runtime/warm_workspace.h"

#include <array>
#include <atomic>

namespace mlcore {
namespace {

constexpr size_t kKept = 8;

// Kept until the process ends.
std::array<std::atomic<Workspace*>, kKept> kept{};

}  // namespace

WarmWorkspace::WarmWorkspace() {
  for (auto& place : kept) {
    if (place.load(std::memory_order_relaxed) == nullptr) continue;
    workspace_.reset(place.exchange(nullptr, std::memory_order_acquire));
    if (workspace_) return;
  }
  workspace_ = std::make_unique<Workspace>();
}

WarmWorkspace::~WarmWorkspace() {
  workspace_->trim();
  for (auto& place : kept) {
    Workspace* empty = nullptr;
    if (place.load(std::memory_order_relaxed) != nullptr) continue;
    if (place.compare_exchange_strong(empty, workspace_.get(), std::memory_order_release)) {
      workspace_.release();
      return;
    }
  }
}

}  // namespace mlcore

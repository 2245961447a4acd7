// Workspaces that calls leave to later ones, so that a call does not begin with fresh memory.
#pragma once

#include <memory>

#include "runtime/plan.h"

namespace mlcore {

// A workspace for the time of one call. A few are kept for the whole process, not for each model: a process
// may hold thousands of models. Neither locks nor, where a kept one is found, allocates.
class WarmWorkspace {
 public:
  WarmWorkspace();
  ~WarmWorkspace();
  WarmWorkspace(const WarmWorkspace&) = delete;
  WarmWorkspace& operator=(const WarmWorkspace&) = delete;

  Workspace& operator*() const { return *workspace_; }

 private:
  std::unique_ptr<Workspace> workspace_;
};

}  // namespace mlcore

// What Prometheus reads.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "server/model_store.h"

namespace mlcore::server {

// Of the whole server.
struct ServerCounts {
  int64_t connections;  // open
  int64_t waiting;      // requests that have come and are not answered
  uint64_t refused;     // requests that never came to a model
  uint64_t shed;        // of which because too many were waiting
  std::chrono::system_clock::time_point started;
  bool draining;
};

std::string metrics_text(const Snapshot& snapshot, const ServerCounts& counts);

}  // namespace mlcore::server

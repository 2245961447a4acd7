// What Prometheus reads.
#pragma once

#include <cstdint>
#include <string>

#include "server/model_store.h"

namespace mlcore::server {

std::string metrics_text(const Snapshot& snapshot, int64_t connections, uint64_t refused);

}  // namespace mlcore::server

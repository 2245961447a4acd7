// The page at `/`, for people, and the document that it shows.
#pragma once

#include <string>

#include "server/http.h"
#include "server/metrics.h"
#include "server/model_store.h"
#include "server/recent_errors.h"

namespace mlcore::server {

// The same for every server: it asks for status.json itself, every other second.
Answer status_page();
std::string status_document(const Snapshot& snapshot, const ServerCounts& counts, const RecentErrors& errors);

}  // namespace mlcore::server

// Comma-separated values, as pandas writes them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "server/served.h"

namespace mlcore::server {

// A table with a header line as JSON: {"columns": [...], "data": [[...], ...]}. An empty cell is null, an
// empty text is
// "" in quotes. Throws ErrorCode::input, which names row and column, and HttpError for too many rows.
std::string csv_as_split(const Served& served, std::string_view csv, int64_t max_rows);

}  // namespace mlcore::server

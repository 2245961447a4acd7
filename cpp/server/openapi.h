// The models' own OpenAPI document.
#pragma once

#include <string>

#include "server/model_store.h"

namespace mlcore::server {

// OpenAPI 3.1 of the routes that take rows, with a schema for the columns of each model.
std::string openapi_document(const Snapshot& snapshot);

}  // namespace mlcore::server

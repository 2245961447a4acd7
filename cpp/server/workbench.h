// What one request is read with, and what was read until it is answered; reused from request to request.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "server/json.h"
#include "server/json_table.h"
#include "server/prepared.h"

namespace mlcore::server {

struct Workbench {
  explicit Workbench(size_t max_depth) : json(max_depth) {}

  // Forgets the request, and gives back what is more than ordinary requests need.
  void clear() {
    prepared.reset();
    served.reset();
    json.trim();
    table.trim();
  }

  Json json;
  JsonTable table;
  std::shared_ptr<const Served> served;  // the model that is asked, as soon as it is known
  std::optional<Prepared> prepared;      // what it is asked
};

}  // namespace mlcore::server

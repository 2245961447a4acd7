// A request to a model between its codec's two halves: read, but not yet computed and written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "runtime/batch.h"
#include "server/http.h"
#include "server/served.h"

namespace mlcore::server {

// What a model has given for a request.
struct Computed {
  const Served& served;
  int64_t rows;
  std::span<const size_t> outputs;                  // that were asked for
  std::span<const std::vector<std::byte>> tensors;  // one for each of them

  const TensorOutput& output(size_t i) const { return served.outputs[outputs[i]]; }
};

// What a codec has read. The batch borrows from the request's body and from the workbench it was read with.
struct Prepared {
  Batch batch;
  std::vector<size_t> outputs;
  std::function<Answer(const Computed&)> write;
};

}  // namespace mlcore::server

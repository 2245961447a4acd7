// What one event loop needs to compute an answer, reused from request to request.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "runtime/batch.h"
#include "runtime/tensor_blocks.h"
#include "server/json.h"
#include "server/json_table.h"
#include "server/served.h"

namespace mlcore::server {

class Workbench {
 public:
  // `shows_values`: messages may say what a client sent.
  Workbench(size_t max_depth, bool shows_values) : json(max_depth), shows_values_(shows_values) {}

  // Computes these outputs of the model for the batch. Throws ErrorCode::input.
  void run(const Served& served, const Batch& batch, std::span<const size_t> outputs);
  // outputs[i] of the last run as a tensor.
  const std::vector<std::byte>& tensor(size_t i) const { return tensors_[i]; }

  // Gives back what is more than ordinary requests need.
  void trim();

  Json json;
  JsonTable table;

 private:
  bool shows_values_;
  TensorBlocks blocks_;
  std::vector<std::vector<std::byte>> tensors_;
};

}  // namespace mlcore::server

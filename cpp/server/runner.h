// Runs models for requests that have been read; its memory is reused from run to run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/batch.h"
#include "runtime/tensor_blocks.h"
#include "server/workbench.h"

namespace mlcore::server {

class Runner {
 public:
  // `shows_values`: messages may say what a client sent.
  explicit Runner(bool shows_values) : shows_values_(shows_values) {}

  // Whether two requests ask for the same outputs of the same model.
  static bool may_join(const Workbench& one, const Workbench& other) {
    return one.served == other.served && one.prepared->outputs == other.prepared->outputs;
  }
  // Computes such requests in one run, their rows one after the other. Throws ErrorCode::input when it has to
  // refuse one of them; of several, the message does not say which.
  void run(std::span<const Workbench* const> requests);
  // The same for two and more. False: they are to be run one by one.
  bool run_joined(std::span<const Workbench* const> requests);
  // The answer to a request of the last run, whose rows begin at `first` in it.
  Answer write(const Workbench& request, int64_t first);

  // Gives back what is more than ordinary requests need.
  void trim();

 private:
  bool shows_values_;
  TensorBlocks blocks_;  // of the last run
  std::vector<std::vector<std::byte>> tensors_;
  std::vector<const Batch*> batches_;
};

}  // namespace mlcore::server

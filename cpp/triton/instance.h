// One instance of a model in the server: runs batches of requests, one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "runtime/tensor_blocks.h"
#include "triton/calls.h"
#include "triton/config.h"
#include "triton/requests.h"

namespace mlcore::triton {

class Instance {
 public:
  Instance(TRITONBACKEND_ModelInstance* handle, std::shared_ptr<const Served> served);

  // Answers and releases every request, each exactly once. Throws only before it has touched one.
  void execute(std::span<TRITONBACKEND_Request* const> handles);

 private:
  // As Triton's statistics want them, in nanoseconds.
  struct Times {
    uint64_t start = 0, compute_start = 0, compute_end = 0, end = 0;
  };

  void run(std::span<Request* const> requests, Times& times);
  void respond(Request& request, int64_t first, Failure failure) const noexcept;
  void answer(const Request& request, int64_t first, TRITONBACKEND_Response* response) const;
  void report(std::span<const Request> requests, const Times& times) const noexcept;

  TRITONBACKEND_ModelInstance* handle_;
  std::shared_ptr<const Served> served_;
  TensorTable table_;
  TensorBlocks blocks_;  // of the last run: the rows of all its requests
};

}  // namespace mlcore::triton

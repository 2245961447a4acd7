// One request: what it sends, checked, and what it asks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/tensor_table.h"
#include "triton/abi.h"
#include "triton/config.h"

namespace mlcore::triton {

struct Request {
  TRITONBACKEND_Request* handle = nullptr;
  TensorRows rows;  // its bytes belong to the server until the request is released, or lie in `gathered`
  std::vector<std::vector<std::byte>> gathered;  // tensors that came in several pieces
  uint64_t batch_size = 1;
  std::vector<size_t> outputs;  // asked for, as places in `served`
  bool succeeded = false;       // what it asked for was sent

  // Throws Failure, or ErrorCode::input for tensors that disagree; also when the request was cancelled.
  void read(const Served& served);
};

}  // namespace mlcore::triton

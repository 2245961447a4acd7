// One request: what it sends, checked, and what it asks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/tensor_table.h"
#include "triton/abi.h"
#include "triton/config.h"

namespace mlcore::triton {

class Request {
 public:
  // Throws Failure, or ErrorCode::input for tensors that disagree; also when the request was cancelled.
  Request(TRITONBACKEND_Request* request, const Served& served);

  // Its bytes belong to the server until the request is released, or lie here.
  const TensorRows& rows() const { return rows_; }
  uint64_t batch_size() const { return batch_size_; }
  // Dimensions of an output for these rows.
  std::vector<int64_t> shape(const TensorOutput& output, const Served& served) const;
  const std::vector<size_t>& outputs() const { return outputs_; }  // asked for, as positions in `served`

 private:
  std::span<const std::byte> tensor(TRITONBACKEND_Input* input, const std::string& name,
                                    const TensorType& type, int64_t columns);

  TensorRows rows_;
  std::vector<int64_t> lead_;  // dimensions of the rows
  uint64_t batch_size_ = 1;
  std::vector<size_t> outputs_;
  std::vector<std::vector<std::byte>> gathered_;  // tensors that came in several pieces
};

}  // namespace mlcore::triton

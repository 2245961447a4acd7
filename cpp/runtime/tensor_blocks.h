// What a model computes for batches, kept until it is written as tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/batch.h"
#include "runtime/model.h"
#include "runtime/tensor.h"

namespace mlcore {

class TensorBlocks {
 public:
  // Computes those of `outputs`, which are the model's, whose places are in `wanted`, in any order and also
  // more than once, for the rows of all batches, one after the other. Throws ErrorCode::input. Memory is
  // reused from call to call.
  void run(const Model& model, std::span<const TensorOutput> outputs, std::span<const size_t> wanted,
           std::span<const Batch* const> batches);
  // Of the output at a place of `outputs`: the rows of the last run, for TensorOutput::write.
  const std::byte* block(size_t place) const { return blocks_[place].data(); }

  // Gives back the memory of blocks larger than this, and of the model.
  void trim(size_t kept_bytes);

 private:
  Workspace workspace_;
  std::vector<std::vector<std::byte>> blocks_;  // by place
  std::vector<size_t> places_;
  std::vector<int32_t> indices_;
  std::vector<void*> destinations_;
};

}  // namespace mlcore

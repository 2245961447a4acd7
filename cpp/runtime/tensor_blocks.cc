#include "runtime/tensor_blocks.h"

#include <algorithm>

#include "base/release.h"

namespace mlcore {

void TensorBlocks::run(const Model& model, std::span<const TensorOutput> outputs,
                       std::span<const size_t> wanted, std::span<const Batch* const> batches) {
  int64_t rows = 0;
  for (const Batch* batch : batches) rows += batch->rows();
  blocks_.resize(std::max(blocks_.size(), outputs.size()));
  indices_.clear();
  destinations_.clear();
  // in the order of the program, each once, which is what a plan has a route for
  places_.assign(wanted.begin(), wanted.end());
  std::ranges::sort(places_, {}, [&](size_t place) { return outputs[place].index(); });
  places_.erase(std::unique(places_.begin(), places_.end()), places_.end());
  for (const size_t place : places_) {
    blocks_[place].resize(static_cast<size_t>(rows) * outputs[place].block_bytes());
    indices_.push_back(outputs[place].index());
    destinations_.push_back(blocks_[place].data());
  }
  model.run(batches, indices_, destinations_, workspace_);
}

void TensorBlocks::trim(size_t kept_bytes) {
  for (std::vector<std::byte>& block : blocks_)
    if (block.capacity() > kept_bytes) release(block);
  workspace_.trim();
}

}  // namespace mlcore

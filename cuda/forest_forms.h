// The forms of a forest as they are launched.
#pragma once

#include <bit>
#include <memory>
#include <optional>

#include "few_rows.h"
#include "memory.h"
#include "rank_trees.h"
#include "sliced_trees.h"

namespace mlcore::device {

enum class ForestForm : uint8_t { few, walk, rank, sliced };
inline constexpr ForestForm kForestForms[] = {ForestForm::few, ForestForm::walk, ForestForm::rank,
                                              ForestForm::sliced};
inline constexpr const char* kForestFormNames[] = {"few", "walk", "rank", "sliced"};

// A forest in a form that needs memory of its own.
template <class N, class Leaf>
class OwnForm {
 public:
  virtual ~OwnForm() = default;
  virtual Failure launch(const ForestView<N, Leaf>& view, Stream* stream) const = 0;
};

// Rank columns in the device's memory.
template <class N>
Ranks<typename N::Key> keep_ranks(DeviceMemory& memory, const RankColumns<N>& columns) {
  return {memory.keep_all(columns.columns), static_cast<int32_t>(columns.columns.size()),
          memory.keep_all(columns.cuts), nullptr};
}

// Entry: what a leaf is looked up as; its number (Leaf), or the node (uint32_t).
template <class N, class Leaf, class Entry>
class RankForm final : public OwnForm<N, Leaf> {
  using Key = typename N::Key;

 public:
  // Null: this forest, or this device's shared memory, is not for it.
  template <class EntryOf>
  static std::unique_ptr<OwnForm<N, Leaf>> build(Device& device, const forest::Layout<N>& layout,
                                                 const RankColumns<N>& columns, size_t shared_bytes,
                                                 const EntryOf& entry) {
    auto trees = rank_trees<Entry>(layout, columns, entry);
    if (!trees) return nullptr;
    auto out = std::make_unique<RankForm>(device);
    out->narrow_ = columns.most_cuts <= 255;
    const auto up = [](size_t bytes) { return (bytes + 15) / 16 * 16; };
    for (out->row_bits_ = 9;; --out->row_bits_) {
      if (out->row_bits_ < 5) return nullptr;
      out->split_place_ = up((columns.columns.size() << out->row_bits_) * (out->narrow_ ? 1 : 2));
      out->leaf_place_ = out->split_place_ + up(trees->split_bytes);
      out->bytes_ = out->leaf_place_ + trees->leaf_bytes;
      if (out->bytes_ <= shared_bytes) break;
    }
    const uint32_t column_bytes = (out->narrow_ ? 1u : 2u) << out->row_bits_;
    for (uint32_t& split : trees->splits)
      split = (split & 0xffff0000) | (split & 0xffff) * (column_bytes / kRankPlace);
    out->ranks_ = keep_ranks(out->memory_, columns);
    out->trees_ = out->memory_.keep_all(trees->trees);
    out->batches_ = out->memory_.keep_all(trees->batches);
    out->batch_count_ = static_cast<int64_t>(trees->batches.size());
    out->splits_ = out->memory_.keep_all(trees->splits);
    out->leaves_ = out->memory_.keep_all(trees->leaves);
    return out;
  }
  explicit RankForm(Device& device) : memory_(device) {}

  Failure launch(const ForestView<N, Leaf>& view, Stream* stream) const override {
    return narrow_ ? launch_as<uint8_t>(view, stream) : launch_as<uint16_t>(view, stream);
  }

 private:
  template <class Rank>
  Failure launch_as(const ForestView<N, Leaf>& view, Stream* stream) const {
    RankWalk<Key, Leaf, Rank, Entry> body{view,    ranks_,  trees_,    batches_,     batch_count_,
                                          splits_, leaves_, row_bits_, split_place_, leaf_place_};
    body.ranks.pool = view.pool;
    return blocks(body, (view.rows + body.block_rows() - 1) >> row_bits_, bytes_, stream);
  }

  DeviceMemory memory_;
  Ranks<Key> ranks_{};
  const RankTree* trees_ = nullptr;
  const Batch* batches_ = nullptr;
  const uint32_t* splits_ = nullptr;
  const Entry* leaves_ = nullptr;
  int64_t batch_count_ = 0;
  int32_t row_bits_ = 0;
  size_t split_place_ = 0, leaf_place_ = 0, bytes_ = 0;
  bool narrow_ = false;
};

template <class N, class Leaf, class Entry>
class SlicedForm final : public OwnForm<N, Leaf> {
  using Key = typename N::Key;

 public:
  template <class EntryOf>
  static std::unique_ptr<OwnForm<N, Leaf>> build(Device& device, const forest::Layout<N>& layout,
                                                 const RankColumns<N>& columns, CategoryRule rule,
                                                 size_t shared_bytes, const EntryOf& entry) {
    const auto trees = sliced_trees<Entry>(layout, columns, rule, shared_bytes, entry);
    if (!trees) return nullptr;
    auto out = std::make_unique<SlicedForm>(device);
    DeviceMemory& memory = out->memory_;
    out->body_ = {{},
                  keep_ranks(memory, columns),
                  memory.keep_all(trees->columns),
                  memory.keep_all(trees->trees),
                  memory.keep_all(trees->batches),
                  static_cast<int64_t>(trees->batches.size()),
                  memory.keep_all(trees->splits),
                  memory.keep_all(trees->links),
                  memory.keep_all(trees->leaves),
                  trees->word_bits,
                  trees->number_place,
                  trees->split_place,
                  trees->leaf_place};
    out->bytes_ = trees->bytes;
    return out;
  }
  explicit SlicedForm(Device& device) : memory_(device) {}

  Failure launch(const ForestView<N, Leaf>& view, Stream* stream) const override {
    SlicedRows<Key, Leaf, Entry> body = body_;
    body.view = view;
    body.ranks.pool = view.pool;
    const int64_t block_rows = int64_t{32} << body.word_bits;
    return blocks(body, (view.rows + block_rows - 1) / block_rows, bytes_, stream);
  }
  // Whether a block's words are as many as a warp's threads.
  bool full() const { return body_.word_bits == 5; }

 private:
  DeviceMemory memory_;
  SlicedRows<Key, Leaf, Entry> body_{};
  size_t bytes_ = 0;
};

}  // namespace mlcore::device

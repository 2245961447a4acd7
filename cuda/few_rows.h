// A forest for few rows: a block of threads for each. They walk the row's trees side by side, so that one
// hides the other's waiting, and leave what they reach in shared memory; then one thread for each output adds
// it up in order.
#pragma once

#include "forest.h"

namespace mlcore::device {

template <class N, class Leaf>
struct FewRows {
  static constexpr int kBlockThreads = 512, kBlocks = 2;
  static constexpr int32_t kTrees = 2048;  // of a phase
  static constexpr size_t kSharedBytes = kTrees * (sizeof(Leaf) + sizeof(int32_t));

  ForestView<N, Leaf> view;

  struct State {};

  MLCORE_BODY int64_t phases() const { return (view.tree_count + kTrees - 1) / kTrees; }

  // What a phase leaves: numbers and their outputs, or rows of the vector leaves.
  MLCORE_BODY static Leaf* numbers(unsigned char* shared) { return reinterpret_cast<Leaf*>(shared); }
  MLCORE_BODY static int32_t* places(unsigned char* shared) {
    return reinterpret_cast<int32_t*>(shared + kTrees * sizeof(Leaf));
  }
  MLCORE_BODY int32_t trees_of(int64_t phase) const {
    const int64_t left = view.tree_count - phase * kTrees;
    return static_cast<int32_t>(left < kTrees ? left : kTrees);
  }

  MLCORE_BODY void begin(State&, int64_t row, int thread, unsigned char*) const {
    if (view.kind == forest::LeafKind::ids) return;
    for (int64_t o = thread; o < view.outputs; o += kBlockThreads) view.output(o)[row] = view.base[o];
  }

  MLCORE_BODY void stage(State&, int64_t phase, int64_t row, int thread, unsigned char* shared) const {
    for (int32_t i = thread; i < trees_of(phase); i += kBlockThreads) {
      const int64_t tree = phase * kTrees + i;
      const uint32_t leaf = view.leaf_of(row, tree);
      switch (view.kind) {
        case forest::LeafKind::ids: view.add(row, tree, leaf); break;
        case forest::LeafKind::vector:
          places(shared)[i] = view.node_row[view.trees[tree].first + leaf];
          break;
        default:
          numbers(shared)[i] = view.number(row, tree, leaf);
          places(shared)[i] = view.trees[tree].output;
      }
    }
  }

  MLCORE_BODY void evaluate(State&, int64_t phase, int64_t row, int thread, unsigned char* shared) const {
    if (view.kind == forest::LeafKind::ids) return;
    const Leaf* number = numbers(shared);
    const int32_t* place = places(shared);
    const int32_t count = trees_of(phase);
    for (int64_t o = thread; o < view.outputs; o += kBlockThreads) {
      Leaf sum = view.output(o)[row];
      if (view.kind == forest::LeafKind::vector) {
        for (int32_t i = 0; i < count; ++i) sum += view.leaf_values[place[i] * view.outputs + o];
      } else if (view.outputs == 1) {
        for (int32_t i = 0; i < count; ++i) sum += number[i];
      } else {
        for (int32_t i = 0; i < count; ++i)
          if (place[i] == o) sum += number[i];
      }
      view.output(o)[row] = sum;
    }
  }

  MLCORE_BODY void end(State&, int64_t row, int thread) const {
    if (view.kind == forest::LeafKind::ids || !view.divides) return;
    for (int64_t o = thread; o < view.outputs; o += kBlockThreads) view.output(o)[row] /= view.divisor;
  }
};

}  // namespace mlcore::device

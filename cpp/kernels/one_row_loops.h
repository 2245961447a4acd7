// The loops of kernels/one_row.h over the primitives `P` of an instruction set. In an anonymous namespace,
// and free of the standard library: nothing compiled for one processor may be linked into what runs on
// another.
#pragma once

#include "kernels/forest_keys.h"
#include "kernels/one_row.h"

namespace mlcore::one_row {
namespace {

struct Portable {
  // How many of a node's kFan keys are below `key`.
  template <class K>
  [[gnu::always_inline]] static uint32_t below(K key, const K* node) {
    K count = 0;
    for (uint32_t i = 0; i < kFan; ++i) count += static_cast<K>(node[i] < key);
    return static_cast<uint32_t>(count);
  }
};

template <class P, class K>
void write_bytes(const Columns<K>& columns, const K* keys, uint8_t* out) {
  for (size_t i = 0; i < columns.count; ++i) {
    const Bytes& column = columns.bytes[i];
    const K key = keys[column.column];
    uint8_t* to = out + column.first;
    if (column.kind == kTable) {
      // whole pieces: what they write behind this column is written after them
      const uint32_t code = key < column.size ? static_cast<uint32_t>(key) : forest::kCodeLarge;
      const uint8_t* from = columns.by_code + column.data + size_t{code} * column.count;
      for (uint32_t k = 0; k < column.count; k += kCopied) __builtin_memcpy(to + k, from + k, kCopied);
      continue;
    }
    if (column.kind == kSets) {
      for (uint32_t k = 0; k < column.count; ++k)
        to[k] = static_cast<uint8_t>(forest::goes_right(columns.pool + columns.sets[column.data + k], key));
      continue;
    }
    if (column.kind == kNested) {
      *to = columns
                .by_code[column.data + (key < column.size ? static_cast<uint32_t>(key) : forest::kCodeLarge)];
      continue;
    }
    const K* level = columns.cuts + column.data;
    if (column.kind == kOneCut) {
      *to = static_cast<uint8_t>(key > *level);
      continue;
    }
    uint32_t rank = P::below(key, level);
    for (size_t k = kOneCut + 1, nodes = 1; k < column.kind; ++k) {
      level += nodes * kFan;
      nodes *= kFan;
      rank = rank * kFan + P::below(key, level + size_t{rank} * kFan);
    }
    for (uint32_t k = 0; k < column.count; ++k) {
      const uint32_t before = k * kMaxRank, above = rank > before ? rank - before : 0;
      to[k] = static_cast<uint8_t>(above < kMaxRank ? above : kMaxRank);
    }
  }
}

inline constexpr int kLanes = 8;  // walks in flight together

template <uint32_t kDepth>
void walk_of(const uint8_t* nodes, size_t trees, const uint8_t* bytes, uint8_t* ends) {
  constexpr size_t kSize = size_t{2} << kDepth;
  const auto step = [bytes](const uint8_t* tree, uint32_t at) {
    const uint8_t* node = tree + size_t{2} * at;
    return 2 * at + static_cast<uint32_t>(bytes[node[0]] > node[1]);
  };
  size_t t = 0;
  for (; t + kLanes <= trees; t += kLanes, nodes += kLanes * kSize) {
    uint32_t at[kLanes];
    for (int k = 0; k < kLanes; ++k) at[k] = 1;
    for (uint32_t level = 0; level < kDepth; ++level)
      for (int k = 0; k < kLanes; ++k) at[k] = step(nodes + static_cast<size_t>(k) * kSize, at[k]);
    for (int k = 0; k < kLanes; ++k) ends[t + static_cast<size_t>(k)] = static_cast<uint8_t>(at[k]);
  }
  for (; t < trees; ++t, nodes += kSize) {
    uint32_t at = 1;
    for (uint32_t level = 0; level < kDepth; ++level) at = step(nodes, at);
    ends[t] = static_cast<uint8_t>(at);
  }
  // the root's 1 has become the bit above the end's number
  for (size_t i = 0; i < trees; ++i) ends[i] &= static_cast<uint8_t>((1u << kDepth) - 1);
}

inline void walk_complete(const uint8_t* nodes, uint32_t depth, size_t trees, const uint8_t* bytes,
                          uint8_t* ends) {
  switch (depth) {
    case 1: return walk_of<1>(nodes, trees, bytes, ends);
    case 2: return walk_of<2>(nodes, trees, bytes, ends);
    case 3: return walk_of<3>(nodes, trees, bytes, ends);
    case 4: return walk_of<4>(nodes, trees, bytes, ends);
    case 5: return walk_of<5>(nodes, trees, bytes, ends);
    case 6: return walk_of<6>(nodes, trees, bytes, ends);
    case 7: return walk_of<7>(nodes, trees, bytes, ends);
    default: return walk_of<8>(nodes, trees, bytes, ends);
  }
}

constexpr Kernels make_walking_kernels() {
  return {
      write_bytes<Portable, uint32_t>, write_bytes<Portable, uint64_t>, nullptr, walk_complete, {0, 0.5f}};
}

}  // namespace
}  // namespace mlcore::one_row

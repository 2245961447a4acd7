// One row through the trees of a forest.
//
// 1. The keys of a row become bytes: of a column the number of its cuts that the key is above, of a set of
//    categories whether the row's category goes right, or of sets that contain one another in how many it is.
// 2. Every tree becomes a complete tree of one depth; a node is the place of a byte, and a bound above which
// it
//    goes right: two bytes instead of eight, so that many trees fit into the caches.
// 3. Either the trees are walked, several at a time. Or the nodes of 64 trees lie side by side and a bit is a
//    tree: where bytes are looked up in registers, a node of 64 trees is a look-up and a comparison, and the
//    masks give the number of each tree's end as they do for rows (kernels/sliced.h).
//
// docs/design/0004-sliced-forests.md. The loops are compiled once per instruction set; this header is all
// that they share with the rest.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/isa.h"

namespace mlcore::one_row {

inline constexpr uint32_t kMaxDepth = 8;
inline constexpr uint32_t kMaxBytes = 256;  // of a row
inline constexpr size_t kTogether = 64;     // trees whose nodes lie side by side
inline constexpr uint32_t kFan = 16;        // children of a node of a search tree
inline constexpr uint32_t kMaxRank = 255;   // cuts that share a byte
inline constexpr uint32_t kTable = 0, kSets = 1, kOneCut = 2, kNested = ~0u;
inline constexpr uint32_t kCopied = 16;  // bytes of a table's line that are copied at a time

// The bytes that a column of the layout becomes.
struct Bytes {
  uint32_t column;
  // kTable, kSets: a byte for each set of categories; kNested: one byte; kOneCut: one byte; else kOneCut +
  // levels of a search tree over the cuts, and a byte for each kMaxRank of them
  uint32_t kind;
  uint32_t first, count;
  uint32_t data;  // place in `cuts`, `sets` or `by_code`
  uint32_t size;  // kTable, kNested: codes listed; larger ones are forest::kCodeLarge
};

template <class K>
struct Columns {
  const Bytes* bytes;  // those of kTable first, in the order of their bytes
  size_t count;
  // Search trees: a node is kFan keys; the nodes lie level by level. In the lowest level they are the cuts,
  // above it the last cuts of all children but the last. Unused places hold the largest key.
  const K* cuts;
  const uint32_t* sets;  // places in `pool`
  const uint32_t* pool;  // forest::Layout::pool
  // kTable: by code, the bytes of its sets; kNested: by code, in how many of the sets that send right it is
  const uint8_t* by_code;
};

// Nanoseconds, measured.
struct Costs {
  float node;  // side by side: of 64 trees
  float step;  // else: of a tree
};
inline constexpr float kTreeCost = 1.0f;    // its end and its leaf
inline constexpr float kColumnCost = 1.5f;  // its bytes
inline constexpr float kWalkCost = 1.3f;    // a step of a walk of the tree itself

struct Kernels {
  // The bytes of a row; `out` has kMaxBytes + kCopied, aligned to 64.
  void (*bytes32)(const Columns<uint32_t>& columns, const uint32_t* keys, uint8_t* out);
  void (*bytes64)(const Columns<uint64_t>& columns, const uint64_t* keys, uint8_t* out);
  // Side by side: the masks of `count` nodes of 64 trees, `stride` words apart. A node: kTogether places of
  // bytes, then kTogether bounds. `byte_count`: of a row. Null where the instruction set has none.
  void (*masks)(const uint8_t* nodes, size_t count, const uint8_t* bytes, uint32_t byte_count,
                uint64_t* masks, int64_t stride);
  // Else: the ends of `trees` trees. A tree: 2^depth nodes of a place and a bound, the root at 1, the
  // children of i at 2i and 2i + 1.
  void (*walk)(const uint8_t* nodes, uint32_t depth, size_t trees, const uint8_t* bytes, uint8_t* ends);
  Costs costs;

  void bytes(const Columns<uint32_t>& columns, const uint32_t* keys, uint8_t* out) const {
    bytes32(columns, keys, out);
  }
  void bytes(const Columns<uint64_t>& columns, const uint64_t* keys, uint8_t* out) const {
    bytes64(columns, keys, out);
  }
};

// The kernels of an instruction set that this processor has.
const Kernels& kernels(Isa isa);

const Kernels& baseline_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();

}  // namespace mlcore::one_row

// Forests of small trees, evaluated for 64 or 512 rows at a time without a branch: the tests of all trees as
// bit masks with one bit per row, then the number of each row's leaf as up to eight masks, one per bit.
//
// 1. Cuts of a column are tested once for all trees: the rank of a row's key among them is a byte, and each
//    cut's mask is an expression of that byte's bits. "Right" is a one.
// 2. A tree of whatever shape becomes a complete one, as deep as the logarithm of its leaves: the leaves are
//    numbered from left to right, and a node of the complete tree asks only whether a leaf's number lies
//    above the middle of a range. That is the mask of one split, or a chain of ands and ors of a few.
// 3. Bit b of the leaf number is then a network of selections without a branch, wholly in registers.
// 4. The bits become a byte per row, which looks up the leaf's value; sums are taken in the order of the
// trees.
//
// docs/design/0004-sliced-forests.md has pictures and measurements. The loops are compiled once per
// instruction set; this header is all that they share with the rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/forest_keys.h"
#include "kernels/isa.h"

namespace mlcore::sliced {

inline constexpr int64_t kRows[2] = {64, 512};  // of a small and of a large block
inline constexpr uint32_t kMaxLeaves = 256;     // of a tree
inline constexpr uint32_t kMaxBits = 8;         // of a leaf number
inline constexpr uint32_t kMaxRank = 255;       // cuts that share a byte
inline constexpr uint32_t kMaxClasses = 256;
inline constexpr uint32_t kCachedMasks = 1 << 14;  // of a large block, in the second-level cache
inline constexpr uint32_t kMaxMasks = 1 << 18;     // of a forest: 16 MiB in a large block

// Masks every block has: all zeros and all ones. Those of the columns' tests follow, then those of the
// chains.
inline constexpr uint32_t kZeros = 0, kOnes = 1, kFirstMask = 2;

enum class Encoding : uint8_t {
  compares,  // few cuts: each is compared with the keys
  ranks,     // many cuts: a search tree gives ranks
  classes,   // categories that every set treats alike share a class; a set is 256 bits
  codes,     // more classes than that: bit by bit
};

template <class K>
using SignedKey = std::make_signed_t<K>;

// Keys with their top bit flipped: signed comparisons are what older instruction sets have.
template <class K>
[[gnu::always_inline]] inline SignedKey<K> flipped(K key) {
  return static_cast<SignedKey<K>>(key ^ (K{1} << (sizeof(K) * 8 - 1)));
}

struct Column {
  forest::View view;
  Encoding encoding;
  int32_t feature;
  uint32_t first, count;  // its masks
  // compares, ranks: place in `cuts`; classes: in `classes`; codes: in `places`
  uint32_t data;
  // ranks: levels of the search tree; classes: codes that `classes` lists; larger codes are kCodeLarge
  uint32_t size;
  uint32_t sets;  // classes: place in `sets`
};

// mask[to] = mask[first] and then, for each link: mask[of] | it, or mask[of] & it.
struct Link {
  uint32_t of;
  uint32_t with;  // kOnes: or; kZeros: and
};
struct Chain {
  uint32_t to, first;
  uint32_t first_link, links;  // at least one
};

struct Tree {
  uint32_t bits;         // of the leaf number, the depth of the complete tree; kNotSliced: it must be walked
  uint32_t first_split;  // in `splits`: the masks of the complete tree's 2^bits - 1 nodes, level by level
  // 0: the leaves are the tree's. Else only its top is sliced, and a walk of the rest may skip so many steps.
  uint32_t skipped;
};
inline constexpr uint32_t kNotSliced = ~0u;

template <class K>
struct Slices {
  const Column* columns;
  size_t column_count;
  // compares: ascending cuts; ranks: a search tree of 2^levels cuts, the root at 1, the children of i at 2i
  // and 2i + 1. A key above the cut goes right.
  const SignedKey<K>* cuts;
  const uint8_t* classes;  // by category code
  const uint8_t* sets;     // 32 bytes for each category mask: bit c is set where class c goes right
  const uint32_t* places;  // per mask of a column of codes: place in `pool`
  const uint32_t* pool;    // forest::Layout::pool
  const Chain* chains;     // by ascending number of links
  size_t chain_count;
  const Link* links;
  CategoryRule rule;
};

// What a block of rows writes; all aligned to 64 bytes. A mask takes one or eight words.
template <class K>
struct Memory {
  uint64_t* masks;
  SignedKey<K>* keys;  // 512
  uint32_t* ranks;     // 512
  uint8_t* bytes;      // 512
};

// What work costs, in nanoseconds per row of a large block, measured (docs/design/0004-sliced-forests.md).
struct Costs {
  float key;                   // of a column
  float compare32, compare64;  // of a cut
  float level32, level64;      // of a search tree
  float mask;                  // of a cut among ranks, or of a link of a chain
  float member, code;          // of a set of categories
  float split;                 // of a complete tree
  float leaf32, leaf64;        // of a tree: its leaf number and value
  float small;                 // times so much in a small block
};
// A step of a walk from a tree's root to a leaf.
inline constexpr float kStepCost32 = 0.5f, kStepCost64 = 0.8f;

// The loops; [0] for 64 rows, [1] for 512. `rows` may be fewer: the bits of the others are arbitrary.
template <class K>
struct Tests {
  // Fills all masks from the column-major block `data`, whose columns are `stride` apart.
  void (*run[2])(const Slices<K>& slices, const forest::FloatOf<K>* data, int64_t stride, int64_t rows,
                 const Memory<K>& memory);
  uint32_t max_compares;  // cuts of a column up to which comparisons are faster than ranks
};

struct Kernels {
  Tests<uint32_t> tests32;
  Tests<uint64_t> tests64;
  // The leaf number of each row. `splits` are those of one tree.
  void (*leaves[2])(const uint32_t* splits, uint32_t bits, const uint64_t* masks, uint8_t* index);
  // sums[r] += table[index[r]]; the table has 2^bits entries.
  void (*add_f32)(const float* table, uint32_t bits, const uint8_t* index, int64_t rows, float* sums);
  void (*add_f64)(const double* table, uint32_t bits, const uint8_t* index, int64_t rows, double* sums);
  Costs costs;

  template <class K>
  const Tests<K>& tests() const {
    if constexpr (sizeof(K) == 4) return tests32;
    else return tests64;
  }
};

// The kernels of an instruction set that this processor has.
const Kernels& kernels(Isa isa);

const Kernels& baseline_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();

}  // namespace mlcore::sliced

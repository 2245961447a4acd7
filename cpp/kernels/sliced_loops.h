// The loops of the sliced evaluator over the primitives `P` of an instruction set
// (kernels/sliced_portable.h).
#pragma once

#include "kernels/sliced_portable.h"

namespace mlcore::sliced {
namespace {

// A mask of kWords words is worked on in parts of this type.
template <class P, int kWords>
struct PartOf {
  using Type = typename P::Native;
};
template <class P>
struct PartOf<P, 1> {
  using Type = uint64_t;
};
template <class P, int kWords>
using Part = typename PartOf<P, kWords>::Type;
template <class P, int kWords>
constexpr int kParts = static_cast<int>(kWords * sizeof(uint64_t) / sizeof(Part<P, kWords>));

template <class K, forest::View kView>
void make_keys_in(CategoryRule rule, const forest::FloatOf<K>* x, int64_t rows, SignedKey<K>* keys) {
  for (int64_t r = 0; r < rows; ++r) {
    const K key = forest::key_in<K, kView>(x[r], rule);
    keys[r] = kView == forest::View::category ? static_cast<SignedKey<K>>(key) : flipped<K>(key);
  }
}

// Key or category code of each row; zeros up to a multiple of 64 rows.
template <class K>
void make_keys(const Column& column, CategoryRule rule, const forest::FloatOf<K>* x, int64_t rows,
               SignedKey<K>* keys) {
  using forest::View;
  switch (column.view) {
    case View::nan_right: make_keys_in<K, View::nan_right>(rule, x, rows, keys); break;
    case View::nan_left: make_keys_in<K, View::nan_left>(rule, x, rows, keys); break;
    case View::zero_right: make_keys_in<K, View::zero_right>(rule, x, rows, keys); break;
    case View::zero_left: make_keys_in<K, View::zero_left>(rule, x, rows, keys); break;
    case View::category: make_keys_in<K, View::category>(rule, x, rows, keys); break;
  }
  for (int64_t r = rows; r % 64 != 0; ++r) keys[r] = 0;
}

// ranks - below, but at least 0 and at most kMaxRank.
inline void narrow(const uint32_t* __restrict ranks, int64_t rows, int32_t below, uint8_t* __restrict bytes) {
  for (int64_t r = 0; r < rows; ++r) {
    const int32_t rank = static_cast<int32_t>(ranks[r]) - below;
    const int32_t least = rank < 0 ? 0 : rank;
    bytes[r] = static_cast<uint8_t>(least > 255 ? 255 : least);
  }
}

// Masks of ranks 1 to `count` and above, from bytes: "rank >= t" is "high > h, or high == h and low >= l" for
// the two halves h and l of t, and the masks of the halves are shared.
template <class P, int kWords>
void rank_masks(const uint8_t* bytes, int64_t words, uint32_t count, uint64_t* masks) {
  using Mask = Part<P, kWords>;
  constexpr int kStep = kParts<P, kWords>;
  alignas(64) uint64_t sliced[8 * kWords] = {};
  for (int64_t w = 0; w < words; ++w) P::slice64(bytes + 64 * w, sliced + w, kWords);
  for (int part = 0; part < kStep; ++part) {
    const Mask* bit = reinterpret_cast<const Mask*>(sliced) + part;
    const Mask none = bit[0] ^ bit[0];
    Mask equal[16], at_least_low[17], above[16];
    const auto equals = [&](const Mask* four) {
      Mask pair[2][4];
      for (int half = 0; half < 2; ++half) {
        const Mask a = four[2 * half * kStep], b = four[(2 * half + 1) * kStep];
        pair[half][0] = ~(a | b);
        pair[half][1] = a & ~b;
        pair[half][2] = b & ~a;
        pair[half][3] = a & b;
      }
      for (int v = 0; v < 16; ++v) equal[v] = pair[0][v & 3] & pair[1][v >> 2];
    };
    equals(bit);
    at_least_low[16] = none;
    for (int v = 15; v > 0; --v) at_least_low[v] = at_least_low[v + 1] | equal[v];
    at_least_low[0] = ~none;
    equals(bit + 4 * kStep);
    above[15] = none;
    for (int v = 14; v >= 0; --v) above[v] = above[v + 1] | equal[v + 1];
    Mask* out = reinterpret_cast<Mask*>(masks) + part;
    for (uint32_t t = 1; t <= count; ++t, out += kStep)
      P::or_and(*out, above[t >> 4], equal[t >> 4], at_least_low[t & 15]);
  }
}

template <class P, int kWords>
void run_chains(const Chain* chains, size_t count, const Link* links, uint64_t* masks) {
  using Mask = Part<P, kWords>;
  constexpr int kStep = kParts<P, kWords>;
  auto* mask = reinterpret_cast<Mask*>(masks);
  for (size_t i = 0; i < count; ++i) {
    const Chain& chain = chains[i];
    const Link* link = links + chain.first_link;
    for (int part = 0; part < kStep; ++part) {
      Mask sum = mask[int64_t{chain.first} * kStep + part];
      for (uint32_t k = 0; k < chain.links; ++k)
        P::link(sum, mask[int64_t{link[k].of} * kStep + part], mask[int64_t{link[k].with} * kStep + part]);
      mask[int64_t{chain.to} * kStep + part] = sum;
    }
  }
}

template <class P, class K, int kWords>
void run_tests(const Slices<K>& slices, const forest::FloatOf<K>* data, int64_t stride, int64_t rows,
               const Memory<K>& memory) {
  const int64_t words = (rows + 63) / 64;
  for (int64_t w = 0; w < kWords; ++w) {
    memory.masks[kZeros * kWords + w] = 0;
    memory.masks[kOnes * kWords + w] = ~uint64_t{0};
  }
  for (size_t i = 0; i < slices.column_count; ++i) {
    const Column& column = slices.columns[i];
    make_keys<K>(column, slices.rule, data + column.feature * stride, rows, memory.keys);
    uint64_t* masks = memory.masks + int64_t{column.first} * kWords;
    switch (column.encoding) {
      case Encoding::compares:
        for (int64_t k = 0; k < column.count; ++k)
          for (int64_t w = 0; w < words; ++w)
            masks[k * kWords + w] = P::greater64(memory.keys + 64 * w, slices.cuts[column.data + k]);
        break;
      case Encoding::ranks:
        P::rank(memory.keys, 64 * words, slices.cuts + column.data, column.size, memory.ranks);
        for (uint32_t page = 0; page < column.count; page += kMaxRank) {
          narrow(memory.ranks, 64 * words, static_cast<int32_t>(page), memory.bytes);
          const uint32_t left = column.count - page;
          rank_masks<P, kWords>(memory.bytes, words, left < kMaxRank ? left : kMaxRank,
                                masks + int64_t{page} * kWords);
        }
        break;
      case Encoding::classes: {
        const uint8_t* classes = slices.classes + column.data;
        for (int64_t r = 0; r < 64 * words; ++r) {
          const auto code = static_cast<uint64_t>(memory.keys[r]);
          memory.bytes[r] = classes[code < column.size ? code : forest::kCodeLarge];
        }
        for (int64_t w = 0; w < words; ++w)
          P::members64(memory.bytes + 64 * w, slices.sets + column.sets, column.count, masks + w, kWords);
        break;
      }
      case Encoding::codes:
        for (int64_t k = 0; k < column.count; ++k) {
          const uint32_t* set = slices.pool + slices.places[column.data + k];
          for (int64_t w = 0; w < words; ++w) {
            uint64_t bits = 0;
            for (int64_t r = 0; r < 64; ++r)
              bits |= uint64_t{forest::goes_right(set, static_cast<uint64_t>(memory.keys[64 * w + r]))} << r;
            masks[k * kWords + w] = bits;
          }
        }
        break;
    }
  }
  run_chains<P, kWords>(slices.chains, slices.chain_count, slices.links, memory.masks);
}

// Bits of the leaf numbers below node `node` of a complete tree, `kHeight` above the leaves.
template <class P, class Mask, int kHeight>
[[gnu::always_inline]] inline void choose_below(const uint32_t* splits, const Mask* masks, int step, int node,
                                                Mask* bits) {
  const Mask split = masks[int64_t{splits[node - 1]} * step];
  if constexpr (kHeight > 1) {
    Mask left[kHeight - 1], right[kHeight - 1];
    choose_below<P, Mask, kHeight - 1>(splits, masks, step, 2 * node, left);
    choose_below<P, Mask, kHeight - 1>(splits, masks, step, 2 * node + 1, right);
    for (int b = 0; b < kHeight - 1; ++b) P::choose(bits[b], split, left[b], right[b]);
  }
  bits[kHeight - 1] = split;
}

template <class P, int kWords, int kBits>
void find_leaves_of(const uint32_t* splits, const uint64_t* masks, uint8_t* index) {
  using Mask = Part<P, kWords>;
  constexpr int kStep = kParts<P, kWords>;
  alignas(64) uint64_t found[kBits * kWords];
  for (int part = 0; part < kStep; ++part) {
    Mask bits[kBits];
    choose_below<P, Mask, kBits>(splits, reinterpret_cast<const Mask*>(masks) + part, kStep, 1, bits);
    for (int b = 0; b < kBits; ++b) reinterpret_cast<Mask*>(found)[b * kStep + part] = bits[b];
  }
  for (int w = 0; w < kWords; ++w) P::spread64(found + w, kWords, kBits, index + 64 * w);
}

template <class P, int kWords>
void find_leaves(const uint32_t* splits, uint32_t bits, const uint64_t* masks, uint8_t* index) {
  switch (bits) {
    case 1: return find_leaves_of<P, kWords, 1>(splits, masks, index);
    case 2: return find_leaves_of<P, kWords, 2>(splits, masks, index);
    case 3: return find_leaves_of<P, kWords, 3>(splits, masks, index);
    case 4: return find_leaves_of<P, kWords, 4>(splits, masks, index);
    case 5: return find_leaves_of<P, kWords, 5>(splits, masks, index);
    case 6: return find_leaves_of<P, kWords, 6>(splits, masks, index);
    case 7: return find_leaves_of<P, kWords, 7>(splits, masks, index);
    case 8: return find_leaves_of<P, kWords, 8>(splits, masks, index);
    default:  // one leaf
      for (int64_t r = 0; r < 64 * kWords; ++r) index[r] = 0;
  }
}

template <class P>
constexpr Kernels make_kernels() {
  return {{{run_tests<P, uint32_t, 1>, run_tests<P, uint32_t, 8>}, P::kMaxCompares32},
          {{run_tests<P, uint64_t, 1>, run_tests<P, uint64_t, 8>}, P::kMaxCompares64},
          {find_leaves<P, 1>, find_leaves<P, 8>},
          P::add,
          P::add,
          P::kCosts};
}

}  // namespace
}  // namespace mlcore::sliced

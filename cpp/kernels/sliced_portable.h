// The primitives of the sliced evaluator for any processor; instruction sets replace those that they do
// better. In an anonymous namespace, and free of the standard library: nothing compiled for one processor may
// be linked into what runs on another.
#pragma once

#include "kernels/sliced.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace mlcore::sliced {
namespace {

struct Portable {
  static constexpr uint32_t kMaxCompares32 = 48, kMaxCompares64 = 12;
  static constexpr Costs kCosts = {0.1f, 0.035f, 0.2f,   0.33f, 0.33f, 0.004f,
                                   0.6f, 1.3f,   0.006f, 0.3f,  0.35f, 1.3f};

  // Bit r: keys[r] > cut.
  static uint64_t greater64(const int64_t* keys, int64_t cut) {
    uint64_t bits = 0;
    for (int r = 0; r < 64; ++r) bits |= static_cast<uint64_t>(keys[r] > cut) << r;
    return bits;
  }

#if defined(__SSE2__)
  static uint64_t greater64(const int32_t* keys, int32_t cut) {
    const __m128i right = _mm_set1_epi32(cut);
    const auto* from = reinterpret_cast<const __m128i*>(keys);
    uint64_t bits = 0;
    for (int r = 0; r < 4; ++r, from += 4) {
      const __m128i a = _mm_cmpgt_epi32(_mm_loadu_si128(from), right);
      const __m128i b = _mm_cmpgt_epi32(_mm_loadu_si128(from + 1), right);
      const __m128i c = _mm_cmpgt_epi32(_mm_loadu_si128(from + 2), right);
      const __m128i d = _mm_cmpgt_epi32(_mm_loadu_si128(from + 3), right);
      const __m128i all = _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
      bits |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(all))) << (16 * r);
    }
    return bits;
  }

  // Bit r of bits[b * stride]: bit b of bytes[r].
  static void slice64(const uint8_t* bytes, uint64_t* bits, int64_t stride) {
    const auto* from = reinterpret_cast<const __m128i*>(bytes);
    __m128i part[4] = {_mm_loadu_si128(from), _mm_loadu_si128(from + 1), _mm_loadu_si128(from + 2),
                       _mm_loadu_si128(from + 3)};
    for (int64_t b = 7; b >= 0; --b) {
      uint64_t all = 0;
      for (int k = 0; k < 4; ++k) {
        all |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(part[k]))) << (16 * k);
        part[k] = _mm_add_epi8(part[k], part[k]);
      }
      bits[b * stride] = all;
    }
  }
#else
  static uint64_t greater64(const int32_t* keys, int32_t cut) {
    uint64_t bits = 0;
    for (int r = 0; r < 64; ++r) bits |= static_cast<uint64_t>(keys[r] > cut) << r;
    return bits;
  }

  static void slice64(const uint8_t* bytes, uint64_t* bits, int64_t stride) {
    for (int64_t b = 0; b < 8; ++b) {
      uint64_t all = 0;
      for (int r = 0; r < 64; ++r) all |= static_cast<uint64_t>((bytes[r] >> b) & 1) << r;
      bits[b * stride] = all;
    }
  }
#endif

  // Bit r of masks[k * stride]: whether class bytes[r] is in the k-th set.
  static void members64(const uint8_t* bytes, const uint8_t* sets, uint32_t count, uint64_t* masks,
                        int64_t stride) {
    for (uint32_t k = 0; k < count; ++k, sets += 32) {
      uint64_t all = 0;
      for (int r = 0; r < 64; ++r)
        all |= static_cast<uint64_t>((sets[bytes[r] >> 3] >> (bytes[r] & 7)) & 1) << r;
      masks[k * stride] = all;
    }
  }

  // ranks[r]: how many cuts keys[r] is above. `rows` is a multiple of 64.
  template <class Key>
  static void rank(const Key* keys, int64_t rows, const Key* cuts, uint32_t levels, uint32_t* ranks) {
    constexpr int kTogether = 8;  // searches in flight
    for (int64_t r = 0; r < rows; r += kTogether) {
      uint32_t at[kTogether];
      for (uint32_t& place : at) place = 1;
      for (uint32_t level = 0; level < levels; ++level)
        for (int k = 0; k < kTogether; ++k)
          at[k] = 2 * at[k] + static_cast<uint32_t>(keys[r + k] > cuts[at[k]]);
      for (int k = 0; k < kTogether; ++k) ranks[r + k] = at[k] - (1u << levels);
    }
  }

  // The widest masks that logic works on at once.
  typedef uint64_t Native [[gnu::vector_size(16), gnu::may_alias]];

  // to = select ? right : left
  template <class Mask>
  [[gnu::always_inline]] static void choose(Mask& to, const Mask& select, const Mask& left,
                                            const Mask& right) {
    to = (select & right) | (~select & left);
  }
  // to = a | (b & c)
  template <class Mask>
  [[gnu::always_inline]] static void or_and(Mask& to, const Mask& a, const Mask& b, const Mask& c) {
    to = a | (b & c);
  }
  // to = with ? a | to : a & to
  template <class Mask>
  [[gnu::always_inline]] static void link(Mask& to, const Mask& a, const Mask& with) {
    to = (a & (to | with)) | (to & with);
  }

  // index[r]: the number whose bit b is bit r of masks[b * stride].
  static void spread64(const uint64_t* masks, int64_t stride, uint32_t bits, uint8_t* index) {
    for (int group = 0; group < 8; ++group) {
      uint64_t x = 0;  // byte b: bit b of eight rows
      for (uint32_t b = 0; b < bits; ++b) x |= ((masks[b * stride] >> (8 * group)) & 0xff) << (8 * b);
      // transposes 8 x 8 bits (Hacker's Delight, section 7-3)
      uint64_t t = (x ^ (x >> 7)) & 0x00aa00aa00aa00aa;
      x ^= t ^ (t << 7);
      t = (x ^ (x >> 14)) & 0x0000cccc0000cccc;
      x ^= t ^ (t << 14);
      t = (x ^ (x >> 28)) & 0x00000000f0f0f0f0;
      x ^= t ^ (t << 28);
      for (int k = 0; k < 8; ++k) index[8 * group + k] = static_cast<uint8_t>(x >> (8 * k));
    }
  }

  template <class Leaf>
  static void add(const Leaf* table, uint32_t, const uint8_t* index, int64_t rows, Leaf* sums) {
    for (int64_t r = 0; r < rows; ++r) sums[r] += table[index[r]];
  }
};

}  // namespace
}  // namespace mlcore::sliced

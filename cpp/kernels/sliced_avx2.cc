// Compiled with -mavx2 -mbmi2.
#if defined(__x86_64__)
#include "kernels/sliced_loops.h"

namespace mlcore::sliced {
namespace {

struct Avx2 : Portable {
  static constexpr uint32_t kMaxCompares32 = 12, kMaxCompares64 = 24;
  static constexpr Costs kCosts = {0.1f,  0.03f, 0.06f,  0.1f,  0.33f, 0.003f,
                                   0.05f, 1.3f,  0.002f, 0.35f, 0.35f, 1.8f};

  typedef uint64_t Native [[gnu::vector_size(32), gnu::may_alias]];

  static __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
  static uint64_t top_bits(__m256i bytes) { return static_cast<uint32_t>(_mm256_movemask_epi8(bytes)); }

  static uint64_t greater64(const int32_t* keys, int32_t cut) {
    const __m256i right = _mm256_set1_epi32(cut);
    uint64_t bits = 0;
    for (int r = 0; r < 64; r += 8) {
      const __m256i above = _mm256_cmpgt_epi32(load(keys + r), right);
      bits |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(above))))
              << r;
    }
    return bits;
  }
  static uint64_t greater64(const int64_t* keys, int64_t cut) {
    const __m256i right = _mm256_set1_epi64x(cut);
    uint64_t bits = 0;
    for (int r = 0; r < 64; r += 4) {
      const __m256i above = _mm256_cmpgt_epi64(load(keys + r), right);
      bits |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(above))))
              << r;
    }
    return bits;
  }

  // Cut number `at` of the kCount that begin at `cuts`; bits of `at` above those do not matter.
  template <int kCount>
  static __m256i pick(const int32_t* cuts, __m256i at) {
    if constexpr (kCount == 8) {
      return _mm256_permutevar8x32_epi32(load(cuts), at);
    } else {
      constexpr int kTop =
          31 - (__builtin_ctz(kCount) - 1);  // brings the bit that tells the halves apart to the top
      const __m256 in_second = _mm256_castsi256_ps(_mm256_slli_epi32(at, kTop));
      return _mm256_castps_si256(
          _mm256_blendv_ps(_mm256_castsi256_ps(pick<kCount / 2>(cuts, at)),
                           _mm256_castsi256_ps(pick<kCount / 2>(cuts + kCount / 2, at)), in_second));
    }
  }

  // The search tree lies in registers and the first-level cache.
  template <uint32_t kLevels>
  static void rank_levels(const int32_t* keys, int64_t rows, const int32_t* cuts, uint32_t* ranks) {
    for (int64_t r = 0; r < rows; r += 8) {
      const __m256i key = load(keys + r);
      __m256i at = _mm256_set1_epi32(1);
      // a comparison gives -1 where it holds
      const auto go = [&](__m256i cut) {
        at = _mm256_sub_epi32(_mm256_add_epi32(at, at), _mm256_cmpgt_epi32(key, cut));
      };
      for (uint32_t level = 0; level < 3; ++level) go(pick<8>(cuts, at));
      if constexpr (kLevels > 3) go(pick<8>(cuts + 8, at));
      if constexpr (kLevels > 4) go(pick<16>(cuts + 16, at));
      if constexpr (kLevels > 5) go(pick<32>(cuts + 32, at));
      if constexpr (kLevels > 6) go(pick<64>(cuts + 64, at));
      if constexpr (kLevels > 7) go(pick<128>(cuts + 128, at));
      at = _mm256_sub_epi32(at, _mm256_set1_epi32(1 << kLevels));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(ranks + r), at);
    }
  }
  using Portable::rank;
  static void rank(const int32_t* keys, int64_t rows, const int32_t* cuts, uint32_t levels, uint32_t* ranks) {
    switch (levels) {
      case 3: return rank_levels<3>(keys, rows, cuts, ranks);
      case 4: return rank_levels<4>(keys, rows, cuts, ranks);
      case 5: return rank_levels<5>(keys, rows, cuts, ranks);
      case 6: return rank_levels<6>(keys, rows, cuts, ranks);
      case 7: return rank_levels<7>(keys, rows, cuts, ranks);
      case 8: return rank_levels<8>(keys, rows, cuts, ranks);
      default: return Portable::rank(keys, rows, cuts, levels, ranks);
    }
  }

  static void slice64(const uint8_t* bytes, uint64_t* bits, int64_t stride) {
    __m256i low = load(bytes), high = load(bytes + 32);
    for (int64_t b = 7; b >= 0; --b) {
      bits[b * stride] = top_bits(low) | (top_bits(high) << 32);
      low = _mm256_add_epi8(low, low);
      high = _mm256_add_epi8(high, high);
    }
  }

  static void members64(const uint8_t* bytes, const uint8_t* sets, uint32_t count, uint64_t* masks,
                        int64_t stride) {
    const __m256i powers = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
    __m256i place[2], bit[2];
    for (int half = 0; half < 2; ++half) {
      const __m256i c = load(bytes + 32 * half);
      place[half] = _mm256_and_si256(_mm256_srli_epi16(c, 3), _mm256_set1_epi8(0x1f));
      bit[half] = _mm256_shuffle_epi8(powers, _mm256_and_si256(c, _mm256_set1_epi8(7)));
    }
    for (uint32_t k = 0; k < count; ++k, sets += 32) {
      const auto* set = reinterpret_cast<const __m128i*>(sets);
      const __m256i first = _mm256_broadcastsi128_si256(_mm_loadu_si128(set));
      const __m256i second = _mm256_broadcastsi128_si256(_mm_loadu_si128(set + 1));
      uint64_t found[2];
      for (int half = 0; half < 2; ++half) {
        const __m256i in_second = _mm256_slli_epi16(place[half], 3);  // bit 4 becomes the top bit
        const __m256i byte = _mm256_blendv_epi8(_mm256_shuffle_epi8(first, place[half]),
                                                _mm256_shuffle_epi8(second, place[half]), in_second);
        found[half] = top_bits(_mm256_cmpeq_epi8(_mm256_and_si256(byte, bit[half]), bit[half]));
      }
      masks[k * stride] = found[0] | (found[1] << 32);
    }
  }

  static void spread64(const uint64_t* masks, int64_t stride, uint32_t bits, uint8_t* index) {
    const __m256i powers = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
    const __m256i bytes = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
                                           2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    for (int half = 0; half < 2; ++half) {
      __m256i all = _mm256_setzero_si256();
      for (uint32_t b = 0; b < bits; ++b) {
        const auto rows = static_cast<int32_t>(static_cast<uint32_t>(masks[b * stride] >> (32 * half)));
        const __m256i mine = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(rows), bytes), powers);
        const __m256i set = _mm256_cmpeq_epi8(mine, powers);
        all = _mm256_or_si256(all, _mm256_and_si256(set, _mm256_set1_epi8(static_cast<char>(1 << b))));
      }
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(index + 32 * half), all);
    }
  }
};

}  // namespace

const Kernels& avx2_kernels() {
  static constexpr Kernels kKernels = make_kernels<Avx2>();
  return kKernels;
}

}  // namespace mlcore::sliced

#endif

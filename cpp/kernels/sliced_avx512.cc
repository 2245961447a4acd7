// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi -mbmi2.
#if defined(__x86_64__)
#include "kernels/sliced_loops.h"

namespace mlcore::sliced {
namespace {

struct Avx512 : Portable {
  static constexpr uint32_t kMaxCompares32 = 8, kMaxCompares64 = 8;
  static constexpr Costs kCosts = {0.05f, 0.025f, 0.05f,  0.04f, 0.12f, 0.0015f,
                                   0.02f, 1.3f,   0.001f, 0.06f, 0.15f, 3.3f};

  typedef uint64_t Native [[gnu::vector_size(64), gnu::may_alias]];

  static __m512i load(const void* from) { return _mm512_loadu_si512(from); }

  static uint64_t greater64(const int32_t* keys, int32_t cut) {
    const __m512i right = _mm512_set1_epi32(cut);
    uint64_t bits = 0;
    for (int r = 0; r < 64; r += 16)
      bits |= static_cast<uint64_t>(_mm512_cmpgt_epi32_mask(load(keys + r), right)) << r;
    return bits;
  }
  static uint64_t greater64(const int64_t* keys, int64_t cut) {
    const __m512i right = _mm512_set1_epi64(cut);
    uint64_t bits = 0;
    for (int r = 0; r < 64; r += 8)
      bits |= static_cast<uint64_t>(_mm512_cmpgt_epi64_mask(load(keys + r), right)) << r;
    return bits;
  }

  static void slice64(const uint8_t* bytes, uint64_t* bits, int64_t stride) {
    __m512i all = load(bytes);
    for (int64_t b = 7; b >= 0; --b) {
      bits[b * stride] = _mm512_movepi8_mask(all);
      all = _mm512_add_epi8(all, all);
    }
  }

  static void members64(const uint8_t* bytes, const uint8_t* sets, uint32_t count, uint64_t* masks,
                        int64_t stride) {
    const __m512i c = load(bytes);
    const __m512i place = _mm512_and_si512(_mm512_srli_epi16(c, 3), _mm512_set1_epi8(0x1f));
    const __m512i bit = _mm512_shuffle_epi8(_mm512_set1_epi64(static_cast<int64_t>(0x8040201008040201)),
                                            _mm512_and_si512(c, _mm512_set1_epi8(7)));
    for (uint32_t k = 0; k < count; ++k, sets += 32) {
      const __m512i set = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(sets)));
      masks[k * stride] = _mm512_test_epi8_mask(_mm512_permutexvar_epi8(place, set), bit);
    }
  }

  // Cut number `at` of 32, 64 or 128 that begin at `cuts`; higher bits of `at` do not matter.
  static __m512i pick32(const int32_t* cuts, __m512i at) {
    return _mm512_permutex2var_epi32(load(cuts), at, load(cuts + 16));
  }
  static __m512i pick64(const int32_t* cuts, __m512i at) {
    return _mm512_mask_blend_epi32(_mm512_test_epi32_mask(at, _mm512_set1_epi32(32)), pick32(cuts, at),
                                   pick32(cuts + 32, at));
  }
  static __m512i pick128(const int32_t* cuts, __m512i at) {
    return _mm512_mask_blend_epi32(_mm512_test_epi32_mask(at, _mm512_set1_epi32(64)), pick64(cuts, at),
                                   pick64(cuts + 64, at));
  }
  static __m512i pick16(const int64_t* cuts, __m512i at) {
    return _mm512_permutex2var_epi64(load(cuts), at, load(cuts + 8));
  }
  static __m512i pick32(const int64_t* cuts, __m512i at) {
    return _mm512_mask_blend_epi64(_mm512_test_epi64_mask(at, _mm512_set1_epi64(16)), pick16(cuts, at),
                                   pick16(cuts + 16, at));
  }
  static __m512i pick64(const int64_t* cuts, __m512i at) {
    return _mm512_mask_blend_epi64(_mm512_test_epi64_mask(at, _mm512_set1_epi64(32)), pick32(cuts, at),
                                   pick32(cuts + 32, at));
  }

  // The upper levels of the search tree lie in registers.
  template <uint32_t kLevels>
  static void rank_levels(const int32_t* keys, int64_t rows, const int32_t* cuts, uint32_t levels,
                          uint32_t* ranks) {
    const __m512i one = _mm512_set1_epi32(1);
    for (int64_t r = 0; r < rows; r += 16) {
      const __m512i key = load(keys + r);
      __m512i at = one;
      const auto go = [&](__m512i cut) {
        const __mmask16 right = _mm512_cmpgt_epi32_mask(key, cut);
        at = _mm512_add_epi32(at, at);
        at = _mm512_mask_or_epi32(at, right, at, one);
      };
      for (uint32_t level = 0; level < (kLevels < 5 ? kLevels : 5); ++level) go(pick32(cuts, at));
      if constexpr (kLevels > 5) go(pick32(cuts + 32, at));
      if constexpr (kLevels > 6) go(pick64(cuts + 64, at));
      if constexpr (kLevels > 7) go(pick128(cuts + 128, at));
      if constexpr (kLevels > 8)
        for (uint32_t level = 8; level < levels; ++level) go(_mm512_i32gather_epi32(at, cuts, 4));
      at = _mm512_sub_epi32(at, _mm512_sllv_epi32(one, _mm512_set1_epi32(static_cast<int>(levels))));
      _mm512_storeu_si512(ranks + r, at);
    }
  }
  template <uint32_t kLevels>
  static void rank_levels(const int64_t* keys, int64_t rows, const int64_t* cuts, uint32_t levels,
                          uint32_t* ranks) {
    const __m512i one = _mm512_set1_epi64(1);
    for (int64_t r = 0; r < rows; r += 8) {
      const __m512i key = load(keys + r);
      __m512i at = one;
      const auto go = [&](__m512i cut) {
        const __mmask8 right = _mm512_cmpgt_epi64_mask(key, cut);
        at = _mm512_add_epi64(at, at);
        at = _mm512_mask_or_epi64(at, right, at, one);
      };
      for (uint32_t level = 0; level < (kLevels < 4 ? kLevels : 4); ++level) go(pick16(cuts, at));
      if constexpr (kLevels > 4) go(pick16(cuts + 16, at));
      if constexpr (kLevels > 5) go(pick32(cuts + 32, at));
      if constexpr (kLevels > 6) go(pick64(cuts + 64, at));
      if constexpr (kLevels > 7)
        for (uint32_t level = 7; level < levels; ++level) go(_mm512_i64gather_epi64(at, cuts, 8));
      at = _mm512_sub_epi64(at, _mm512_set1_epi64(int64_t{1} << levels));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(ranks + r), _mm512_cvtepi64_epi32(at));
    }
  }
  template <class Key>
  static void rank(const Key* keys, int64_t rows, const Key* cuts, uint32_t levels, uint32_t* ranks) {
    switch (levels) {
      case 4: return rank_levels<4>(keys, rows, cuts, levels, ranks);
      case 5: return rank_levels<5>(keys, rows, cuts, levels, ranks);
      case 6: return rank_levels<6>(keys, rows, cuts, levels, ranks);
      case 7: return rank_levels<7>(keys, rows, cuts, levels, ranks);
      case 8: return rank_levels<8>(keys, rows, cuts, levels, ranks);
      default:
        if (levels < 4) return Portable::rank(keys, rows, cuts, levels, ranks);
        return rank_levels<9>(keys, rows, cuts, levels, ranks);
    }
  }

  using Portable::choose, Portable::link, Portable::or_and;
  [[gnu::always_inline]] static void choose(Native& to, const Native& select, const Native& left,
                                            const Native& right) {
    to = reinterpret_cast<Native>(_mm512_ternarylogic_epi64(reinterpret_cast<__m512i>(select),
                                                            reinterpret_cast<__m512i>(right),
                                                            reinterpret_cast<__m512i>(left), 0xca));
  }
  [[gnu::always_inline]] static void or_and(Native& to, const Native& a, const Native& b, const Native& c) {
    to = reinterpret_cast<Native>(_mm512_ternarylogic_epi64(
        reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b), reinterpret_cast<__m512i>(c), 0xf8));
  }

  [[gnu::always_inline]] static void link(Native& to, const Native& a, const Native& with) {
    to = reinterpret_cast<Native>(_mm512_ternarylogic_epi64(
        reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(to), reinterpret_cast<__m512i>(with), 0xe8));
  }

  static void spread64(const uint64_t* masks, int64_t stride, uint32_t bits, uint8_t* index) {
    __m512i all = _mm512_setzero_si512();
    for (uint32_t b = 0; b < bits; ++b) {
      const __m512i power = _mm512_set1_epi8(static_cast<char>(1 << b));
      all = _mm512_mask_or_epi64(all, 0xff, all, _mm512_maskz_mov_epi8(masks[b * stride], power));
    }
    _mm512_storeu_si512(index, all);
  }

  static __m512 pick32(const float* table, __m512i at) {
    return _mm512_permutex2var_ps(_mm512_loadu_ps(table), at, _mm512_loadu_ps(table + 16));
  }
  static __m512 pick64(const float* table, __m512i at) {
    return _mm512_mask_blend_ps(_mm512_test_epi32_mask(at, _mm512_set1_epi32(32)), pick32(table, at),
                                pick32(table + 32, at));
  }
  static __m512d pick16(const double* table, __m512i at) {
    return _mm512_permutex2var_pd(_mm512_loadu_pd(table), at, _mm512_loadu_pd(table + 8));
  }
  static __m512d pick32(const double* table, __m512i at) {
    return _mm512_mask_blend_pd(_mm512_test_epi64_mask(at, _mm512_set1_epi64(16)), pick16(table, at),
                                pick16(table + 16, at));
  }

  template <class Pick>
  [[gnu::always_inline]] static void add16(const uint8_t* index, int64_t rows, float* sums, Pick pick) {
    for (int64_t r = 0; r < rows; r += 16) {
      const int64_t left = rows - r;
      const auto wanted = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
      const __m512i at = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(index + r)));
      const __m512 sum = _mm512_maskz_loadu_ps(wanted, sums + r);
      _mm512_mask_storeu_ps(sums + r, wanted, _mm512_add_ps(sum, pick(at)));
    }
  }
  template <class Pick>
  [[gnu::always_inline]] static void add8(const uint8_t* index, int64_t rows, double* sums, Pick pick) {
    for (int64_t r = 0; r < rows; r += 8) {
      const int64_t left = rows - r;
      const auto wanted = static_cast<__mmask8>(left >= 8 ? 0xff : (1 << left) - 1);
      const __m512i at = _mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(index + r)));
      const __m512d sum = _mm512_maskz_loadu_pd(wanted, sums + r);
      _mm512_mask_storeu_pd(sums + r, wanted, _mm512_add_pd(sum, pick(at)));
    }
  }

  static void add(const float* table, uint32_t bits, const uint8_t* index, int64_t rows, float* sums) {
    if (bits <= 4)
      add16(index, rows, sums, [&](__m512i at) { return _mm512_permutexvar_ps(at, _mm512_loadu_ps(table)); });
    else if (bits == 5) add16(index, rows, sums, [&](__m512i at) { return pick32(table, at); });
    else if (bits == 6) add16(index, rows, sums, [&](__m512i at) { return pick64(table, at); });
    else add16(index, rows, sums, [&](__m512i at) { return _mm512_i32gather_ps(at, table, 4); });
  }
  static void add(const double* table, uint32_t bits, const uint8_t* index, int64_t rows, double* sums) {
    if (bits <= 3)
      add8(index, rows, sums, [&](__m512i at) { return _mm512_permutexvar_pd(at, _mm512_loadu_pd(table)); });
    else if (bits == 4) add8(index, rows, sums, [&](__m512i at) { return pick16(table, at); });
    else if (bits == 5) add8(index, rows, sums, [&](__m512i at) { return pick32(table, at); });
    else add8(index, rows, sums, [&](__m512i at) { return _mm512_i64gather_pd(at, table, 8); });
  }
};

}  // namespace

const Kernels& avx512_kernels() {
  static constexpr Kernels kKernels = make_kernels<Avx512>();
  return kKernels;
}

}  // namespace mlcore::sliced

#endif

// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi -mbmi2.
#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/one_row_loops.h"

namespace mlcore::one_row {
namespace {

__m512i load(const void* from) { return _mm512_loadu_si512(from); }

struct Avx512 {
  static uint32_t below(uint32_t key, const uint32_t* node) {
    const __m512i keys = _mm512_set1_epi32(static_cast<int>(key));
    return static_cast<uint32_t>(__builtin_popcount(_mm512_cmpgt_epu32_mask(keys, load(node))));
  }
  static uint32_t below(uint64_t key, const uint64_t* node) {
    const __m512i keys = _mm512_set1_epi64(static_cast<int64_t>(key));
    const uint32_t low = _mm512_cmpgt_epu64_mask(keys, load(node));
    const uint32_t high = _mm512_cmpgt_epu64_mask(keys, load(node + 8));
    return static_cast<uint32_t>(__builtin_popcount(low | high << 8));
  }
};

// kRegisters: those that hold the bytes of a row.
template <int kRegisters>
void write_masks(const uint8_t* nodes, size_t count, const uint8_t* bytes, uint64_t* masks, int64_t stride) {
  __m512i byte[kRegisters];
  for (int k = 0; k < kRegisters; ++k) byte[k] = load(bytes + 64 * k);
  for (size_t i = 0; i < count; ++i, nodes += 2 * kTogether, masks += stride) {
    const __m512i place = load(nodes);
    __m512i found;
    if constexpr (kRegisters == 1) {
      found = _mm512_permutexvar_epi8(place, byte[0]);
    } else {
      found = _mm512_permutex2var_epi8(byte[0], place, byte[1]);
      if constexpr (kRegisters == 4)
        found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(place), found,
                                       _mm512_permutex2var_epi8(byte[2], place, byte[3]));
    }
    *masks = _mm512_cmpgt_epu8_mask(found, load(nodes + kTogether));
  }
}

void masks_of(const uint8_t* nodes, size_t count, const uint8_t* bytes, uint32_t byte_count, uint64_t* masks,
              int64_t stride) {
  if (byte_count <= 64) write_masks<1>(nodes, count, bytes, masks, stride);
  else if (byte_count <= 128) write_masks<2>(nodes, count, bytes, masks, stride);
  else write_masks<4>(nodes, count, bytes, masks, stride);
}

}  // namespace

const Kernels& avx512_kernels() {
  static constexpr Kernels kKernels = {
      write_bytes<Avx512, uint32_t>, write_bytes<Avx512, uint64_t>, masks_of, nullptr, {0.7f, 0}};
  return kKernels;
}

}  // namespace mlcore::one_row

#endif

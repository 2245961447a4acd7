// When an integer is exactly a number of a float type, and what a half is. Integer arithmetic only, so that
// neither rounding mode nor flush-to-zero can change an answer; constexpr, so that a compiler for GPUs may
// take it too.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "base/types.h"

namespace mlcore {

// Bits of significand of a float kind: every integer of magnitude up to 2^bits is exact.
constexpr int significand_bits(Kind kind) {
  return kind == Kind::float64 ? 53 : kind == Kind::float32 ? 24 : 11;
}

template <class Int>
constexpr uint64_t magnitude(Int value) {
  if constexpr (std::is_signed_v<Int>) {
    const auto wide = static_cast<uint64_t>(static_cast<int64_t>(value));
    return value < 0 ? ~wide + 1 : wide;
  } else {
    return static_cast<uint64_t>(value);
  }
}

template <class Int>
constexpr bool exact_in_float(Int value, Kind kind) {
  const uint64_t size = magnitude(value);
  if (size == 0) return true;
  if (kind == Kind::float16 && size > 65504) return false;
  const uint64_t lowest_bit = size & (~size + 1);
  return size / lowest_bit < uint64_t{1} << significand_bits(kind);
}

constexpr float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  uint32_t exponent = (half >> 10) & 31u, fraction = half & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  if (exponent == 0 && fraction == 0) return std::bit_cast<float>(sign);
  if (exponent == 0)  // brings the first bit to position 10
    for (exponent = 1; (fraction & 0x400u) == 0; fraction <<= 1) --exponent;
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | ((fraction & 0x3ffu) << 13));
}

}  // namespace mlcore

// When a number of one type is exactly a number of another. Integer arithmetic only, so that neither rounding
// mode nor flush-to-zero can change an answer.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
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
  return size >> std::countr_zero(size) < uint64_t{1} << significand_bits(kind);
}

constexpr float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 31u;
  uint32_t fraction = half & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  if (fraction == 0) return std::bit_cast<float>(sign);
  const auto shift =
      static_cast<uint32_t>(std::countl_zero(fraction)) - 21;  // brings the first bit to position 10
  fraction = (fraction << shift) & 0x3ffu;
  return std::bit_cast<float>(sign | ((113 - shift) << 23) | (fraction << 13));
}

// Whether a finite or non-finite double is a number of `kind`; NaN is one of each.
bool exact_in_float(double value, Kind kind);

// `width` bytes (4, 8, 16 or 32) of little-endian two's complement, times 10^-scale. False: no double equals
// it.
bool decimal_to_double(const void* bytes, int width, int32_t scale, double& out);
std::string decimal_text(const void* bytes, int width, int32_t scale);

}  // namespace mlcore

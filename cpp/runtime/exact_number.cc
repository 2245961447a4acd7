#include "runtime/exact_number.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/status.h"

namespace mlcore {
namespace {

// A decimal's magnitude in 64-bit limbs, least significant first.
struct Wide {
  std::array<uint64_t, 4> limbs{};
  bool negative = false;

  Wide(const void* bytes, int width) {
    const auto* source = static_cast<const unsigned char*>(bytes);
    negative = (source[width - 1] & 0x80) != 0;
    limbs.fill(negative ? ~uint64_t{0} : 0);
    std::memcpy(limbs.data(), source, static_cast<size_t>(width));
    if (!negative) return;
    uint64_t carry = 1;
    for (uint64_t& limb : limbs) {
      limb = ~limb + carry;
      carry = carry != 0 && limb == 0 ? 1 : 0;
    }
  }

  bool zero() const { return (limbs[0] | limbs[1] | limbs[2] | limbs[3]) == 0; }

  // Divides in place and returns the remainder.
  uint64_t divide(uint64_t divisor) {
    unsigned __int128 rest = 0;
    for (size_t i = limbs.size(); i-- > 0;) {
      rest = (rest << 64) | limbs[i];
      limbs[i] = static_cast<uint64_t>(rest / divisor);
      rest %= divisor;
    }
    return static_cast<uint64_t>(rest);
  }

  // Drops trailing zero bits; returns how many.
  int strip() {
    int dropped = 0;
    while (limbs[0] == 0) {
      limbs = {limbs[1], limbs[2], limbs[3], 0};
      dropped += 64;
    }
    const int shift = std::countr_zero(limbs[0]);
    if (shift == 0) return dropped;
    for (size_t i = 0; i < 3; ++i) limbs[i] = (limbs[i] >> shift) | (limbs[i + 1] << (64 - shift));
    limbs[3] >>= shift;
    return dropped + shift;
  }
};

}  // namespace

bool exact_in_float(double value, Kind kind) {
  if (kind == Kind::float64) return true;
  const auto bits = std::bit_cast<uint64_t>(value);
  const int exponent = static_cast<int>((bits >> 52) & 0x7ff);
  const uint64_t fraction = bits & ((uint64_t{1} << 52) - 1);
  if (exponent == 0x7ff) return true;
  if (exponent == 0) return fraction == 0;  // a double's subnormals lie far below float32's smallest number
  const uint64_t whole = fraction | (uint64_t{1} << 52);
  const int zeros = std::countr_zero(whole);
  const int lowest = exponent - 1075 + zeros;  // power of two of the last set bit
  const int highest = exponent - 1023;         // and of the first
  const int smallest = kind == Kind::float32 ? -149 : -24;
  const int largest = kind == Kind::float32 ? 127 : 15;
  return highest <= largest && lowest >= smallest && highest - lowest < significand_bits(kind);
}

bool decimal_to_double(const void* bytes, int width, int32_t scale, double& out) {
  constexpr uint64_t kLimit = uint64_t{1} << 53;
  Wide value(bytes, width);
  out = 0.0;
  if (value.zero()) return true;
  // value * 10^-scale = value * 5^-scale * 2^-scale: only the power of five decides
  for (int32_t i = 0; i < scale; ++i)
    if (value.divide(5) != 0) return false;
  int exponent = value.strip();
  if ((value.limbs[1] | value.limbs[2] | value.limbs[3]) != 0 || value.limbs[0] >= kLimit) return false;
  uint64_t odd = value.limbs[0];
  for (int32_t i = scale; i < 0; ++i) {
    odd *= 5;
    if (odd >= kLimit) return false;
  }
  exponent -= scale;
  out = std::ldexp(static_cast<double>(odd), exponent);
  if (value.negative) out = -out;
  return true;
}

std::string decimal_text(const void* bytes, int width, int32_t scale) {
  Wide value(bytes, width);
  std::string digits;
  do digits.insert(digits.begin(), static_cast<char>('0' + value.divide(10)));
  while (!value.zero());
  const std::string sign = value.negative ? "-" : "";
  if (scale <= 0)
    return scale == 0 ? sign + digits : sign + digits + "e" + text(-static_cast<int64_t>(scale));
  if (scale > 80) return sign + digits + "e-" + text(static_cast<int64_t>(scale));
  const auto point = static_cast<size_t>(scale);
  if (digits.size() <= point) digits.insert(0, point + 1 - digits.size(), '0');
  return sign + digits.insert(digits.size() - point, ".");
}

}  // namespace mlcore

// exp of a float as NumPy computes it, for the links whose source calls np.exp on float32 arrays.
//
// NumPy's loop is a rational approximation in float32 that is up to 2.6 ULP from the true value, so a
// correctly rounded exp would leave sums of many of them more than 4 ULP away. The bits are NumPy's own
// wherever its loop is vectorised (x86-64 with AVX2 or wider; compared on every third float32 with 1e-12 <=
// |x| <= 110: none differs); on older machines NumPy takes the C library's exp. Needs round to nearest.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace mlcore {

// a * b + c rounded once. The product of two floats is exact in double; rounding the sum to odd keeps what
// the second rounding must know (Boldo and Melquiond 2008).
constexpr float fused_multiply_add(float a, float b, float c) {
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = static_cast<double>(c);
  const double sum = product + addend;
  const double part = sum - product;
  const double error = (product - (sum - part)) + (addend - part);
  const auto bits = std::bit_cast<uint64_t>(sum);
  if (error == 0.0 || (bits & 1u) != 0) return static_cast<float>(sum);
  return static_cast<float>(std::bit_cast<double>((error > 0.0) == (sum > 0.0) ? bits + 1 : bits - 1));
}

constexpr float numpy_exp(float x) {
  constexpr float kLog2E = 1.44269504088896340736f;
  constexpr float kRoundShift = 0x1.8p23f;
  constexpr float kLn2High = -6.93145752e-1f;
  constexpr float kLn2Low = -1.42860677e-6f;
  constexpr float kNumerator[] = {5.082762527590693718096e-04f, 6.757896990527504603057e-03f,
                                  5.114512081637298353406e-02f, 2.473615434895520810817e-01f,
                                  7.257664613233124478488e-01f, 9.999999999980870924916e-01f};
  constexpr float kDenominator[] = {2.159509375685829852307e-02f, -2.742335390411667452936e-01f, 1.0f};
  if (x != x) return x;
  if (x >= 88.72283935546875f) return std::numeric_limits<float>::infinity();
  if (x <= -103.97208404541015625f) return 0.0f;
  const float power = (x * kLog2E + kRoundShift) - kRoundShift;
  const float rest = fused_multiply_add(power, kLn2Low, fused_multiply_add(power, kLn2High, x));
  float numerator = kNumerator[0];
  for (int i = 1; i < 6; ++i) numerator = fused_multiply_add(numerator, rest, kNumerator[i]);
  float denominator = kDenominator[0];
  for (int i = 1; i < 3; ++i) denominator = fused_multiply_add(denominator, rest, kDenominator[i]);
  const auto scale = std::bit_cast<double>(static_cast<uint64_t>(static_cast<int64_t>(power) + 1023) << 52);
  // scaled in double, so that a subnormal result is rounded once
  return static_cast<float>(static_cast<double>(numerator / denominator) * scale);
}

}  // namespace mlcore

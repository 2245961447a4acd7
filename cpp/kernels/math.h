// exp, log and their kin: the core's own, so that every machine, ISA and thread gives the same bits.
//
// Contract: IEEE double, round to nearest; at most 1 ULP from the true value (tests/test_math.py measures
// it); NaN, infinities, signed zeros and subnormals as in C99 annex F. Only + - * / and bit operations are
// used, in a fixed order, without fused multiply-add, so results cannot depend on the compiler's choice of
// instructions. Everything is branch-free on purpose: loops over arrays vectorise, and vector and scalar
// code agree bit for bit. float32 callers compute in double and round once.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace mlcore::math {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// An unevaluated sum hi + lo with |lo| <= ulp(hi) / 2 or so.
struct Pair {
  double hi;
  double lo;
};

// Constants as hi + lo. kLn2.hi and kLog10Of2.hi end in zero bits, so that their products with an exponent
// are exact; the others are rounded to nearest.
inline constexpr Pair kLn2{0x1.62e42ffp-1, -0x1.718432a1b0e26p-35};
inline constexpr Pair kLn2Rounded{0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
inline constexpr Pair kInvLn2{0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56};
inline constexpr Pair kInvLn10{0x1.bcb7b1526e50ep-2, 0x1.95355baaafad3p-57};
inline constexpr Pair kLog10Of2{0x1.34413509f78p-2, 0x1.fef311f12b358p-46};

inline constexpr double kRoundShift = 0x1.8p52;  // x + shift - shift rounds |x| < 2^51 to an integer

constexpr uint64_t bits(double x) { return std::bit_cast<uint64_t>(x); }
constexpr double from_bits(uint64_t x) { return std::bit_cast<double>(x); }
constexpr double absolute(double x) { return from_bits(bits(x) & 0x7fffffffffffffffu); }
constexpr double with_sign_of(double magnitude, double sign) {
  return from_bits((bits(magnitude) & 0x7fffffffffffffffu) | (bits(sign) & 0x8000000000000000u));
}

// Exact a + b; needs |a| >= |b| or a == 0.
constexpr Pair fast_two_sum(double a, double b) {
  const double s = a + b;
  return {s, b - (s - a)};
}
// Exact a + b.
constexpr Pair two_sum(double a, double b) {
  const double s = a + b;
  const double v = s - a;
  return {s, (a - (s - v)) + (b - v)};
}
// Exact a * b for |a|, |b| < 2^990 whose product does not underflow (Dekker 1971).
constexpr Pair two_product(double a, double b) {
  constexpr double kSplit = 0x1p27 + 1.0;
  const double ca = kSplit * a, cb = kSplit * b;
  const double ah = ca - (ca - a), bh = cb - (cb - b);
  const double al = a - ah, bl = b - bh;
  const double p = a * b;
  return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

// 2^k for an integral k in [-1022, 1023].
constexpr double power_of_two(double k) { return from_bits((bits(k + kRoundShift) + 1023) << 52); }

// y * 2^k for an integral k in [-1100, 1100]: two factors, so that the last product alone can round or
// overflow.
constexpr double scale(double y, double k) {
  const double half = (k * 0.5 + kRoundShift) - kRoundShift;
  return y * power_of_two(half) * power_of_two(k - half);
}

// x clamped to [low, high]; NaN stays NaN.
constexpr double clamped(double x, double low, double high) {
  const double a = x < low ? low : x;
  return a > high ? high : a;
}

// Sum of r^n / n! for n >= 3, divided by r^3; |r| <= ln(2) / 2, truncation below 2^-63.
constexpr double exp_tail(double r) {
  const double r2 = r * r;
  const double r4 = r2 * r2;
  const double a = (1.0 / 6.0 + r * (1.0 / 24.0)) + r2 * (1.0 / 120.0 + r * (1.0 / 720.0));
  const double b = (1.0 / 5040.0 + r * (1.0 / 40320.0)) + r2 * (1.0 / 362880.0 + r * (1.0 / 3628800.0));
  const double c =
      (1.0 / 39916800.0 + r * (1.0 / 479001600.0)) + r2 * (1.0 / 6227020800.0 + r * (1.0 / 87178291200.0));
  return a + r4 * (b + r4 * c);
}

// x = k ln 2 + r.hi + r.lo with |r| <= ln(2) / 2; |x| < 1100.
struct Reduced {
  double k;
  Pair r;
};
constexpr Reduced reduce(double x) {
  const double k = (x * kInvLn2.hi + kRoundShift) - kRoundShift;
  const double high = x - k * kLn2.hi;
  const double low = k * kLn2.lo;
  const double r = high - low;
  return {k, {r, (high - r) - low}};
}

// exp(r) for a reduced argument; the square is exact, so that nearly every result is the correctly rounded
// one.
constexpr double exp_reduced(const Pair& r) {
  const Pair square = two_product(r.hi, r.hi);
  const Pair one = fast_two_sum(1.0, r.hi);
  const Pair sum = fast_two_sum(one.hi, 0.5 * square.hi);
  const double tail = 0.5 * square.lo + (square.hi * r.hi * exp_tail(r.hi) + (r.lo + r.lo * r.hi));
  return sum.hi + (sum.lo + (one.lo + tail));
}

constexpr double exp(double x) {
  const Reduced a = reduce(clamped(x, -750.0, 720.0));
  return scale(exp_reduced(a.r), a.k);
}

constexpr double exp2(double x) {
  const double y = clamped(x, -1080.0, 1030.0);
  const double k = (y + kRoundShift) - kRoundShift;
  const double f = y - k;
  const Pair p = two_product(f, kLn2Rounded.hi);
  return scale(exp_reduced({p.hi, p.lo + f * kLn2Rounded.lo}), k);
}

// (exp(x) - 1) / 2 as an unevaluated sum for 2^-54 <= |x| <= 710, relative error below 2^-58. Halved, because
// 2^k does not exist for the largest arguments.
constexpr Pair half_expm1(double x) {
  const Reduced a = reduce(x);
  const double r = a.r.hi;
  const Pair square = two_product(r, r);
  const Pair sum = fast_two_sum(r, 0.5 * square.hi);
  const double rest = 0.5 * square.lo + (square.hi * r * exp_tail(r) + (a.r.lo + a.r.lo * r));
  const Pair p = fast_two_sum(sum.hi, sum.lo + rest);
  const double power = power_of_two(a.k - 1.0);
  const Pair base = two_sum(power, -0.5);
  const Pair total = two_sum(base.hi, power * p.hi);
  return {total.hi, total.lo + (base.lo + power * p.lo)};
}

constexpr double expm1(double x) {
  const Pair half = half_expm1(clamped(x, -60.0, 710.0));
  const double y = 2.0 * (half.hi + half.lo);
  return absolute(x) < 0x1p-54 ? x : y;
}

constexpr double tanh(double x) {
  const Pair h = half_expm1(clamped(2.0 * absolute(x), -60.0, 44.0));
  const Pair d = two_sum(h.hi, 1.0);
  const double d_low = d.lo + h.lo;
  const double q = h.hi / d.hi;
  const Pair back = two_product(q, d.hi);
  const double y = q + (((h.hi - back.hi) - back.lo) + (h.lo - q * d_low)) / d.hi;
  return absolute(x) < 0x1p-28 ? x : with_sign_of(y, x);
}

// scipy.special.expit (xsf/log_exp.h): this very expression, in double.
constexpr double expit(double x) { return 1.0 / (1.0 + exp(-x)); }

// The same in float32: the library overflows at exp(89), so its float32 steps are kept.
constexpr float expit(float x) { return 1.0f / (1.0f + static_cast<float>(exp(-static_cast<double>(x)))); }

// log(1 + f + f_low) as an unevaluated sum, for 1 + f in [sqrt(1/2), sqrt(2)) and |f_low| below ulp(1 + f).
// With s = f / (2 + f): log(1 + f) = f - f^2/2 + s (f^2/2 + R), R = 2/3 s^2 + 2/5 s^4 + ..., truncation below
// 2^-60.
constexpr Pair log_pair(double f, double f_low) {
  const double s = f / (2.0 + f);
  const double z = s * s;
  const double w = z * z;
  const double odd = 2.0 / 3.0 + w * (2.0 / 7.0 + w * (2.0 / 11.0 + w * (2.0 / 15.0 + w * (2.0 / 19.0))));
  const double even = 2.0 / 5.0 + w * (2.0 / 9.0 + w * (2.0 / 13.0 + w * (2.0 / 17.0 + w * (2.0 / 21.0))));
  const Pair square = two_product(f, f);
  const double half_square = 0.5 * square.hi;
  const Pair sum = fast_two_sum(f, -half_square);
  const double tail = s * (half_square + z * (odd + z * even));
  return fast_two_sum(sum.hi, sum.lo + (tail + (f_low / (1.0 + f) - 0.5 * square.lo)));
}

// x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), for a positive normal x.
struct Split {
  double k;
  double f;
};
constexpr Split split(double x) {
  constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcd;
  const uint64_t shifted = bits(x) + (0x3ff0000000000000u - kSqrtHalf);
  const double k = from_bits((shifted >> 52) | bits(0x1p52)) - (0x1p52 + 1023.0);
  return {k, from_bits((shifted & 0x000fffffffffffffu) + kSqrtHalf) - 1.0};
}

// Results of a logarithm at its edges; `y` elsewhere.
constexpr double log_edges(double x, double y) {
  const double a = x > 0.0 ? y : (x == 0.0 ? -kInfinity : kNaN);
  return x < kInfinity ? a : x + x;
}

// log x as k and log(1 + f).
struct LogParts {
  double k;
  Pair log;
};
constexpr LogParts log_parts(double x) {
  const bool subnormal = x < 0x1p-1022;
  const Split a = split(subnormal ? x * 0x1p54 : x);
  return {subnormal ? a.k - 54.0 : a.k, log_pair(a.f, 0.0)};
}

// k ln 2 + p
constexpr double log_sum(double k, const Pair& p) {
  const Pair sum = two_sum(k * kLn2.hi, p.hi);
  return sum.hi + (sum.lo + (p.lo + k * kLn2.lo));
}

constexpr double log(double x) {
  const LogParts a = log_parts(x);
  return log_edges(x, log_sum(a.k, a.log));
}

constexpr double log2(double x) {
  const LogParts a = log_parts(x);
  const Pair p = two_product(a.log.hi, kInvLn2.hi);
  const Pair sum = two_sum(a.k, p.hi);
  return log_edges(x, sum.hi + (sum.lo + (p.lo + (a.log.lo * kInvLn2.hi + a.log.hi * kInvLn2.lo))));
}

constexpr double log10(double x) {
  const LogParts a = log_parts(x);
  const Pair p = two_product(a.log.hi, kInvLn10.hi);
  const Pair sum = two_sum(a.k * kLog10Of2.hi, p.hi);
  const double low = p.lo + (a.log.lo * kInvLn10.hi + a.log.hi * kInvLn10.lo) + a.k * kLog10Of2.lo;
  return log_edges(x, sum.hi + (sum.lo + low));
}

constexpr double log1p(double x) {
  const Pair u = two_sum(1.0, x);
  const Split a = split(u.hi);
  const bool near = x > -0.29 && x < 0.41;
  const double k = near ? 0.0 : a.k;
  const double f_low = near ? 0.0 : u.lo * power_of_two(clamped(-a.k, -1022.0, 1022.0));
  const double y = log_sum(k, log_pair(near ? x : a.f, f_low));
  const double a_edge = x > -1.0 ? y : (x == -1.0 ? -kInfinity : kNaN);
  const double b_edge = x < kInfinity ? a_edge : x + x;
  return absolute(x) < 0x1p-54 ? x : b_edge;
}

// Cube root: bits divided by 3 give 5 bits, two Halley steps 45, and a last step on t cut to 26 bits (t * t
// is then exact) leaves an error of 2/3 ULP.
constexpr double cbrt(double x) {
  const double a = absolute(x);
  const bool small = a < 0x1p-900, large = a > 0x1p900;
  const double m = a * (small ? 0x1p300 : (large ? 0x1p-300 : 1.0));
  const uint64_t third = ((bits(m) >> 32) * 0x55555556u) >> 32;  // of the high half, exact
  double t = from_bits((third << 32) + 0x2a9f789300000000u);
  for (int step = 0; step < 2; ++step) {
    const double cube = t * t * t;
    t = t * ((cube + 2.0 * m) / (2.0 * cube + m));
  }
  t = from_bits(bits(t) & 0xfffffffff8000000u);
  const double r = m / (t * t);
  const double root = t + t * ((r - t) / (2.0 * t + r));
  const double y = with_sign_of(root * (small ? 0x1p-100 : (large ? 0x1p100 : 1.0)), x);
  return a < kInfinity && a != 0.0 ? y : x + x;
}

}  // namespace mlcore::math

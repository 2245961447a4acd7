// Edges of the core's own functions, and bits that no compiler, instruction set or vector width may change.
#include <bit>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/math.h"
#include "kernels/rounding.h"

namespace {

namespace own = mlcore::math;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kMax = std::numeric_limits<double>::max();
constexpr double kTiniest = std::numeric_limits<double>::denorm_min();

using Function = double (*)(double);

uint64_t bits(double x) { return std::bit_cast<uint64_t>(x); }

void check(Function f, double x, double expected) {
  const double got = f(x);
  BOOST_TEST(bits(got) == bits(expected), "f(" << x << ") is " << got << ", not " << expected);
}
void check_nan(Function f, double x) { BOOST_TEST(std::isnan(f(x)), "f(" << x << ") is not NaN"); }

// Numbers of all sizes, the same everywhere: a 64-bit congruential generator's bits.
std::vector<double> numbers(double low, double high, size_t count) {
  std::vector<double> out(count);
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (double& x : out) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x = low + (high - low) * (static_cast<double>(state >> 11) * 0x1p-53);
  }
  return out;
}

uint64_t digest(const std::vector<double>& values) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (double x : values) hash = (hash ^ bits(x)) * 0x100000001b3u;
  return hash;
}

// In a loop the compiler vectorises, and one by one through a pointer it cannot see through.
template <class F>
uint64_t digest_both_ways(const F& f, double low, double high) {
  const std::vector<double> x = numbers(low, high, 4096);
  std::vector<double> loop(x.size()), single(x.size());
  for (size_t i = 0; i < x.size(); ++i) loop[i] = f(x[i]);
  volatile Function hidden = f;
  for (size_t i = 0; i < x.size(); ++i) single[i] = hidden(x[i]);
  BOOST_TEST(digest(loop) == digest(single));
  return digest(loop);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(math)

BOOST_AUTO_TEST_CASE(edges_of_exp) {
  for (const Function f : {Function(own::exp), Function(own::exp2)}) {
    check(f, 0.0, 1.0);
    check(f, -0.0, 1.0);
    check(f, kTiniest, 1.0);
    check(f, -1e-300, 1.0);
    check(f, kInf, kInf);
    check(f, -kInf, 0.0);
    check(f, kMax, kInf);
    check(f, -kMax, 0.0);
    check_nan(f, std::nan(""));
  }
  check(own::exp, 0x1.62e42fefa39efp+9, 0x1.fffffffffff2ap+1023);
  check(own::exp, 0x1.62e42fefa39f0p+9, kInf);
  check(own::exp, -0x1.74910d52d3051p+9, kTiniest);
  check(own::exp, -0x1.74910d52d3052p+9, 0.0);
  check(own::exp2, 1023.0, 0x1p1023);
  check(own::exp2, 1024.0, kInf);
  check(own::exp2, -1074.0, kTiniest);
  check(own::exp2, -1076.0, 0.0);
  check(own::exp2, -1022.0, 0x1p-1022);
}

BOOST_AUTO_TEST_CASE(edges_of_expm1_and_tanh) {
  for (const Function f : {Function(own::expm1), Function(own::tanh)}) {
    check(f, 0.0, 0.0);
    check(f, -0.0, -0.0);
    check(f, kTiniest, kTiniest);
    check(f, -kTiniest, -kTiniest);
    check(f, 0x1p-60, 0x1p-60);
    check(f, -kInf, -1.0);
    check(f, -kMax, -1.0);
    check_nan(f, std::nan(""));
  }
  check(own::expm1, kInf, kInf);
  check(own::expm1, 710.0, kInf);
  check(own::expm1, -50.0, -1.0);
  check(own::tanh, kInf, 1.0);
  check(own::tanh, 20.0, 1.0);
  check(own::tanh, -20.0, -1.0);
}

BOOST_AUTO_TEST_CASE(edges_of_logarithms) {
  for (const Function f : {Function(own::log), Function(own::log2), Function(own::log10)}) {
    check(f, 1.0, 0.0);
    check(f, 0.0, -kInf);
    check(f, -0.0, -kInf);
    check(f, kInf, kInf);
    check_nan(f, -kTiniest);
    check_nan(f, -kInf);
    check_nan(f, std::nan(""));
  }
  for (int k = -1074; k <= 1023; ++k) check(own::log2, std::ldexp(1.0, k), k);
  double power = 1.0;
  for (int k = 0; k <= 22; ++k, power *= 10.0) check(own::log10, power, k);
  check(own::log1p, 0.0, 0.0);
  check(own::log1p, -0.0, -0.0);
  check(own::log1p, kTiniest, kTiniest);
  check(own::log1p, -0x1p-80, -0x1p-80);
  check(own::log1p, -1.0, -kInf);
  check(own::log1p, kInf, kInf);
  check_nan(own::log1p, -1.0000000000000002);
  check_nan(own::log1p, -kInf);
  check_nan(own::log1p, std::nan(""));
}

BOOST_AUTO_TEST_CASE(edges_of_cbrt) {
  check(own::cbrt, 0.0, 0.0);
  check(own::cbrt, -0.0, -0.0);
  check(own::cbrt, kInf, kInf);
  check(own::cbrt, -kInf, -kInf);
  check_nan(own::cbrt, std::nan(""));
  for (int k = -358; k <= 341; ++k) check(own::cbrt, std::ldexp(1.0, 3 * k), std::ldexp(1.0, k));
  for (int k = 1; k <= 1000; ++k) check(own::cbrt, -double(k) * k * k, -k);
  check(own::cbrt, kMax, 5.643803094122362e102);
}

BOOST_AUTO_TEST_CASE(edges_of_expit) {
  const auto expit = Function(own::expit);
  check(expit, 0.0, 0.5);
  check(expit, kInf, 1.0);
  check(expit, -kInf, 0.0);
  check_nan(expit, std::nan(""));
  BOOST_TEST(own::expit(-89.0f) == 0.0f);  // exp(89) overflows in the library's float32
  BOOST_TEST(own::expit(-88.0f) > 0.0f);
}

BOOST_AUTO_TEST_CASE(rounding_keeps_signs_and_large_numbers) {
  const double halves[] = {0.0,          0.5,        1.0,        1.5,  2.5,  0x1p51 + 0.5,
                           0x1p52 - 0.5, 0x1p52 + 1, 0x1p53 + 2, kMax, kInf, 0.49999999999999994,
                           kTiniest};
  for (double x : halves) {
    for (double y : {x, -x}) {
      check(own::rint<double>, y, std::nearbyint(y));
      check(own::floor<double>, y, std::floor(y));
      check(own::ceil<double>, y, std::ceil(y));
      check(own::trunc<double>, y, std::trunc(y));
      const auto single = static_cast<float>(y);
      BOOST_TEST(std::bit_cast<uint32_t>(own::rint(single)) ==
                 std::bit_cast<uint32_t>(std::nearbyint(single)));
      BOOST_TEST(std::bit_cast<uint32_t>(own::floor(single)) == std::bit_cast<uint32_t>(std::floor(single)));
    }
  }
  check_nan(own::rint<double>, std::nan(""));
  check_nan(own::floor<double>, std::nan(""));
}

// Recorded once. A difference means that somebody's numbers would change: never re-record without a new
// artifact version.
BOOST_AUTO_TEST_CASE(bits_are_the_same_everywhere) {
  BOOST_TEST(digest_both_ways([](double x) { return own::exp(x); }, -750, 715) == 0x8cb108753e1f8b04u);
  BOOST_TEST(digest_both_ways([](double x) { return own::exp2(x); }, -1080, 1025) == 0xcfb4611f9806e8c6u);
  BOOST_TEST(digest_both_ways([](double x) { return own::expm1(x); }, -40, 40) == 0xdbf24d244fddd014u);
  BOOST_TEST(digest_both_ways([](double x) { return own::tanh(x); }, -21, 21) == 0x8ae5c18394246af4u);
  BOOST_TEST(digest_both_ways([](double x) { return own::expit(x); }, -700, 40) == 0x5e820ccda4e50560u);
  BOOST_TEST(digest_both_ways([](double x) { return own::log(x); }, 0, 4) == 0xc25dbadb74e45acfu);
  BOOST_TEST(digest_both_ways([](double x) { return own::log2(x); }, 0, 1e300) == 0x4e0a0383d39477e9u);
  BOOST_TEST(digest_both_ways([](double x) { return own::log10(x); }, 0, 1e-300) == 0xdd44def8c604bca0u);
  BOOST_TEST(digest_both_ways([](double x) { return own::log1p(x); }, -0.999, 7) == 0x2e691262ffe78f8du);
  BOOST_TEST(digest_both_ways([](double x) { return own::cbrt(x); }, -1e4, 1e4) == 0x8e32e9e341127fcfu);
}

BOOST_AUTO_TEST_SUITE_END()

// floor, ceil, trunc and rint without libm and without SSE4.1; exact, zero keeps the sign of the argument.
#pragma once

#include <limits>
#include <type_traits>

namespace mlcore::math {

// Adding and taking away 2^(digits - 1) rounds a smaller magnitude to the nearest integer, ties to even.
template <class T>
constexpr T kIntegral = T{1} / std::numeric_limits<T>::epsilon();

template <class T>
constexpr T copy_sign(T magnitude, T sign) {
  if constexpr (std::is_same_v<T, double>) return __builtin_copysign(magnitude, sign);
  else return __builtin_copysignf(magnitude, sign);
}
template <class T>
constexpr T magnitude(T x) {
  if constexpr (std::is_same_v<T, double>) return __builtin_fabs(x);
  else return __builtin_fabsf(x);
}
template <class T>
constexpr T square_root(T x) {
  if constexpr (std::is_same_v<T, double>) return __builtin_sqrt(x);
  else return __builtin_sqrtf(x);
}

template <class T>
constexpr T rint(T x) {
  const T a = magnitude(x);
  const T nearest = (a + kIntegral<T>)-kIntegral<T>;
  return a < kIntegral<T> ? copy_sign(nearest, x) : x;
}
template <class T>
constexpr T floor(T x) {
  const T nearest = math::rint(x);
  return nearest > x ? nearest - T{1} : nearest;
}
template <class T>
constexpr T ceil(T x) {
  const T nearest = math::rint(x);
  return nearest < x ? copy_sign(nearest + T{1}, x) : nearest;
}
template <class T>
constexpr T trunc(T x) {
  const T a = magnitude(x);
  const T nearest = (a + kIntegral<T>)-kIntegral<T>;
  const T down = nearest > a ? nearest - T{1} : nearest;
  return a < kIntegral<T> ? copy_sign(down, x) : x;
}

}  // namespace mlcore::math

// Functions of one number, as classes with one static `apply`. Constexpr, so that a compiler for GPUs may
// take them too.
#pragma once

#include <type_traits>

#include "kernels/math.h"
#include "kernels/rounding.h"

namespace mlcore::unary {

// A tolerance function in double, rounded once for float32.
template <double (*kFunction)(double)>
struct Rounded {
  template <class T>
  static constexpr T apply(T x) {
    return static_cast<T>(kFunction(static_cast<double>(x)));
  }
};

struct Abs {
  template <class T>
  static constexpr T apply(T x) {
    return math::magnitude(x);
  }
};
struct Negative {
  template <class T>
  static constexpr T apply(T x) {
    return -x;
  }
};
struct Square {
  template <class T>
  static constexpr T apply(T x) {
    return x * x;
  }
};
struct Sqrt {
  template <class T>
  static constexpr T apply(T x) {
    return math::square_root(x);
  }
};
struct Reciprocal {
  template <class T>
  static constexpr T apply(T x) {
    return T{1} / x;
  }
};
struct Sign {  // NumPy: a zero of either sign gives +0, NaN stays NaN
  template <class T>
  static constexpr T apply(T x) {
    return x > T{0} ? T{1} : (x < T{0} ? T{-1} : (x == T{0} ? T{0} : x));
  }
};
struct Floor {
  template <class T>
  static constexpr T apply(T x) {
    return math::floor(x);
  }
};
struct Ceil {
  template <class T>
  static constexpr T apply(T x) {
    return math::ceil(x);
  }
};
struct Trunc {
  template <class T>
  static constexpr T apply(T x) {
    return math::trunc(x);
  }
};
struct Rint {
  template <class T>
  static constexpr T apply(T x) {
    return math::rint(x);
  }
};
struct Expit {
  template <class T>
  static constexpr T apply(T x) {
    return math::expit(x);
  }
};
using Exp = Rounded<math::exp>;
using Exp2 = Rounded<math::exp2>;
using Expm1 = Rounded<math::expm1>;
using Log = Rounded<math::log>;
using Log2 = Rounded<math::log2>;
using Log10 = Rounded<math::log10>;
using Log1p = Rounded<math::log1p>;
using Tanh = Rounded<math::tanh>;
using Cbrt = Rounded<math::cbrt>;

}  // namespace mlcore::unary

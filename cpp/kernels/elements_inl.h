// Functions of one number that steps are made of on a device, and how a chain of them is applied to a number
// that stays in a register. Constexpr, so that a compiler for GPUs may take them too. Links, bins and
// functions of math.h are the CPU's own; the rest are its loops' formulas, held to them by
// tests/cpp/test_device.cc.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "kernels/edges_inl.h"
#include "kernels/link_inl.h"
#include "kernels/unary_inl.h"

namespace mlcore::device {

enum class ElementFn : uint8_t {
  cast,
  // a: value, of type `constant`, in which the result is computed
  add,
  sub,
  mul,
  div,
  rsub,
  rdiv,
  clip,          // a: lo, b: hi
  binarize,      // number
  above,         // a: cut
  at_least,      // a: cut
  fill_missing,  // a: value
  fill_value,    // a: value, b: what is looked for
  is_missing,
  is_value,   // a: what is looked for
  bin_right,  // a: f64 edges of all columns, b: i64 offsets
  bin_left,
  interp,  // a: x, b: y, of type `constant`; count
  forbid,  // flags: kForbidNaN, kForbidInfinity
  range,   // a: low, b: high, c: u8 whether missing is allowed
  // unary
  abs,
  negative,
  square,
  sqrt,
  reciprocal,
  sign,
  floor,
  ceil,
  trunc,
  rint,
  exp,
  exp2,
  expm1,
  log,
  log2,
  log10,
  log1p,
  tanh,
  expit,
  cbrt,
  // links; number: scale
  xgb_sigmoid,
  xgb_hinge,
  exp_once,   // exp rounded once
  numpy_exp,  // NumPy's own in float32
  lgb_sigmoid,
  lgb_sqrt,
  lgb_xentlambda,
  scaled_expit,
};

inline constexpr int64_t kForbidNaN = 1, kForbidInfinity = 2;

// One function with its constants: of a column where the step is 1, else the same for all.
struct Element {
  ElementFn fn;
  DType in, out, constant;
  uint8_t a_step, b_step, c_step;
  const void *a, *b, *c;
  int64_t a_count, b_count, c_count;
  int64_t count;  // elements of a table, or flags
  double number;
};

union Number {
  double f64;
  float f32;
  int64_t i64;
  int32_t i32;
};

template <class T>
constexpr T get(const Number& number) {
  if constexpr (std::is_same_v<T, double>) return number.f64;
  else if constexpr (std::is_same_v<T, float>) return number.f32;
  else if constexpr (std::is_same_v<T, int64_t>) return number.i64;
  else return number.i32;
}
template <class T>
constexpr Number number_of(T value) {
  if constexpr (std::is_same_v<T, double>) return {.f64 = value};
  else if constexpr (std::is_same_v<T, float>) return {.f32 = value};
  else if constexpr (std::is_same_v<T, int64_t>) return {.i64 = value};
  else return {.i32 = value};
}

constexpr Number load(const void* data, DType type, int64_t at) {
  switch (type) {
    case DType::f64: return number_of(static_cast<const double*>(data)[at]);
    case DType::f32: return number_of(static_cast<const float*>(data)[at]);
    case DType::i64: return number_of(static_cast<const int64_t*>(data)[at]);
    default: return number_of(static_cast<const int32_t*>(data)[at]);
  }
}
constexpr void store(void* data, DType type, int64_t at, const Number& value) {
  switch (type) {
    case DType::f64: static_cast<double*>(data)[at] = value.f64; break;
    case DType::f32: static_cast<float*>(data)[at] = value.f32; break;
    case DType::i64: static_cast<int64_t*>(data)[at] = value.i64; break;
    default: static_cast<int32_t*>(data)[at] = value.i32; break;
  }
}

// Calls `f` with a value of the C++ type of a block of numbers.
template <class F>
constexpr auto with_type(DType type, const F& f) {
  switch (type) {
    case DType::f64: return f(double{});
    case DType::f32: return f(float{});
    case DType::i64: return f(int64_t{});
    default: return f(int32_t{});
  }
}
template <class F>
constexpr auto with_float(DType type, const F& f) {
  return type == DType::f64 ? f(double{}) : f(float{});
}

template <class T>
constexpr T constant_at(const void* data, uint8_t step, int64_t column) {
  return static_cast<const T*>(data)[step != 0 ? column : 0];
}

template <class T, class C>
constexpr T arithmetic(ElementFn fn, T x, C v) {
  const C wide = static_cast<C>(x);
  switch (fn) {
    case ElementFn::add: return static_cast<T>(wide + v);
    case ElementFn::sub: return static_cast<T>(wide - v);
    case ElementFn::mul: return static_cast<T>(wide * v);
    case ElementFn::div: return static_cast<T>(wide / v);
    case ElementFn::rsub: return static_cast<T>(v - wide);
    default: return static_cast<T>(v / wide);
  }
}

constexpr bool is_arithmetic(ElementFn fn) { return fn >= ElementFn::add && fn <= ElementFn::rdiv; }
constexpr bool is_unary(ElementFn fn) { return fn >= ElementFn::abs && fn <= ElementFn::cbrt; }

template <class T>
constexpr T unary_of(ElementFn fn, T x) {
  switch (fn) {
    case ElementFn::abs: return unary::Abs::apply(x);
    case ElementFn::negative: return unary::Negative::apply(x);
    case ElementFn::square: return unary::Square::apply(x);
    case ElementFn::sqrt: return unary::Sqrt::apply(x);
    case ElementFn::reciprocal: return unary::Reciprocal::apply(x);
    case ElementFn::sign: return unary::Sign::apply(x);
    case ElementFn::floor: return unary::Floor::apply(x);
    case ElementFn::ceil: return unary::Ceil::apply(x);
    case ElementFn::trunc: return unary::Trunc::apply(x);
    case ElementFn::rint: return unary::Rint::apply(x);
    case ElementFn::exp: return unary::Exp::apply(x);
    case ElementFn::exp2: return unary::Exp2::apply(x);
    case ElementFn::expm1: return unary::Expm1::apply(x);
    case ElementFn::log: return unary::Log::apply(x);
    case ElementFn::log2: return unary::Log2::apply(x);
    case ElementFn::log10: return unary::Log10::apply(x);
    case ElementFn::log1p: return unary::Log1p::apply(x);
    case ElementFn::tanh: return unary::Tanh::apply(x);
    case ElementFn::expit: return unary::Expit::apply(x);
    default: return unary::Cbrt::apply(x);
  }
}

template <class T>
constexpr bool is_forbidden(int64_t flags, T x) {
  if (x != x) return (flags & kForbidNaN) != 0;
  return (flags & kForbidInfinity) != 0 && x - x != T{0};
}

// What a chain's function makes of a float; `refused` is set where the step refuses it.
template <class T>
constexpr Number apply_float(const Element& e, T x, int64_t column, bool& refused) {
  if (is_arithmetic(e.fn)) {
    if (e.constant == DType::f64)
      return number_of(arithmetic<T, double>(e.fn, x, constant_at<double>(e.a, e.a_step, column)));
    return number_of(arithmetic<T, float>(e.fn, x, constant_at<float>(e.a, e.a_step, column)));
  }
  if (is_unary(e.fn)) return number_of(unary_of(e.fn, x));
  switch (e.fn) {
    case ElementFn::clip: {
      const T low = constant_at<T>(e.a, e.a_step, column), high = constant_at<T>(e.b, e.b_step, column);
      const T raised = x < low ? low : x;
      return number_of(raised > high ? high : raised);
    }
    case ElementFn::binarize: return number_of(static_cast<double>(x) > e.number ? T{1} : T{0});
    case ElementFn::above: return number_of(int64_t{x > constant_at<T>(e.a, e.a_step, column)});
    case ElementFn::at_least: return number_of(int64_t{x >= constant_at<T>(e.a, e.a_step, column)});
    case ElementFn::bin_right:
    case ElementFn::bin_left: {
      const auto* offsets = static_cast<const int64_t*>(e.b) + column;
      const double* bounds = static_cast<const double*>(e.a) + offsets[0];
      const double value = static_cast<double>(x);
      const int64_t count = offsets[1] - offsets[0];
      const int64_t found =
          e.fn == ElementFn::bin_right
              ? edges::partition_point(bounds, count,
                                       [=](double edge) { return edges::is_before<true>(edge, value); })
              : edges::partition_point(bounds, count,
                                       [=](double edge) { return edges::is_before<false>(edge, value); });
      return with_type(e.out, [=](auto zero) { return number_of(static_cast<decltype(zero)>(found)); });
    }
    case ElementFn::interp:
      if (e.constant == DType::f64)
        return number_of(static_cast<T>(edges::numpy_interp(static_cast<const double*>(e.a),
                                                            static_cast<const double*>(e.b), e.count,
                                                            static_cast<double>(x))));
      return number_of(static_cast<T>(edges::scipy_interp(
          static_cast<const float*>(e.a), static_cast<const float*>(e.b), e.count, static_cast<float>(x))));
    case ElementFn::forbid: refused |= is_forbidden(e.count, x); return number_of(x);
    case ElementFn::range: {
      const T low = constant_at<T>(e.a, 1, column), high = constant_at<T>(e.b, 1, column);
      const bool missing = x != x && constant_at<uint8_t>(e.c, 1, column) != 0;
      refused |= !((x >= low && x <= high) || missing);
      return number_of(x);
    }
    case ElementFn::xgb_sigmoid: return number_of(static_cast<T>(links::xgb_sigmoid(static_cast<float>(x))));
    case ElementFn::xgb_hinge: return number_of(static_cast<T>(links::xgb_hinge(static_cast<float>(x))));
    case ElementFn::exp_once: return number_of(static_cast<T>(math::exp(static_cast<double>(x))));
    case ElementFn::numpy_exp: return number_of(static_cast<T>(numpy_exp(static_cast<float>(x))));
    case ElementFn::lgb_sigmoid:
      return number_of(static_cast<T>(links::lgb_sigmoid(static_cast<double>(x), e.number)));
    case ElementFn::lgb_sqrt: return number_of(static_cast<T>(links::lgb_sqrt(static_cast<double>(x))));
    case ElementFn::lgb_xentlambda:
      return number_of(static_cast<T>(links::lgb_xentlambda(static_cast<double>(x))));
    default: return number_of(math::expit(static_cast<T>(e.number) * x));
  }
}

// Those of a number of any type.
constexpr Number apply_element(const Element& e, const Number& number, int64_t column, bool& refused) {
  return with_type(e.in, [&](auto zero) {
    using T = decltype(zero);
    const T x = get<T>(number);
    switch (e.fn) {
      case ElementFn::cast:
        return with_type(e.out, [=](auto to) { return number_of(static_cast<decltype(to)>(x)); });
      case ElementFn::fill_missing: return number_of(x != x ? constant_at<T>(e.a, e.a_step, column) : x);
      case ElementFn::fill_value:
        return number_of(x == constant_at<T>(e.b, 0, 0) ? constant_at<T>(e.a, e.a_step, column) : x);
      case ElementFn::is_missing:
      case ElementFn::is_value: {
        const bool found = e.fn == ElementFn::is_missing ? x != x : x == constant_at<T>(e.a, 0, 0);
        return with_type(e.out, [=](auto to) { return number_of(static_cast<decltype(to)>(found)); });
      }
      default:
        if constexpr (std::is_same_v<T, double> || std::is_same_v<T, float>)
          return apply_float<T>(e, x, column, refused);
        else return number;  // no other function takes integers
    }
  });
}

}  // namespace mlcore::device

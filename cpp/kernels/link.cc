#include "kernels/link.h"

#include "kernels/math.h"
#include "kernels/numpy_exp.h"

namespace mlcore {
namespace {

float exp_f32(float x) { return static_cast<float>(math::exp(static_cast<double>(x))); }

template <class T, class F>
void each(const LinkArgs& args, const F& formula) {
  const T* in = static_cast<const T*>(args.in);
  T* out = static_cast<T*>(args.out);
  const int64_t n = args.rows * args.width;
  for (int64_t i = 0; i < n; ++i) out[i] = formula(in[i]);
}

// `formula` turns one gathered row into its result in place.
template <class T, class F>
void each_row(const LinkArgs& args, const F& formula) {
  const T* in = static_cast<const T*>(args.in);
  T* out = static_cast<T*>(args.out);
  T* row = static_cast<T*>(args.scratch);
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t c = 0; c < args.width; ++c) row[c] = in[c * args.rows + r];
    formula(row, args.width);
    for (int64_t c = 0; c < args.width; ++c) out[c * args.rows + r] = row[c];
  }
}

void xgb_sigmoid(const LinkArgs& args) {
  each<float>(args, [](float x) {
    const float limited = 88.7f < -x ? 88.7f : -x;
    return 1.0f / (exp_f32(limited) + 1.0f + 1e-16f);
  });
}

void xgb_softmax(const LinkArgs& args) {
  each_row<float>(args, [](float* x, int64_t n) {
    float top = x[0];
    for (int64_t i = 1; i < n; ++i) top = x[i] > top || top != top ? x[i] : top;  // fmaxf
    double sum = 0.0;
    for (int64_t i = 0; i < n; ++i) {
      x[i] = exp_f32(x[i] - top);
      sum += static_cast<double>(x[i]);
    }
    const float total = static_cast<float>(sum);
    for (int64_t i = 0; i < n; ++i) x[i] /= total;
  });
}

void xgb_hinge(const LinkArgs& args) {
  each<float>(args, [](float x) { return x > 0.0f ? 1.0f : 0.0f; });
}

void exp_of_f64(const LinkArgs& args) {
  each<double>(args, [](double x) { return math::exp(x); });
}
void exp_of_f32(const LinkArgs& args) {
  each<float>(args, [](float x) { return exp_f32(x); });
}
void np_exp_of_f32(const LinkArgs& args) {
  each<float>(args, [](float x) { return numpy_exp(x); });
}

void lgb_sigmoid(const LinkArgs& args) {
  const double negative_scale = -args.scale;
  each<double>(args, [=](double x) { return 1.0 / (1.0 + math::exp(negative_scale * x)); });
}

void lgb_softmax(const LinkArgs& args) {
  each_row<double>(args, [](double* x, int64_t n) {
    double top = x[0];
    for (int64_t i = 1; i < n; ++i) top = x[i] < top ? top : x[i];  // std::max(x[i], top)
    double sum = 0.0;
    for (int64_t i = 0; i < n; ++i) {
      x[i] = math::exp(x[i] - top);
      sum += x[i];
    }
    for (int64_t i = 0; i < n; ++i) x[i] /= sum;
  });
}

void lgb_sqrt(const LinkArgs& args) {
  each<double>(args, [](double x) { return ((x > 0.0 ? 1.0 : 0.0) - (x < 0.0 ? 1.0 : 0.0)) * x * x; });
}

void lgb_xentlambda(const LinkArgs& args) {
  each<double>(args, [](double x) { return math::log1p(math::exp(x)); });
}

template <class T>
void sk_expit(const LinkArgs& args) {
  const T scale = static_cast<T>(args.scale);
  each<T>(args, [=](T x) { return math::expit(scale * x); });
}

// NumPy's sum of a contiguous row (pairwise_sum in its loops): eight partial sums up to 128 elements, halves
// above.
template <class T>
T block_sum(const T* x, int64_t n) {
  if (n < 8) {
    T sum = x[0];
    for (int64_t i = 1; i < n; ++i) sum += x[i];
    return sum;
  }
  T part[8];
  for (int64_t k = 0; k < 8; ++k) part[k] = x[k];
  int64_t i = 8;
  for (; i < n - n % 8; i += 8)
    for (int64_t k = 0; k < 8; ++k) part[k] += x[i + k];
  T sum = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
  for (; i < n; ++i) sum += x[i];
  return sum;
}

// The recursion depth is at most 57: every level halves n.
template <class T>
T pairwise_sum(const T* x, int64_t n) {
  if (n <= 128) return block_sum(x, n);
  int64_t half = n / 2;
  half -= half % 8;
  return pairwise_sum(x, half) + pairwise_sum(x + half, n - half);
}

inline double np_exp(double x) { return math::exp(x); }
inline float np_exp(float x) { return numpy_exp(x); }

template <class T>
void sk_softmax(const LinkArgs& args) {
  each_row<T>(args, [](T* x, int64_t n) {
    T top = x[0];
    for (int64_t i = 1; i < n; ++i)
      top = x[i] > top || x[i] != x[i] ? x[i] : top;  // a NaN is the maximum and stays
    for (int64_t i = 0; i < n; ++i) x[i] = np_exp(x[i] - top);
    const T sum = pairwise_sum(x, n);
    for (int64_t i = 0; i < n; ++i) x[i] /= sum;
  });
}

constexpr LinkFunction kFunctions[] = {
    {"xgb_sigmoid", false, false, nullptr, xgb_sigmoid},
    {"xgb_softmax", false, false, nullptr, xgb_softmax},
    {"xgb_exp", false, false, nullptr, exp_of_f32},
    {"xgb_hinge", true, false, nullptr, xgb_hinge},
    {"lgb_sigmoid", false, true, lgb_sigmoid, nullptr},
    {"lgb_softmax", false, false, lgb_softmax, nullptr},
    {"lgb_exp", false, false, exp_of_f64, nullptr},
    {"lgb_sqrt", true, false, lgb_sqrt, nullptr},
    {"lgb_xentlambda", false, false, lgb_xentlambda, nullptr},
    {"sk_expit", false, true, sk_expit<double>, sk_expit<float>},
    {"sk_softmax", false, false, sk_softmax<double>, sk_softmax<float>},
    {"sk_exp", false, false, exp_of_f64, np_exp_of_f32},
};

}  // namespace

std::span<const LinkFunction> link_functions() { return kFunctions; }

}  // namespace mlcore

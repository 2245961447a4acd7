#include "kernels/link.h"

#include "kernels/link_inl.h"

namespace mlcore {
namespace {

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
  each<float>(args, [](float x) { return links::xgb_sigmoid(x); });
}
void xgb_softmax(const LinkArgs& args) { each_row<float>(args, links::xgb_softmax<float*>); }
void xgb_hinge(const LinkArgs& args) {
  each<float>(args, [](float x) { return links::xgb_hinge(x); });
}

void exp_of_f64(const LinkArgs& args) {
  each<double>(args, [](double x) { return math::exp(x); });
}
void exp_of_f32(const LinkArgs& args) {
  each<float>(args, [](float x) { return links::exp_f32(x); });
}
void np_exp_of_f32(const LinkArgs& args) {
  each<float>(args, [](float x) { return numpy_exp(x); });
}

void lgb_sigmoid(const LinkArgs& args) {
  each<double>(args, [scale = args.scale](double x) { return links::lgb_sigmoid(x, scale); });
}
void lgb_softmax(const LinkArgs& args) { each_row<double>(args, links::lgb_softmax<double*>); }
void lgb_sqrt(const LinkArgs& args) {
  each<double>(args, [](double x) { return links::lgb_sqrt(x); });
}
void lgb_xentlambda(const LinkArgs& args) {
  each<double>(args, [](double x) { return links::lgb_xentlambda(x); });
}

template <class T>
void sk_expit(const LinkArgs& args) {
  const T scale = static_cast<T>(args.scale);
  each<T>(args, [=](T x) { return math::expit(scale * x); });
}
template <class T>
void sk_softmax(const LinkArgs& args) {
  each_row<T>(args, links::sk_softmax<T, T*>);
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

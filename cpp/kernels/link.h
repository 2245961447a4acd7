// Inverse links: from a raw score to what predict or predict_proba returns, one entry per formula.
//
// Each keeps the steps of its source, in the source's precision; exp and log are ours (kernels/math.h), so a
// result is within 4 ULP of the library's, and usually its very bits. `scale` is 1 unless the node gives one.
//
// | fn             | block    | formula                                                           | source |
// |----------------|----------|-------------------------------------------------------------------|--------|
// | xgb_sigmoid    | f32      | 1 / (exp(min(-x, 88.7)) + 1 + 1e-16), float steps                 | 1      |
// | xgb_softmax    | f32      | exp(x - max) / float(sum in double); max ignores NaN              | 1      |
// | xgb_exp        | f32      | exp(x): poisson, gamma, tweedie, cox, aft                         | 2      |
// | xgb_hinge      | f32      | x > 0 ? 1 : 0 (exact)                                             | 3      |
// | lgb_sigmoid    | f64      | 1 / (1 + exp(-scale x)); scale is the parameter `sigmoid`         | 4      |
// | lgb_softmax    | f64      | exp(x - max) / sum, left to right                                 | 5      |
// | lgb_exp        | f64      | exp(x): poisson, gamma, tweedie                                   | 6      |
// | lgb_sqrt       | f64      | sign(x) x x: reg_sqrt (exact)                                     | 6      |
// | lgb_xentlambda | f64      | log1p(exp(x))                                                     | 7      |
// | sk_expit       | f64, f32 | 1 / (1 + exp(-(scale x))); scale 2: the half logit link           | 8      |
// | sk_softmax     | f64, f32 | exp(x - max) / sum, NumPy's pairwise sum; a NaN is the maximum    | 9      |
// | sk_exp         | f64, f32 | exp(x): the log link                                              | 10     |
//
// 1 xgboost common/math.h Sigmoid, Softmax. 2 xgboost objective/regression_obj.cu, aft_obj.cu.
// 3 xgboost objective/hinge.cu. 4 LightGBM binary_objective.hpp, multiclass_objective.hpp (ova),
// xentropy_objective.hpp. 5 LightGBM utils/common.h Softmax. 6 LightGBM regression_objective.hpp.
// 7 LightGBM xentropy_objective.hpp. 8 scipy.special.expit; sklearn _loss/link.py. 9 sklearn
// utils/extmath.py softmax. 10 sklearn _loss/link.py LogLink.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/types.h"

namespace mlcore {

// One chunk, column-major; `in` and `out` have the same shape and do not overlap. `scratch` holds one row.
struct LinkArgs {
  const void* in;
  void* out;
  int64_t rows;
  int64_t width;
  double scale;
  void* scratch;
};

struct LinkFunction {
  std::string_view name;
  bool exact;
  bool takes_scale;
  void (*f64)(const LinkArgs&);  // null: the formula does not exist in that type
  void (*f32)(const LinkArgs&);
};

std::span<const LinkFunction> link_functions();

}  // namespace mlcore

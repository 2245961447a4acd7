// Inverse links: from a raw score to what predict or predict_proba returns, one entry per formula of a library.
//
// Each keeps the steps of its source, in the source's precision; exp and log are ours (kernels/math.h), so a
// result is within 4 ULP of the library's, and usually its very bits. `scale` is 1 unless the node gives one.
//
// | fn             | block    | formula                                                   | source                              |
// |----------------|----------|-----------------------------------------------------------|-------------------------------------|
// | xgb_sigmoid    | f32      | 1 / (exp(min(-x, 88.7)) + 1 + 1e-16), float steps         | xgboost common/math.h Sigmoid       |
// | xgb_softmax    | f32      | exp(x - max) / float(sum in double), max ignores NaN      | xgboost common/math.h Softmax       |
// | xgb_exp        | f32      | exp(x): count:poisson, reg:gamma, reg:tweedie, cox, aft   | xgboost objective/regression_obj.cu |
// | xgb_hinge      | f32      | x > 0 ? 1 : 0 (exact)                                     | xgboost objective/hinge.cu          |
// | lgb_sigmoid    | f64      | 1 / (1 + exp(-scale x)); scale is the `sigmoid` parameter | LightGBM binary_objective.hpp,      |
// |                |          |                                                           | multiclass_, xentropy_objective.hpp |
// | lgb_softmax    | f64      | exp(x - max) / sum, sum left to right                     | LightGBM utils/common.h Softmax     |
// | lgb_exp        | f64      | exp(x): poisson, gamma, tweedie                           | LightGBM regression_objective.hpp   |
// | lgb_sqrt       | f64      | sign(x) x x: reg_sqrt (exact)                             | LightGBM regression_objective.hpp   |
// | lgb_xentlambda | f64      | log1p(exp(x))                                             | LightGBM xentropy_objective.hpp     |
// | sk_expit       | f64, f32 | 1 / (1 + exp(-(scale x))); scale 2: the half logit link   | scipy.special.expit, sklearn        |
// |                |          |                                                           | _loss/link.py                       |
// | sk_softmax     | f64, f32 | exp(x - max) / sum, NumPy's pairwise sum, NaN is the max; | sklearn utils/extmath.py softmax,   |
// |                |          | exp of f32 is NumPy's own (kernels/numpy_exp.h)           | scipy.special.softmax               |
// | sk_exp         | f64, f32 | exp(x): the log link; exp of f32 is NumPy's own           | sklearn _loss/link.py LogLink       |
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

// dot: x W' + bias, each row summed in one fixed order whatever the batch.
//
// blocked: features in groups of eight; a group's products are added as ((0 1)(2 3))((4 5)(6 7)), groups are
// added left to right, a shorter last group is padded with zero products, the bias comes last. float32 blocks
// sum in double and round once. sequential: the bias first, then one feature after the other, in the block's
// dtype.
#include <algorithm>

#include "ops/all_ops.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

constexpr int64_t kTile = 64;  // rows summed together; their sums stay in the first-level cache
constexpr int64_t kGroup = 8;

struct DotArgs {
  const void* weights;  // [outputs, width]
  const void* bias;     // [outputs], null for none
};

// w * x; leaves a missing x out when asked.
template <bool kSkip, class T>
double product(T x, double w) {
  const double p = static_cast<double>(x) * w;
  return kSkip && x != x ? 0.0 : p;
}

// sums[r] += the products of `count` columns from `x` on, zeros standing in for those that a group lacks.
template <bool kSkip, class T>
void add_group(const T* x, int64_t stride, int64_t rows, const T* weights, int64_t count, double* sums) {
  static constexpr T kZeros[kTile] = {};
  double w[kGroup];
  const T* column[kGroup];
  for (int64_t k = 0; k < kGroup; ++k) {
    w[k] = k < count ? static_cast<double>(weights[k]) : 0.0;
    column[k] = k < count ? x + k * stride : kZeros;
  }
  for (int64_t r = 0; r < rows; ++r) {
    const double a = product<kSkip>(column[0][r], w[0]) + product<kSkip>(column[1][r], w[1]);
    const double b = product<kSkip>(column[2][r], w[2]) + product<kSkip>(column[3][r], w[3]);
    const double c = product<kSkip>(column[4][r], w[4]) + product<kSkip>(column[5][r], w[5]);
    const double d = product<kSkip>(column[6][r], w[6]) + product<kSkip>(column[7][r], w[7]);
    sums[r] += (a + b) + (c + d);
  }
}

template <class T, bool kSkip>
void blocked(const StepArgs& args, const DotArgs& dot) {
  const BlockView& in = args.inputs[0];
  const T* weights = static_cast<const T*>(dot.weights);
  const T* bias = static_cast<const T*>(dot.bias);
  double sums[kTile];
  for (int64_t first = 0; first < in.rows; first += kTile) {
    const int64_t rows = std::min(kTile, in.rows - first);
    for (int64_t out = 0; out < args.output.width; ++out) {
      for (int64_t r = 0; r < rows; ++r) sums[r] = 0.0;
      for (int64_t f = 0; f < in.width; f += kGroup)
        add_group<kSkip>(in.column<T>(f) + first, in.rows, rows, weights + out * in.width + f,
                         std::min(kGroup, in.width - f), sums);
      T* result = args.output.column<T>(out) + first;
      if (bias == nullptr)
        for (int64_t r = 0; r < rows; ++r) result[r] = static_cast<T>(sums[r]);
      else
        for (int64_t r = 0; r < rows; ++r)
          result[r] = static_cast<T>(sums[r] + static_cast<double>(bias[out]));
    }
  }
}

template <class T, bool kSkip>
void sequential(const StepArgs& args, const DotArgs& dot) {
  const BlockView& in = args.inputs[0];
  const T* weights = static_cast<const T*>(dot.weights);
  const T* bias = static_cast<const T*>(dot.bias);
  for (int64_t first = 0; first < in.rows; first += kTile) {
    const int64_t rows = std::min(kTile, in.rows - first);
    for (int64_t out = 0; out < args.output.width; ++out) {
      T sums[kTile];
      for (int64_t r = 0; r < rows; ++r) sums[r] = bias == nullptr ? T{0} : bias[out];
      for (int64_t f = 0; f < in.width; ++f) {
        const T* x = in.column<T>(f) + first;
        const T w = weights[out * in.width + f];
        for (int64_t r = 0; r < rows; ++r) {
          const T next = sums[r] + x[r] * w;
          sums[r] = kSkip && x[r] != x[r] ? sums[r] : next;
        }
      }
      T* result = args.output.column<T>(out) + first;
      for (int64_t r = 0; r < rows; ++r) result[r] = sums[r];
    }
  }
}

using Loop = void (*)(const StepArgs&, const DotArgs&);

template <class T>
Loop loop_of(bool in_order, bool skip) {
  if (in_order) return skip ? &sequential<T, true> : &sequential<T, false>;
  return skip ? &blocked<T, true> : &blocked<T, false>;
}

bool in_order(const NodeReader& reader) {
  return reader.choice("accumulate", {"blocked", "sequential"}) == "sequential";
}

class DotStep final : public Step {
 public:
  explicit DotStep(const NodeReader& reader)
      : weights_(reader.constant("weights", reader.input(0).dtype)),
        bias_(reader.has_constant("bias") ? reader.constant("bias", reader.input(0).dtype) : Constant()),
        has_bias_(reader.has_constant("bias")) {
    const bool skip = reader.flag_or("skip_missing", false);
    loop_ = reader.input(0).dtype == DType::f64 ? loop_of<double>(in_order(reader), skip)
                                                : loop_of<float>(in_order(reader), skip);
  }

  void run(const StepArgs& args) const override {
    loop_(args, {weights_.bytes().data(), has_bias_ ? bias_.bytes().data() : nullptr});
  }

 private:
  Constant weights_;
  Constant bias_;
  bool has_bias_;
  Loop loop_;
};

Exactness exactness(const NodeReader& reader) {
  return in_order(reader) ? Exactness::exact : Exactness::tolerance;
}

ValueType validate(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  in_order(reader);
  reader.flag_or("skip_missing", false);
  const ValueType in = reader.input(0);
  const Constant& weights = reader.constant("weights", in.dtype);
  reader.expect(weights.shape().size() == 2 && weights.shape()[1] == in.width && weights.shape()[0] >= 1,
                "expected constant 'weights' of shape [k, ", in.width, "] with k >= 1 but found ",
                weights.shape().size(), " axes and ", weights.size(), " elements");
  const int64_t outputs = weights.shape()[0];
  if (reader.has_constant("bias")) reader.constant("bias", in.dtype, outputs);
  reader.finish();
  return {in.dtype, outputs};
}

std::unique_ptr<Step> lower(const NodeReader& reader) { return std::make_unique<DotStep>(reader); }

}  // namespace

const OpDef kDotOp{"dot", exactness, validate, lower};

}  // namespace mlcore

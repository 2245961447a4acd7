// dot: x W' + bias, each row summed in one fixed order whatever the batch.
//
// blocked: features in groups of eight; a group's products are added as ((0 1)(2 3))((4 5)(6 7)), groups are
// added left to right, a shorter last group is padded with zero products, the bias comes last. float32 blocks
// sum in double and round once. sequential: the bias first, then one feature after the other, in the block's
// dtype.
#include <algorithm>

#include "kernels/block_loops.h"
#include "ops/all_ops.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

constexpr int64_t kTile = kDotRows;  // rows summed together; their sums stay in the first-level cache

struct DotArgs {
  const BlockLoops& loops;
  const void* weights;  // [outputs, width]
  const void* bias;     // [outputs], null for none
};

template <class T, bool kSkip>
void blocked(const StepArgs& args, const DotArgs& dot) {
  const BlockView& in = args.inputs[0];
  const T* weights = static_cast<const T*>(dot.weights);
  const T* bias = static_cast<const T*>(dot.bias);
  const auto add_group = dot.loops.of<T>().add_group[kSkip];
  double sums[kTile];
  for (int64_t first = 0; first < in.rows; first += kTile) {
    const int64_t rows = std::min(kTile, in.rows - first);
    for (int64_t out = 0; out < args.output.width; ++out) {
      for (int64_t r = 0; r < rows; ++r) sums[r] = 0.0;
      for (int64_t f = 0; f < in.width; f += kDotGroup)
        add_group(in.column<T>(f) + first, in.rows, rows, weights + out * in.width + f,
                  std::min(kDotGroup, in.width - f), sums);
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
    loop_(args, {loops_, weights_.bytes().data(), has_bias_ ? bias_.bytes().data() : nullptr});
  }

 private:
  Constant weights_;
  Constant bias_;
  bool has_bias_;
  Loop loop_;
  const BlockLoops& loops_ = block_loops(chosen_isa());
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

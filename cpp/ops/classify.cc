// complement, argmax, threshold, vote: from scores to probabilities and class positions.
#include <algorithm>
#include <cmath>

#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

// -- complement -----------------------------------------------------------------------------------

ValueType validate_complement(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  reader.expect(reader.input(0).width == 1, "expected an input of width 1 but found ", reader.input(0).width);
  return {reader.input(0).dtype, 2};
}

template <class T>
std::unique_ptr<Step> complement_step() {
  return make_step([](const StepArgs& args) {
    const auto* p = args.inputs[0].column<T>(0);
    auto* rest = args.output.column<T>(0);
    auto* same = args.output.column<T>(1);
    for (int64_t row = 0; row < args.output.rows; ++row) {
      rest[row] = T{1} - p[row];
      same[row] = p[row];
    }
  });
}

std::unique_ptr<Step> lower_complement(const NodeReader& reader) {
  return for_float(reader.input(0).dtype, [](auto zero) { return complement_step<decltype(zero)>(); });
}

// -- argmax ---------------------------------------------------------------------------------------

ValueType validate_argmax(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  return {DType::i64, 1};
}

// np.argmax: the first maximum, and the first NaN before any number.
template <class T>
class ArgmaxStep final : public Step {
 public:
  size_t scratch_bytes(int64_t rows) const override { return sizeof(T) * static_cast<size_t>(rows); }

  void run(const StepArgs& args) const override {
    const BlockView& input = args.inputs[0];
    auto* best = static_cast<T*>(args.scratch);
    auto* to = args.output.column<int64_t>(0);
    std::copy_n(input.column<T>(0), input.rows, best);
    std::fill_n(to, input.rows, int64_t{0});
    for (int64_t column = 1; column < input.width; ++column) {
      const auto* from = input.column<T>(column);
      for (int64_t row = 0; row < input.rows; ++row) {
        const bool better = !(from[row] <= best[row]) && best[row] == best[row];
        to[row] = better ? column : to[row];
        best[row] = better ? from[row] : best[row];
      }
    }
  }
};

std::unique_ptr<Step> lower_argmax(const NodeReader& reader) {
  return for_float(reader.input(0).dtype, [](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<ArgmaxStep<decltype(zero)>>();
  });
}

// -- threshold ------------------------------------------------------------------------------------

ValueType validate_threshold(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  const auto [dtype, width] = reader.input(0);
  reader.choice("compare", {"gt", "ge"});
  const Constant& cut = reader.constant("cut", dtype);
  expect_per_column(reader, "cut", cut, width);
  expect_no_nan(reader, "cut", cut);
  return {DType::i64, width};
}

template <class T, class Compare>
std::unique_ptr<Step> threshold_step(const Constant& cut, Compare compare) {
  return make_step([cuts = PerColumn<T>{cut}, compare](const StepArgs& args) {
    for (int64_t column = 0; column < args.output.width; ++column) {
      const auto* from = args.inputs[0].column<T>(column);
      auto* to = args.output.column<int64_t>(column);
      const T value = cuts[column];
      for (int64_t row = 0; row < args.output.rows; ++row) to[row] = compare(from[row], value) ? 1 : 0;
    }
  });
}

std::unique_ptr<Step> lower_threshold(const NodeReader& reader) {
  const bool equal = reader.choice("compare", {"gt", "ge"}) == "ge";
  const Constant& cut = reader.constant("cut", reader.input(0).dtype);
  return for_float(reader.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    if (equal) return threshold_step<T>(cut, [](T x, T value) { return x >= value; });
    return threshold_step<T>(cut, [](T x, T value) { return x > value; });
  });
}

// -- vote -----------------------------------------------------------------------------------------

constexpr int64_t kMaxClasses = int64_t{1} << 24;

ValueType validate_vote(const NodeReader& reader) {
  reader.expect(reader.input_count() > 0, "expected at least 1 input but found 0");
  for (size_t i = 0; i < reader.input_count(); ++i) {
    reader.expect_dtype(i, {DType::i64});
    reader.expect(reader.input(i).width == 1, "expected input ", i, " of width 1 but found ",
                  reader.input(i).width);
  }
  const int64_t classes = reader.integer("classes");
  reader.expect(classes >= 1 && classes <= kMaxClasses, "expected attribute 'classes' from 1 to ",
                kMaxClasses, " but found ", classes);
  if (reader.has_constant("weights")) {
    const Constant& weights =
        reader.constant("weights", DType::f64, static_cast<int64_t>(reader.input_count()));
    for (double weight : weights.as<double>())
      reader.expect(std::isfinite(weight), "expected finite weights but found ", weight);
  }
  return {DType::i64, 1};
}

// np.argmax(np.bincount(votes, weights)), row by row.
class VoteStep final : public Step {
 public:
  explicit VoteStep(const NodeReader& reader) : blame_(reader), classes_(reader.integer("classes")) {
    if (reader.has_constant("weights")) {
      const auto weights = reader.constant("weights", DType::f64).as<double>();
      weights_.assign(weights.begin(), weights.end());
    } else {
      weights_.assign(reader.input_count(), 1.0);
    }
  }

  size_t scratch_bytes(int64_t) const override { return sizeof(double) * static_cast<size_t>(classes_); }

  void run(const StepArgs& args) const override {
    auto* counts = static_cast<double*>(args.scratch);
    auto* to = args.output.column<int64_t>(0);
    for (int64_t row = 0; row < args.output.rows; ++row) {
      // the counts reach from 0 to the highest vote: with negative weights a class that nobody named may win,
      // but none above that
      int64_t highest = -1;
      for (size_t i = 0; i < weights_.size(); ++i) {
        const int64_t vote = args.inputs[i].column<int64_t>(0)[row];
        if (vote < 0 || vote >= classes_) [[unlikely]]
          blame_.bad_code(vote, classes_);
        while (highest < vote) counts[++highest] = 0.0;
        counts[vote] += weights_[i];
      }
      int64_t best = 0;
      for (int64_t candidate = 1; candidate <= highest; ++candidate)
        if (counts[candidate] > counts[best]) best = candidate;
      to[row] = best;
    }
  }

 private:
  Blame blame_;
  int64_t classes_;
  std::vector<double> weights_;
};

std::unique_ptr<Step> lower_vote(const NodeReader& reader) { return std::make_unique<VoteStep>(reader); }

DeviceStepPtr complement_device(const NodeReader& reader) {
  return std::make_unique<DeviceStep>(reader, device::StepKind::complement);
}

DeviceStepPtr argmax_device(const NodeReader& reader) {
  return std::make_unique<DeviceStep>(reader, device::StepKind::argmax);
}

DeviceStepPtr threshold_device(const NodeReader& reader) {
  const bool equal = reader.choice("compare", {"gt", "ge"}) == "ge";
  return one_function(reader, equal ? device::ElementFn::at_least : device::ElementFn::above,
                      reader.constant("cut", reader.input(0).dtype));
}

DeviceStepPtr vote_device(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::vote);
  if (reader.has_constant("weights")) step->add(reader.constant("weights", DType::f64));
  else step->add(std::vector<double>(reader.input_count(), 1.0), DType::f64);
  step->spec().integer = reader.integer("classes");
  return step;
}

}  // namespace

constinit const OpDef kComplementOp{"complement", always_exact, validate_complement, lower_complement,
                                    false,        nullptr,      complement_device};
constinit const OpDef kArgmaxOp{"argmax", always_exact, validate_argmax, lower_argmax,
                                false,    nullptr,      argmax_device};
constinit const OpDef kThresholdOp{"threshold", always_exact, validate_threshold, lower_threshold,
                                   false,       nullptr,      threshold_device};
constinit const OpDef kVoteOp{"vote", always_exact, validate_vote, lower_vote, false, nullptr, vote_device};

}  // namespace mlcore

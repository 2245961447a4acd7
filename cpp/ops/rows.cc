// poly, normalize, row_normalize, weighted_sum: ops that mix the columns of a row.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "kernels/row_inl.h"
#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

ValueType one_float(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  return reader.input(0);
}

// -- poly -----------------------------------------------------------------------------------------

ValueType validate_poly(const NodeReader& reader) {
  const auto [dtype, width] = one_float(reader);
  const auto offsets = reader.constant("offsets", DType::i64).as<int64_t>();
  const auto factors = reader.constant("factors", DType::i64).as<int64_t>();
  reader.expect(offsets.size() >= 2, "expected at least 2 offsets but found ", offsets.size());
  reader.expect(offsets.front() == 0 && static_cast<size_t>(offsets.back()) == factors.size(),
                "expected offsets from 0 to ", factors.size(), " but found ", offsets.front(), " to ",
                offsets.back());
  for (size_t i = 1; i < offsets.size(); ++i)
    reader.expect(offsets[i] >= offsets[i - 1], "expected ascending offsets but found ", offsets[i],
                  " after ", offsets[i - 1]);
  for (int64_t factor : factors)
    reader.expect(factor >= 0 && factor < width, "expected factors below ", width, " but found ", factor);
  return {dtype, static_cast<int64_t>(offsets.size()) - 1};
}

// A product starts from the longest prefix of its factors that is an earlier output column: products are
// taken left to right, so those are the same bits, and the usual list of monomials costs one multiplication
// each.
struct Product {
  int64_t prefix = -1;  // output column to start from; -1: from the first factor
  int64_t begin = 0;    // factors still to multiply
  int64_t end = 0;
};

std::vector<Product> plan_products(std::span<const int64_t> offsets, std::span<const int64_t> factors) {
  // longer products are not looked for: they would make a hostile list of factors quadratic
  constexpr int64_t kLongestPrefix = 8;
  std::map<std::vector<int64_t>, int64_t> seen;
  std::vector<Product> products;
  for (size_t j = 0; j + 1 < offsets.size(); ++j) {
    Product product{-1, offsets[j], offsets[j + 1]};
    const auto* first = factors.data() + product.begin;
    const int64_t length = product.end - product.begin;
    if (length <= kLongestPrefix + 1) {
      for (int64_t prefix = std::min(length, kLongestPrefix); prefix >= 2 && product.prefix < 0; --prefix) {
        if (const auto found = seen.find({first, first + prefix}); found != seen.end()) {
          product.prefix = found->second;
          product.begin += prefix;
        }
      }
      if (length >= 2) seen.try_emplace({first, first + length}, static_cast<int64_t>(j));
    }
    products.push_back(product);
  }
  return products;
}

template <class T>
class PolyStep final : public Step {
 public:
  explicit PolyStep(const NodeReader& reader)
      : factors_(reader.constant("factors", DType::i64)),
        products_(
            plan_products(reader.constant("offsets", DType::i64).as<int64_t>(), factors_.as<int64_t>())) {}

  void run(const StepArgs& args) const override {
    const auto factors = factors_.as<int64_t>();
    const int64_t rows = args.output.rows;
    const auto input = [&](int64_t position) {
      return args.inputs[0].column<T>(factors[static_cast<size_t>(position)]);
    };
    int64_t column = 0;
    for (const auto& [prefix, begin, end] : products_) {
      T* to = args.output.column<T>(column++);
      int64_t at = begin;
      const T* from = prefix >= 0 ? args.output.column<T>(prefix) : at < end ? input(at++) : nullptr;
      if (!from) {
        std::fill_n(to, rows, T{1});
      } else if (at == end) {
        std::copy_n(from, rows, to);
      } else {
        const T* by = input(at++);
        for (int64_t row = 0; row < rows; ++row) to[row] = from[row] * by[row];
        for (; at < end; ++at) {
          by = input(at);
          for (int64_t row = 0; row < rows; ++row) to[row] *= by[row];
        }
      }
    }
  }

 private:
  Constant factors_;
  std::vector<Product> products_;
};

std::unique_ptr<Step> lower_poly(const NodeReader& reader) {
  return for_float(reader.input(0).dtype, [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<PolyStep<decltype(zero)>>(reader);
  });
}

DeviceStepPtr poly_device(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::poly);
  const Constant& factors = reader.constant("factors", DType::i64);
  std::vector<int64_t> products;
  for (const auto& [prefix, begin, end] :
       plan_products(reader.constant("offsets", DType::i64).as<int64_t>(), factors.as<int64_t>()))
    products.insert(products.end(), {prefix, begin, end});
  step->add(factors);
  step->add(std::move(products), DType::i64);
  return step;
}

// -- normalize ------------------------------------------------------------------------------------

Exactness exactness_of_normalize(const NodeReader& reader) {
  return reader.choice("norm", {"l1", "l2", "max"}) == "max" ? Exactness::exact : Exactness::tolerance;
}

ValueType validate_normalize(const NodeReader& reader) {
  const ValueType type = one_float(reader);
  reader.choice("norm", {"l1", "l2", "max"});
  return type;
}

// A step whose rows are divided by something: `sums` in scratch, one S per row.
template <class T, class S, class Reduce>
class RowScaleStep final : public Step {
 public:
  explicit RowScaleStep(Reduce reduce) : reduce_(std::move(reduce)) {}

  size_t scratch_bytes(int64_t rows) const override { return sizeof(S) * static_cast<size_t>(rows); }

  void run(const StepArgs& args) const override {
    auto* scales = static_cast<S*>(args.scratch);
    reduce_(args.inputs[0], scales);
    for (int64_t column = 0; column < args.output.width; ++column) {
      const auto* from = args.inputs[0].column<T>(column);
      auto* to = args.output.column<T>(column);
      for (int64_t row = 0; row < args.output.rows; ++row) to[row] = from[row] / static_cast<T>(scales[row]);
    }
  }

 private:
  Reduce reduce_;
};

template <class T, class S, class Reduce>
std::unique_ptr<Step> row_scale_step(Reduce reduce) {
  return std::make_unique<RowScaleStep<T, S, Reduce>>(std::move(reduce));
}

// sklearn.preprocessing.normalize: a norm below 10 epsilon counts as 1 (_handle_zeros_in_scale).
template <class S, class T>
void settle_norms(S* norms, int64_t rows) {
  for (int64_t row = 0; row < rows; ++row)
    norms[row] = static_cast<T>(norms[row]) < 10 * std::numeric_limits<T>::epsilon() ? S{1} : norms[row];
}

// Sums are kept in double also for float32 blocks: nearer to the true norm than any order of the library's
// own sum.
template <class T>
std::unique_ptr<Step> normalize_of(const std::string& norm) {
  if (norm == "max") {
    return row_scale_step<T, T>([](const BlockView& input, T* norms) {
      std::fill_n(norms, input.rows, T{0});
      for (int64_t column = 0; column < input.width; ++column) {
        const auto* from = input.column<T>(column);
        for (int64_t row = 0; row < input.rows; ++row) {
          const T size = std::fabs(from[row]);
          norms[row] = norms[row] > size || norms[row] != norms[row] ? norms[row] : size;
        }
      }
      settle_norms<T, T>(norms, input.rows);
    });
  }
  const bool squares = norm == "l2";
  return row_scale_step<T, double>([squares](const BlockView& input, double* norms) {
    std::fill_n(norms, input.rows, 0.0);
    for (int64_t column = 0; column < input.width; ++column) {
      const auto* from = input.column<T>(column);
      if (squares) {
        for (int64_t row = 0; row < input.rows; ++row) {
          const double value = from[row];
          norms[row] += value * value;
        }
      } else {
        for (int64_t row = 0; row < input.rows; ++row)
          norms[row] += std::fabs(static_cast<double>(from[row]));
      }
    }
    // the library's sum of squares is a T: where it overflows, its norm is infinite and every quotient zero
    if (squares)
      for (int64_t row = 0; row < input.rows; ++row)
        norms[row] = std::sqrt(static_cast<double>(static_cast<T>(norms[row])));
    settle_norms<double, T>(norms, input.rows);
  });
}

std::unique_ptr<Step> lower_normalize(const NodeReader& reader) {
  const std::string& norm = reader.choice("norm", {"l1", "l2", "max"});
  return for_float(reader.input(0).dtype, [&](auto zero) { return normalize_of<decltype(zero)>(norm); });
}

DeviceStepPtr normalize_device(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::normalize);
  step->spec().function = named<uint8_t>(reader.choice("norm", {"l1", "l2", "max"}), {"l1", "l2", "max"});
  return step;
}

// -- row_normalize --------------------------------------------------------------------------------

ValueType validate_row_normalize(const NodeReader& reader) {
  const ValueType type = one_float(reader);
  reader.choice("zero", {"keep", "uniform", "divide"});
  if (reader.has_attribute("order")) reader.choice("order", {"sequential", "pairwise"});
  return type;
}

template <class T>
void sum_sequential(const BlockView& input, T* sums) {
  std::fill_n(sums, input.rows, T{0});
  for (int64_t column = 0; column < input.width; ++column) {
    const auto* from = input.column<T>(column);
    for (int64_t row = 0; row < input.rows; ++row) sums[row] += from[row];
  }
}

template <class T>
void sum_pairwise(const BlockView& input, T* sums) {
  if (input.width < 8) return sum_sequential(input, sums);  // whose loops vectorise
  const auto* values = input.column<T>(0);
  for (int64_t row = 0; row < input.rows; ++row)
    sums[row] = rows::sum_pairwise<T>(rows::Strided<const T>{values + row, input.rows}, input.width);
}

template <class T>
class RowNormalizeStep final : public Step {
 public:
  explicit RowNormalizeStep(const NodeReader& reader)
      : keep_(reader.choice("zero", {"keep", "uniform", "divide"}) == "keep"),
        uniform_(reader.choice("zero", {"keep", "uniform", "divide"}) == "uniform"),
        pairwise_(reader.has_attribute("order") &&
                  reader.choice("order", {"sequential", "pairwise"}) == "pairwise") {}

  size_t scratch_bytes(int64_t rows) const override { return sizeof(T) * static_cast<size_t>(rows); }

  void run(const StepArgs& args) const override {
    const BlockView& input = args.inputs[0];
    auto* sums = static_cast<T*>(args.scratch);
    if (pairwise_) sum_pairwise(input, sums);
    else sum_sequential(input, sums);
    if (keep_)
      for (int64_t row = 0; row < input.rows; ++row) sums[row] = sums[row] == T{0} ? T{1} : sums[row];
    const T share = T{1} / static_cast<T>(input.width);
    for (int64_t column = 0; column < input.width; ++column) {
      const auto* from = input.column<T>(column);
      auto* to = args.output.column<T>(column);
      if (uniform_) {
        for (int64_t row = 0; row < input.rows; ++row)
          to[row] = sums[row] == T{0} ? share : from[row] / sums[row];
      } else {
        for (int64_t row = 0; row < input.rows; ++row) to[row] = from[row] / sums[row];
      }
    }
  }

 private:
  bool keep_;
  bool uniform_;
  bool pairwise_;
};

std::unique_ptr<Step> lower_row_normalize(const NodeReader& reader) {
  return for_float(reader.input(0).dtype, [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<RowNormalizeStep<decltype(zero)>>(reader);
  });
}

DeviceStepPtr row_normalize_device(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::row_normalize);
  step->spec().function =
      named<uint8_t>(reader.choice("zero", {"keep", "uniform", "divide"}), {"keep", "uniform", "divide"});
  step->spec().flag =
      reader.has_attribute("order") && reader.choice("order", {"sequential", "pairwise"}) == "pairwise";
  return step;
}

// -- weighted_sum ---------------------------------------------------------------------------------

// A float32 block computes in float32, so what it is multiplied with must be a float32 number too.
void expect_representable(const NodeReader& reader, std::string_view name, const Constant& constant,
                          DType dtype) {
  for (double value : constant.as<double>())
    reader.expect(
        dtype == DType::f64 || static_cast<double>(static_cast<float>(value)) == value || value != value,
        "expected float32 numbers in constant '", name, "' because the block is f32 but found ", value);
}

ValueType validate_weighted_sum(const NodeReader& reader) {
  reader.expect(reader.input_count() > 0, "expected at least 1 input but found 0");
  reader.expect_dtype(0, {DType::f64, DType::f32});
  const ValueType type = reader.input(0);
  for (size_t i = 1; i < reader.input_count(); ++i) {
    reader.expect_dtype(i, {type.dtype});
    reader.expect(reader.input(i).width == type.width, "expected input ", i, " of width ", type.width,
                  " but found ", reader.input(i).width);
  }
  const auto count = static_cast<int64_t>(reader.input_count());
  expect_representable(reader, "weights", reader.constant("weights", DType::f64, count), type.dtype);
  if (reader.has_constant("divisor"))
    expect_representable(reader, "divisor", reader.constant("divisor", DType::f64, 1), type.dtype);
  return type;
}

template <class T>
std::unique_ptr<Step> weighted_sum_step(const Constant& weights, bool divides, T divisor) {
  return make_step([weights, divides, divisor](const StepArgs& args) {
    const auto factors = weights.as<double>();
    auto* to = args.output.column<T>(0);
    const int64_t count = args.output.rows * args.output.width;
    std::fill_n(to, count, T{0});  // NumPy's sums start at 0.0, so that -0.0 alone gives 0.0
    for (size_t i = 0; i < factors.size(); ++i) {
      const auto* from = args.inputs[i].column<T>(0);
      const T factor = static_cast<T>(factors[i]);
      for (int64_t k = 0; k < count; ++k) to[k] += from[k] * factor;
    }
    if (divides)
      for (int64_t k = 0; k < count; ++k) to[k] /= divisor;
  });
}

std::unique_ptr<Step> lower_weighted_sum(const NodeReader& reader) {
  const Constant& weights = reader.constant("weights", DType::f64);
  const bool divides = reader.has_constant("divisor");
  const double divisor = divides ? reader.constant("divisor", DType::f64, 1).as<double>()[0] : 1.0;
  return for_float(reader.input(0).dtype, [&](auto zero) {
    using T = decltype(zero);
    return weighted_sum_step<T>(weights, divides, static_cast<T>(divisor));
  });
}

DeviceStepPtr weighted_sum_device(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::weighted_sum);
  const auto weights = reader.constant("weights", DType::f64).as<double>();
  if (reader.input(0).dtype == DType::f64)
    step->add(std::vector<double>(weights.begin(), weights.end()), DType::f64);
  else step->add(std::vector<float>(weights.begin(), weights.end()), DType::f32);
  step->spec().flag = reader.has_constant("divisor");
  if (step->spec().flag) step->spec().number = reader.constant("divisor", DType::f64, 1).as<double>()[0];
  return step;
}

}  // namespace

constinit const OpDef kPolyOp{"poly", always_exact, validate_poly, lower_poly, false, nullptr, poly_device};
constinit const OpDef kNormalizeOp{
    "normalize", exactness_of_normalize, validate_normalize, lower_normalize, false,
    nullptr,     normalize_device};
constinit const OpDef kRowNormalizeOp{"row_normalize",     always_exact, validate_row_normalize,
                                      lower_row_normalize, false,        nullptr,
                                      row_normalize_device};
constinit const OpDef kWeightedSumOp{"weighted_sum", always_exact, validate_weighted_sum, lower_weighted_sum,
                                     false,          nullptr,      weighted_sum_device};

}  // namespace mlcore

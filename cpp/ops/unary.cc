// unary: one function of one number, applied to every element of a block.
#include <algorithm>

#include "kernels/unary_inl.h"
#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

template <class T, class F>
void apply_all(const void* in, void* out, int64_t n) {
  const T* from = static_cast<const T*>(in);
  T* to = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) to[i] = F::apply(from[i]);
}

struct Function {
  std::string_view name;
  device::ElementFn fn;
  Exactness exactness;
  void (*f64)(const void*, void*, int64_t);
  void (*f32)(const void*, void*, int64_t);
};

template <class F>
constexpr Function function(std::string_view name, device::ElementFn fn, Exactness exactness) {
  return {name, fn, exactness, &apply_all<double, F>, &apply_all<float, F>};
}

constexpr Function kFunctions[] = {
    function<unary::Abs>("abs", device::ElementFn::abs, Exactness::exact),
    function<unary::Negative>("negative", device::ElementFn::negative, Exactness::exact),
    function<unary::Square>("square", device::ElementFn::square, Exactness::exact),
    function<unary::Sqrt>("sqrt", device::ElementFn::sqrt, Exactness::exact),
    function<unary::Reciprocal>("reciprocal", device::ElementFn::reciprocal, Exactness::exact),
    function<unary::Sign>("sign", device::ElementFn::sign, Exactness::exact),
    function<unary::Floor>("floor", device::ElementFn::floor, Exactness::exact),
    function<unary::Ceil>("ceil", device::ElementFn::ceil, Exactness::exact),
    function<unary::Trunc>("trunc", device::ElementFn::trunc, Exactness::exact),
    function<unary::Rint>("rint", device::ElementFn::rint, Exactness::exact),
    function<unary::Exp>("exp", device::ElementFn::exp, Exactness::tolerance),
    function<unary::Exp2>("exp2", device::ElementFn::exp2, Exactness::tolerance),
    function<unary::Expm1>("expm1", device::ElementFn::expm1, Exactness::tolerance),
    function<unary::Log>("log", device::ElementFn::log, Exactness::tolerance),
    function<unary::Log2>("log2", device::ElementFn::log2, Exactness::tolerance),
    function<unary::Log10>("log10", device::ElementFn::log10, Exactness::tolerance),
    function<unary::Log1p>("log1p", device::ElementFn::log1p, Exactness::tolerance),
    function<unary::Tanh>("tanh", device::ElementFn::tanh, Exactness::tolerance),
    function<unary::Expit>("expit", device::ElementFn::expit, Exactness::tolerance),
    function<unary::Cbrt>("cbrt", device::ElementFn::cbrt, Exactness::tolerance),
};

const Function& function_of(const NodeReader& reader) {
  const std::string& name = reader.choice(
      "fn", {"abs", "negative", "square", "sqrt", "reciprocal", "sign",  "floor", "ceil", "trunc", "rint",
             "exp", "exp2",     "expm1",  "log",  "log2",       "log10", "log1p", "tanh", "expit", "cbrt"});
  for (const Function& candidate : kFunctions)
    if (candidate.name == name) return candidate;
  fail(ErrorCode::program, reader.where(), ": function ", name, " has no definition");
}

class UnaryStep final : public Step {
 public:
  explicit UnaryStep(const NodeReader& reader)
      : loop_(reader.input(0).dtype == DType::f64 ? function_of(reader).f64 : function_of(reader).f32) {}

  void run(const StepArgs& args) const override {
    const BlockView& in = args.inputs[0];
    loop_(in.data, args.output.data, in.rows * in.width);
  }

 private:
  void (*loop_)(const void*, void*, int64_t);
};

Exactness exactness(const NodeReader& reader) { return function_of(reader).exactness; }

ValueType validate(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  function_of(reader);
  reader.finish();
  return reader.input(0);
}

std::unique_ptr<Step> lower(const NodeReader& reader) { return std::make_unique<UnaryStep>(reader); }

// A root or a logarithm makes a NaN of some numbers; the rest rises and falls.
std::optional<ColumnStep> column_step(const NodeReader& reader, int64_t column) {
  constexpr std::string_view kRising[] = {"sign", "floor", "ceil", "trunc", "rint"};
  const std::string_view name = function_of(reader).name;
  const Order order = name == "negative" ? Order::falling
                      : std::find(std::begin(kRising), std::end(kRising), name) != std::end(kRising)
                          ? Order::rising
                          : Order::lookup;
  return same_op(reader, column, order);
}

DeviceStepPtr device_step(const NodeReader& reader) { return one_function(reader, function_of(reader).fn); }

}  // namespace

const OpDef kUnaryOp{"unary", exactness, validate, lower, false, column_step, device_step};

}  // namespace mlcore

// unary: one function of one number, applied to every element of a block.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/math.h"
#include "kernels/rounding.h"
#include "ops/all_ops.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

// A tolerance function in double, rounded once for float32.
template <double (*kFunction)(double)>
struct Rounded {
  template <class T>
  static T apply(T x) {
    return static_cast<T>(kFunction(static_cast<double>(x)));
  }
};

struct Abs {
  template <class T>
  static T apply(T x) {
    return math::magnitude(x);
  }
};
struct Negative {
  template <class T>
  static T apply(T x) {
    return -x;
  }
};
struct Square {
  template <class T>
  static T apply(T x) {
    return x * x;
  }
};
struct Sqrt {
  template <class T>
  static T apply(T x) {
    return std::sqrt(x);
  }
};
struct Reciprocal {
  template <class T>
  static T apply(T x) {
    return T{1} / x;
  }
};
struct Sign {  // NumPy: a zero of either sign gives +0, NaN stays NaN
  template <class T>
  static T apply(T x) {
    return x > T{0} ? T{1} : (x < T{0} ? T{-1} : (x == T{0} ? T{0} : x));
  }
};
struct Floor {
  template <class T>
  static T apply(T x) {
    return math::floor(x);
  }
};
struct Ceil {
  template <class T>
  static T apply(T x) {
    return math::ceil(x);
  }
};
struct Trunc {
  template <class T>
  static T apply(T x) {
    return math::trunc(x);
  }
};
struct Rint {
  template <class T>
  static T apply(T x) {
    return math::rint(x);
  }
};
struct Expit {
  template <class T>
  static T apply(T x) {
    return math::expit(x);
  }
};

template <class T, class F>
void apply_all(const void* in, void* out, int64_t n) {
  const T* from = static_cast<const T*>(in);
  T* to = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) to[i] = F::apply(from[i]);
}

struct Function {
  std::string_view name;
  Exactness exactness;
  void (*f64)(const void*, void*, int64_t);
  void (*f32)(const void*, void*, int64_t);
};

template <class F>
constexpr Function function(std::string_view name, Exactness exactness) {
  return {name, exactness, &apply_all<double, F>, &apply_all<float, F>};
}

constexpr Function kFunctions[] = {
    function<Abs>("abs", Exactness::exact),
    function<Negative>("negative", Exactness::exact),
    function<Square>("square", Exactness::exact),
    function<Sqrt>("sqrt", Exactness::exact),
    function<Reciprocal>("reciprocal", Exactness::exact),
    function<Sign>("sign", Exactness::exact),
    function<Floor>("floor", Exactness::exact),
    function<Ceil>("ceil", Exactness::exact),
    function<Trunc>("trunc", Exactness::exact),
    function<Rint>("rint", Exactness::exact),
    function<Rounded<math::exp>>("exp", Exactness::tolerance),
    function<Rounded<math::exp2>>("exp2", Exactness::tolerance),
    function<Rounded<math::expm1>>("expm1", Exactness::tolerance),
    function<Rounded<math::log>>("log", Exactness::tolerance),
    function<Rounded<math::log2>>("log2", Exactness::tolerance),
    function<Rounded<math::log10>>("log10", Exactness::tolerance),
    function<Rounded<math::log1p>>("log1p", Exactness::tolerance),
    function<Rounded<math::tanh>>("tanh", Exactness::tolerance),
    function<Expit>("expit", Exactness::tolerance),
    function<Rounded<math::cbrt>>("cbrt", Exactness::tolerance),
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

}  // namespace

const OpDef kUnaryOp{"unary", exactness, validate, lower, false, column_step};

}  // namespace mlcore

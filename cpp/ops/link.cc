// link: a library's inverse link, by name (table in kernels/link.h).
#include "kernels/link.h"

#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

const LinkFunction& function_of(const NodeReader& reader) {
  const std::string& name =
      reader.choice("fn", {"xgb_sigmoid", "xgb_softmax", "xgb_exp", "xgb_hinge", "lgb_sigmoid", "lgb_softmax",
                           "lgb_exp", "lgb_sqrt", "lgb_xentlambda", "sk_expit", "sk_softmax", "sk_exp"});
  for (const LinkFunction& candidate : link_functions())
    if (candidate.name == name) return candidate;
  fail(ErrorCode::program, reader.where(), ": function ", name, " has no definition");
}

double scale_of(const NodeReader& reader) {
  return reader.has_constant("scale") ? reader.constant("scale", DType::f64, 1).as<double>()[0] : 1.0;
}

class LinkStep final : public Step {
 public:
  explicit LinkStep(const NodeReader& reader)
      : loop_(reader.input(0).dtype == DType::f64 ? function_of(reader).f64 : function_of(reader).f32),
        scale_(scale_of(reader)),
        row_bytes_(static_cast<size_t>(reader.input(0).width) * size_of(reader.input(0).dtype)) {}

  void run(const StepArgs& args) const override {
    const BlockView& in = args.inputs[0];
    loop_({in.data, args.output.data, in.rows, in.width, scale_, args.scratch});
  }
  size_t scratch_bytes(int64_t) const override { return row_bytes_; }

 private:
  void (*loop_)(const LinkArgs&);
  double scale_;
  size_t row_bytes_;
};

Exactness exactness(const NodeReader& reader) {
  return function_of(reader).exact ? Exactness::exact : Exactness::tolerance;
}

ValueType validate(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  const LinkFunction& function = function_of(reader);
  const ValueType type = reader.input(0);
  reader.expect(type.width >= 1, "expected an input of at least 1 column but found ", type.width);
  reader.expect((type.dtype == DType::f64 ? function.f64 : function.f32) != nullptr,
                "expected an input of type ", type.dtype == DType::f64 ? "f32" : "f64", " for function ",
                function.name, " but found ", name_of(type.dtype));
  if (function.takes_scale) {
    const double scale = scale_of(reader);
    reader.expect(scale == scale, "expected a number in constant 'scale' but found nan");
  }
  reader.finish();
  return type;
}

std::unique_ptr<Step> lower(const NodeReader& reader) { return std::make_unique<LinkStep>(reader); }

DeviceStepPtr device_step(const NodeReader& reader) {
  using enum device::ElementFn;
  const std::string_view name = function_of(reader).name;
  if (name.ends_with("_softmax")) {
    auto step = std::make_unique<DeviceStep>(reader, device::StepKind::softmax);
    step->spec().function = named<uint8_t>(name, {"xgb_softmax", "lgb_softmax", "sk_softmax"});
    return step;
  }
  const auto fn = name == "xgb_sigmoid"                                     ? xgb_sigmoid
                  : name == "xgb_hinge"                                     ? xgb_hinge
                  : name == "lgb_sigmoid"                                   ? lgb_sigmoid
                  : name == "lgb_sqrt"                                      ? lgb_sqrt
                  : name == "lgb_xentlambda"                                ? lgb_xentlambda
                  : name == "sk_expit"                                      ? scaled_expit
                  : name == "sk_exp" && reader.input(0).dtype == DType::f32 ? device::ElementFn::numpy_exp
                                                                            : exp_once;
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::elements);
  step->add(fn).number = scale_of(reader);
  return step;
}

}  // namespace

const OpDef kLinkOp{"link", exactness, validate, lower, false, nullptr, device_step};

}  // namespace mlcore

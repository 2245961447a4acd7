// trees: a decision forest (docs/design/0001; semantics in kernels/forest.h).
#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/trees_spec.h"

namespace mlcore {
namespace {

class TreesStep final : public Step {
 public:
  explicit TreesStep(const NodeReader& reader) : forest_(Forest::build(read_forest(reader))) {}

  void run(const StepArgs& args) const override {
    forest_->run(args.inputs[0].data, args.inputs[0].rows, args.output.data, args.scratch);
  }
  size_t scratch_bytes(int64_t rows) const override { return forest_->scratch_bytes(rows); }
  int64_t good_rows() const override { return forest_->good_rows(); }

 private:
  std::unique_ptr<Forest> forest_;
};

ValueType validate(const NodeReader& reader) {
  const ForestSpec spec = read_forest(reader);
  reader.finish();
  check_forest(reader, spec);
  if (!spec.leaf_ids) return {spec.leaf, spec.outputs};
  const auto trees = static_cast<int64_t>(spec.tree_offsets.size()) - 1;
  reader.expect(trees >= 1, "expected at least 1 tree for leaf ids but found none");
  return {DType::i64, trees};
}

std::unique_ptr<Step> lower(const NodeReader& reader) { return std::make_unique<TreesStep>(reader); }

DeviceStepPtr device_step(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::trees);
  step->forest() = read_forest(reader);
  return step;
}

}  // namespace

const OpDef kTreesOp{"trees", always_exact, validate, lower, false, nullptr, device_step};

}  // namespace mlcore

// The step of a forest: its forms, and which of them a launch takes.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "forest_probe.h"
#include "step.h"

namespace mlcore::device {

inline constexpr const char* kForestVariable = "MLCORE_CUDA_FOREST";
inline constexpr int64_t kFewRows =
    512;  // up to which a block for each row is taken where nothing is measured

// What MLCORE_CUDA_FOREST asks for. Throws std::invalid_argument.
inline std::optional<ForestForm> forced_form() {
  const char* name = std::getenv(kForestVariable);
  if (name == nullptr || *name == '\0') return std::nullopt;
  for (const ForestForm form : kForestForms)
    if (std::string(name) == kForestFormNames[static_cast<size_t>(form)]) return form;
  throw std::invalid_argument(std::string(kForestVariable) +
                              ": expected few, walk, rank or sliced but found '" + name + "'");
}

template <class N, class Leaf>
class ForestStep final : public Step {
  using Key = typename N::Key;
  using Float = forest::FloatOf<Key>;

 public:
  ForestStep(Device& device, const StepSpec& spec, size_t shared_bytes) : Step(device) {
    const ForestSpec& source = *spec.forest;
    const std::optional<ForestForm> forced = forced_form();
    const forest::Layout<N> layout = forest::build_layout<N>(source, forest::columns_of(source));
    const forest::Leaves<N, Leaf> leaves(source, layout);
    keep(layout, leaves, source);
    if (leaves.kind() == forest::LeafKind::scalar)
      add_forms<Leaf>(device, layout, shared_bytes, forced, [&](uint32_t first, uint32_t node) {
        return leaves.arrays().node_value[first + node];
      });
    else
      add_forms<uint32_t>(device, layout, shared_bytes, forced, [](uint32_t, uint32_t node) { return node; });
    choose(device, spec, forced);
  }

  Failure launch(const LaunchArgs& args, Stream* stream) const override {
    ForestForm form = ranges_.front().form;
    for (const FormRange& range : ranges_)
      if (args.rows >= range.rows) form = range.form;
    return launch_as(form, args.rows, args.stride, args.inputs[0].data, args.output.data, stream);
  }

 private:
  Failure launch_as(ForestForm form, int64_t rows, int64_t stride, const void* data, void* out,
                    Stream* stream) const {
    ForestView<N, Leaf> view = view_;
    view.data = static_cast<const Float*>(data);
    view.rows = rows;
    view.stride = stride;
    view.out = out;
    switch (form) {
      case ForestForm::few:
        return blocks(FewRows<N, Leaf>{view}, rows, FewRows<N, Leaf>::kSharedBytes, stream);
      case ForestForm::walk: return each(Walk<N, Leaf>{view}, rows, 1, stream);
      case ForestForm::rank: return rank_->launch(view, stream);
      default: return sliced_->launch(view, stream);
    }
  }

  template <class Entry, class EntryOf>
  void add_forms(Device& device, const forest::Layout<N>& layout, size_t shared_bytes,
                 std::optional<ForestForm> forced, const EntryOf& entry) {
    const auto wanted = [&](ForestForm form) { return !forced || *forced == form; };
    if (!wanted(ForestForm::rank) && !wanted(ForestForm::sliced)) return;
    // sets that say much of many categories are not told apart (forest::kMaxSetWords)
    if (layout.pool.size() > forest::kMaxSetWords) return;
    const RankColumns<N> columns(layout);
    if (wanted(ForestForm::rank))
      rank_ = RankForm<N, Leaf, Entry>::build(device, layout, columns, shared_bytes, entry);
    if (wanted(ForestForm::sliced)) {
      auto sliced =
          SlicedForm<N, Leaf, Entry>::build(device, layout, columns, view_.rule, shared_bytes, entry);
      sliced_first_ = sliced && static_cast<const SlicedForm<N, Leaf, Entry>&>(*sliced).full();
      sliced_ = std::move(sliced);
    }
  }

  // Sets the ranges, and gives back what none of them needs.
  void choose(Device& device, const StepSpec& spec, std::optional<ForestForm> forced) {
    const auto has = [&](ForestForm form) {
      return form == ForestForm::rank ? rank_ != nullptr : form != ForestForm::sliced || sliced_ != nullptr;
    };
    if (forced) {
      ranges_ = {{0, has(*forced) ? *forced : ForestForm::walk}};
    } else {
      std::vector<ForestForm> forms{sliced_first_ ? ForestForm::sliced : ForestForm::rank,
                                    sliced_first_ ? ForestForm::rank : ForestForm::sliced, ForestForm::walk,
                                    ForestForm::few};
      std::erase_if(forms, [&](ForestForm form) { return !has(form); });
      try {
        ranges_ = measure_forms<Float>(
            device, *spec.forest, spec.in_width, spec.out_width, forms,
            [&](ForestForm form, int64_t rows, int64_t stride, const void* data, void* out, Stream* stream) {
              return launch_as(form, rows, stride, data, out, stream);
            });
      } catch (const Unable&) {
        ranges_.clear();  // too little memory now: what is predicted, not measured
      }
      if (ranges_.empty()) ranges_ = {{0, ForestForm::few}, {kFewRows + 1, forms.front()}};
    }
    const auto used = [&](ForestForm form) {
      return std::any_of(ranges_.begin(), ranges_.end(), [&](const FormRange& r) { return r.form == form; });
    };
    if (!used(ForestForm::rank)) rank_.reset();
    if (!used(ForestForm::sliced)) sliced_.reset();
    for (const FormRange& range : ranges_) {
      const std::string name = kForestFormNames[static_cast<size_t>(range.form)];
      description += description.empty() ? name : ", from " + std::to_string(range.rows) + " rows on " + name;
    }
  }

  void keep(const forest::Layout<N>& layout, const forest::Leaves<N, Leaf>& leaves, const ForestSpec& spec) {
    const auto arrays = leaves.arrays();
    view_.nodes = memory.keep_all(layout.nodes);
    view_.trees = memory.keep_all(layout.trees);
    view_.tree_count = static_cast<int64_t>(layout.trees.size());
    view_.columns = memory.keep_all(layout.columns);
    view_.splits = !layout.columns.empty();
    view_.pool = memory.keep_all(layout.pool);
    view_.rule = spec.rule;
    view_.kind = leaves.kind();
    view_.outputs = leaves.outputs();
    view_.base = memory.keep_all(arrays.base);
    view_.node_value = memory.keep_all(arrays.node_value);
    view_.leaf_values = memory.keep_all(arrays.leaf_values);
    view_.node_row = memory.keep_all(arrays.node_row);
    view_.linear_offsets = memory.keep_all(arrays.linear_offsets);
    view_.linear_feature = memory.keep_all(arrays.linear_feature);
    view_.linear_coef = memory.keep_all(arrays.linear_coef);
    view_.linear_constant = memory.keep_all(arrays.linear_constant);
    view_.divides = arrays.divides;
    view_.drops_tiny = arrays.linear_drops_tiny;
    view_.divisor = arrays.divisor;
  }

  ForestView<N, Leaf> view_{};
  std::unique_ptr<OwnForm<N, Leaf>> rank_, sliced_;
  bool sliced_first_ = false;      // is what we predict for many rows
  std::vector<FormRange> ranges_;  // ascending; the first is from 0 on
};

template <class N>
std::unique_ptr<Step> build_forest_of(Device& device, const StepSpec& spec, size_t shared_bytes) {
  if (spec.forest->leaf == DType::f64)
    return std::make_unique<ForestStep<N, double>>(device, spec, shared_bytes);
  return std::make_unique<ForestStep<N, float>>(device, spec, shared_bytes);
}
inline std::unique_ptr<Step> build_forest(Device& device, const StepSpec& spec, size_t shared_bytes) {
  const ForestSpec& source = *spec.forest;
  if (source.block == DType::f64) return build_forest_of<forest::Wide64>(device, spec, shared_bytes);
  if (forest::fits_narrow(source, forest::columns_of(source)))
    return build_forest_of<forest::Narrow32>(device, spec, shared_bytes);
  return build_forest_of<forest::Wide32>(device, spec, shared_bytes);
}

}  // namespace mlcore::device

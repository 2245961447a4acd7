#include "runtime/fold.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "runtime/fold_dots.h"
#include "runtime/fold_group.h"
#include "runtime/fold_nodes.h"
#include "runtime/fp_environment.h"
#include "runtime/program_copy.h"

namespace mlcore {
namespace {

// Numbers that steps may compute, and constants that may be copied, while a program is looked at: about a
// second.
constexpr int64_t kMaxWork = int64_t{1} << 29;

// Whether all values of a table are finite, and stay so as float32.
bool holds_small(const Constant& constant) {
  const auto small = [](auto x) { return std::abs(static_cast<double>(x)) < 1e30; };  // not NaN
  if (constant.type() == DType::f64) return std::ranges::all_of(constant.as<double>(), small);
  if (constant.type() == DType::f32) return std::ranges::all_of(constant.as<float>(), small);
  return constant.type() == DType::i64;
}

// Per node: every value is finite, and stays so as a float32.
std::vector<bool> small_values(const Program& program) {
  std::vector<bool> small(program.nodes.size());
  for (size_t i = 0; i < small.size(); ++i) {
    const Node& node = program.nodes[i];
    if (node.op == "one_hot" || node.op == "is_missing" || node.op == "bin" || node.op == "binarize")
      small[i] = true;
    else if (node.op == "cast" || node.op == "check" || node.op == "guard" || node.op == "select")
      small[i] = small[static_cast<size_t>(node.inputs[0])];
    else if (node.op == "table")
      small[i] = holds_small(program.constant(node, "values")) &&
                 (!node.constants.contains("default") || holds_small(program.constant(node, "default")));
    else small[i] = node.type.dtype == DType::i32;
  }
  return small;
}

// Whether a node reads a column of float32 as float64.
bool widens(const Program& program, const Node& node) {
  if (node.op != "column" || node.type.dtype != DType::f64) return false;
  const int64_t column = NodeReader(program, node).integer("column");
  return program.schema[static_cast<size_t>(column)].type.kind == Kind::float32;
}

// Such columns as a float32 column and a cast: the same numbers.
Program with_casts(const Program& program) {
  ProgramCopy copy(program);
  for (const Node& original : program.nodes) {
    Node node = original;
    const bool cast_after = widens(program, original);
    if (cast_after) node.attributes["dtype"] = std::string("f32");
    const int32_t value = copy.add_moved(std::move(node));
    copy.next_is(cast_after ? cast(copy.program(), original.path, value, DType::f64) : value);
  }
  return copy.finish();
}

Fold fold_forests(const Program& program) {
  const FpEnvironment environment;  // the steps must compute here what they compute in a run
  Fold out;
  Budget budget(kMaxWork);
  const std::vector<bool> small = small_values(program);
  std::map<int32_t, FoldGroup> groups;  // by the value that the forests read
  for (size_t i = 0; i < program.nodes.size(); ++i) {
    if (program.nodes[i].op != "trees") continue;
    const int32_t value = program.nodes[i].inputs[0];
    groups.try_emplace(value, program, small, value, budget, out.notes)
        .first->second.add(static_cast<int32_t>(i));
  }
  for (auto group = groups.begin(); group != groups.end();)
    group = group->second.prepare() ? std::next(group) : groups.erase(group);
  out.changed = !groups.empty();
  if (!out.changed) return out;

  ProgramCopy copy(program);
  std::map<int32_t, int32_t> blocks;
  for (size_t i = 0; i < program.nodes.size(); ++i) {
    const Node& node = program.nodes[i];
    const auto group = node.op == "trees" ? groups.find(node.inputs[0]) : groups.end();
    if (group == groups.end()) {
      copy.next_is(copy.add_moved(node));
      continue;
    }
    if (!blocks.contains(group->first))
      blocks[group->first] = group->second.emit_block(copy.program(), copy.moved());
    copy.next_is(group->second.emit_forest(copy.program(), static_cast<int32_t>(i), blocks[group->first]));
  }
  out.program = copy.finish();
  return out;
}

}  // namespace

Fold fold(const Program& program) {
  const auto is_forest = [](const Node& node) { return node.op == "trees"; };
  const auto is_wide = [&](const Node& node) { return widens(program, node); };
  Fold out;
  if (std::ranges::any_of(program.nodes, is_forest)) {
    if (std::ranges::any_of(program.nodes, is_wide)) out = fold_forests(with_casts(program));
    else out = fold_forests(program);
  }
  if (auto dots = fold_dots(out.changed ? out.program : program, out.notes)) {
    out.program = std::move(*dots);
    out.changed = true;
  }
  return out;
}

}  // namespace mlcore

#include "runtime/fold_dots.h"

#include <algorithm>

#include "ops/dot.h"
#include "runtime/column_chain.h"
#include "runtime/program_copy.h"

namespace mlcore {
namespace {

// A file cannot make loading slow or deep: nodes that may be looked at and repeated for all dots together
// (concats may share inputs), and how far they may be nested.
constexpr int64_t kMaxNodes = 1 << 18;
constexpr int kMaxDepth = 256;

// An input of the dot that is to be: a block of floats with checks and casts to repeat on it, or codes.
struct Part {
  int32_t value;
  bool codes;
  int64_t width;
  std::vector<int32_t> wrappers;  // nodes, the outermost first
};

bool is_wrapper(const Node& node) { return node.op == "check" || node.op == "cast"; }

class Inputs {
 public:
  explicit Inputs(const Program& program) : program_(program), one_hot_(program.nodes.size()) {
    for (size_t i = 0; i < one_hot_.size(); ++i) {
      const Node& node = program.nodes[i];
      const auto inside = [&](int32_t input) {
        return static_cast<bool>(one_hot_[static_cast<size_t>(input)]);
      };
      one_hot_[i] = node.op == "one_hot" ||
                    ((is_wrapper(node) || node.op == "concat") && std::ranges::any_of(node.inputs, inside));
    }
  }

  // The parts of a value, in the order of its columns; empty when none is codes or there are too many.
  std::vector<Part> parts_of(int32_t value) {
    parts_.clear();
    std::vector<int32_t> wrappers;
    if (!one_hot_[static_cast<size_t>(value)] || !collect(value, wrappers, kMaxDepth)) return {};
    return std::move(parts_);
  }

 private:
  // False when it would be too much.
  bool collect(int32_t value, std::vector<int32_t>& wrappers, int depth) {
    left_ -= 1 + static_cast<int64_t>(wrappers.size());
    if (left_ < 0 || depth == 0) return false;
    const Node& node = program_.nodes[static_cast<size_t>(value)];
    if (!one_hot_[static_cast<size_t>(value)]) {
      parts_.push_back({value, false, node.type.width, wrappers});
    } else if (node.op == "one_hot") {
      parts_.push_back({node.inputs[0], true, node.type.width, {}});
    } else {
      if (is_wrapper(node)) wrappers.push_back(value);
      for (int32_t input : node.inputs)
        if (!collect(input, wrappers, depth - 1)) return false;
      if (is_wrapper(node)) wrappers.pop_back();
    }
    return true;
  }

  const Program& program_;
  std::vector<bool> one_hot_;  // by node: it is a one_hot, or made of one by concats, checks and casts
  std::vector<Part> parts_;
  int64_t left_ = kMaxNodes;
};

// Appends the parts and the dot on them.
int32_t emit(ProgramCopy& copy, Node dot, const std::vector<Part>& parts, const Program& from) {
  std::vector<int32_t> widths;
  dot.inputs.clear();
  for (const Part& part : parts) {
    int32_t value = copy.moved(part.value);
    for (auto wrapper = part.wrappers.rbegin(); wrapper != part.wrappers.rend(); ++wrapper) {
      Node node = from.nodes[static_cast<size_t>(*wrapper)];
      node.inputs = {value};
      value = copy.add(std::move(node));
    }
    dot.inputs.push_back(value);
    widths.push_back(static_cast<int32_t>(part.width));
  }
  auto& constants = copy.program().constants;
  constants.emplace_back(DType::i32, std::vector<int64_t>{static_cast<int64_t>(widths.size())},
                         std::as_bytes(std::span(widths)));
  dot.constants["widths"] = static_cast<int32_t>(constants.size()) - 1;
  return copy.add(std::move(dot));
}

}  // namespace

std::optional<Program> fold_dots(const Program& program, std::vector<FoldNote>& notes) {
  Inputs inputs(program);
  ProgramCopy copy(program);
  bool changed = false;
  for (const Node& node : program.nodes) {
    std::vector<Part> parts;
    if (node.op == "dot" && node.inputs.size() == 1 && why_no_codes(NodeReader(program, node)).empty())
      parts = inputs.parts_of(node.inputs[0]);
    if (parts.empty()) {
      copy.next_is(copy.add_moved(node));
    } else {
      changed = true;
      copy.next_is(emit(copy, node, parts, program));
      int64_t feature = 0;
      for (const Part& part : parts) {
        if (part.codes)
          notes.push_back({node.path,
                           "x" + text(feature) + " to x" + text(feature + part.width - 1),
                           "one_hot",
                           origin_text(program, {part.value, 0}),
                           text(part.width) + (part.width == 1 ? " weight" : " weights"),
                           -1,
                           {},
                           "dot"});
        feature += part.width;
      }
    }
  }
  if (!changed) return std::nullopt;
  return copy.finish();
}

}  // namespace mlcore

#include "device/text_apart.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "device/cut.h"
#include "runtime/program_copy.h"

namespace mlcore {
namespace {

class Apart {
 public:
  explicit Apart(const Program& program)
      : program_(program), copy_(program), columns_(program.nodes.size()) {}

  Program take() {
    for (size_t i = 0; i < program_.nodes.size(); ++i) {
      const Node& node = program_.nodes[i];
      // the block stays as it was, for whoever needs it whole; what nobody needs does not run
      int32_t value = copy_.add_moved(node);
      if (reads_columns(node)) {
        columns_[i] = columns_of(node);
        if (columns_[i].size() == 1) value = columns_[i].front();
        if (node.type.dtype != DType::str) value = copy_.add({"concat", node.path, columns_[i], {}, {}, {}});
      } else if (node.type.dtype == DType::str && node.type.width == 1) {
        columns_[i] = {value};
      }
      copy_.next_is(value);
    }
    return copy_.finish();
  }

 private:
  const std::vector<int32_t>& columns_in(int32_t input) const { return columns_[static_cast<size_t>(input)]; }

  bool reads_columns(const Node& node) const {
    const bool knows =
        node.op == "concat" || node.op == "select" || node.op == "fill" || node.op == "is_missing";
    return knows && std::ranges::all_of(node.inputs, [&](int32_t input) {
             return program_.nodes[static_cast<size_t>(input)].type.dtype == DType::str &&
                    !columns_in(input).empty();
           });
  }

  std::vector<int32_t> columns_of(const Node& node) {
    std::vector<int32_t> out;
    const std::vector<int32_t>& from = columns_in(node.inputs.front());
    if (node.op == "concat") {
      for (int32_t input : node.inputs)
        out.insert(out.end(), columns_in(input).begin(), columns_in(input).end());
    } else if (node.op == "select") {
      for (int64_t index : program_.constant(node, "indices").as<int64_t>())
        out.push_back(from[static_cast<size_t>(index)]);
    } else {
      for (size_t column = 0; column < from.size(); ++column) out.push_back(one_column(node, from, column));
    }
    return out;
  }

  int32_t one_column(const Node& node, const std::vector<int32_t>& from, size_t column) {
    Node one{node.op, node.path, {from[column]}, node.attributes, node.constants, {}};
    if (node.op == "fill") {
      const std::string_view value[] = {
          program_.constant(node, "value").string_at(static_cast<int64_t>(column))};
      one.constants["value"] = static_cast<int32_t>(copy_.program().constants.size());
      copy_.program().constants.push_back(Constant::strings(value));
    }
    return copy_.add(std::move(one));
  }

  const Program& program_;
  ProgramCopy copy_;
  std::vector<std::vector<int32_t>> columns_;  // per node: its columns in the copy; empty: none are known
};

// A column of text that an output no longer reads would no longer be refused: such an output waits for
// something that reads it.
void keep_refusals(const Program& before, Program& after) {
  const auto text_column = [&](int32_t column) {
    const auto found = std::ranges::find_if(after.nodes, [&](const Node& node) {
      return node.op == "column" && NodeReader(after, node).integer("column") == column;
    });
    return static_cast<int32_t>(found - after.nodes.begin());
  };
  for (size_t i = 0; i < after.outputs.size(); ++i) {
    int32_t& value = after.outputs[i].value;
    const std::vector<int32_t> now = columns_behind(after, value);
    Node guard{"guard", after.nodes[static_cast<size_t>(value)].path, {value}, {}, {}, {}};
    for (int32_t column : columns_behind(before, before.outputs[i].value)) {
      if (std::ranges::binary_search(now, column)) continue;
      after.nodes.push_back({"is_missing",
                             guard.path,
                             {text_column(column)},
                             {{"match", std::string("missing")}, {"dtype", std::string("f64")}},
                             {},
                             {}});
      guard.inputs.push_back(static_cast<int32_t>(after.nodes.size()) - 1);
    }
    if (guard.inputs.size() == 1) continue;
    after.nodes.push_back(std::move(guard));
    value = static_cast<int32_t>(after.nodes.size()) - 1;
  }
  validate_program(after);
}

}  // namespace

Program text_apart(const Program& program) {
  const bool has_blocks = std::ranges::any_of(
      program.nodes, [](const Node& node) { return node.type.dtype == DType::str && node.type.width > 1; });
  if (!has_blocks) return program;
  Program out = Apart(program).take();
  keep_refusals(program, out);
  return out;
}

}  // namespace mlcore

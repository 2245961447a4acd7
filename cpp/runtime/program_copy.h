// A program written anew node by node: values move where nodes are added or others take their place.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "ops/op.h"

namespace mlcore {

class ProgramCopy {
 public:
  explicit ProgramCopy(const Program& from) : from_(from) {
    out_.schema = from.schema;
    out_.constants = from.constants;
  }

  Program& program() { return out_; }
  // Where the values of the nodes that are done are now.
  const std::vector<int32_t>& moved() const { return moved_; }
  int32_t moved(int32_t value) const { return moved_[static_cast<size_t>(value)]; }

  // Appends a node; its inputs are values of the copy.
  int32_t add(Node node) {
    out_.nodes.push_back(std::move(node));
    return static_cast<int32_t>(out_.nodes.size()) - 1;
  }
  // Appends a node of the original, or one with its inputs.
  int32_t add_moved(Node node) {
    for (int32_t& input : node.inputs) input = moved(input);
    return add(std::move(node));
  }
  // The value that takes the place of the original's next one.
  void next_is(int32_t value) { moved_.push_back(value); }

  Program finish() {
    out_.outputs = from_.outputs;
    for (OutputSpec& output : out_.outputs) output.value = moved(output.value);
    validate_program(out_);
    return std::move(out_);
  }

 private:
  const Program& from_;
  Program out_;
  std::vector<int32_t> moved_;
};

}  // namespace mlcore

#include "device/cut.h"

#include <algorithm>

#include "base/status.h"
#include "ops/op.h"

namespace mlcore {
namespace {

constexpr size_t kLongestChain = 12;  // what the kernels take

class Cutter {
 public:
  explicit Cutter(const Program& program) : program_(program), count_(program.nodes.size()) {}

  Cut cut() {
    find_host();
    std::vector<int32_t> shown;
    for (size_t i = 0; i < program_.outputs.size(); ++i) {
      const int32_t value = program_.outputs[i].value;
      if (host_[static_cast<size_t>(value)]) out_.host_outputs.push_back(static_cast<int32_t>(i));
      else shown.push_back(value);
    }
    needed_ = program_.ancestors(shown);
    describe();
    fill_feed();
    fill_rest();
    return std::move(out_);
  }

 private:
  const Node& node(size_t i) const { return program_.nodes[i]; }

  // Whatever touches text, all that it needs, and the columns.
  void find_host() {
    host_.assign(count_, false);
    for (size_t i = count_; i-- > 0;) {
      const auto is_text = [&](int32_t input) {
        return node(static_cast<size_t>(input)).type.dtype == DType::str;
      };
      if (node(i).op == "column" || node(i).type.dtype == DType::str ||
          std::ranges::any_of(node(i).inputs, is_text))
        host_[i] = true;
      if (host_[i])
        for (int32_t input : node(i).inputs) host_[static_cast<size_t>(input)] = true;
    }
  }

  bool on_device(size_t i) const { return needed_[i] && !host_[i]; }

  void describe() {
    described_.resize(count_);
    std::string problems;
    for (size_t i = 0; i < count_; ++i) {
      if (!on_device(i) || is_structure(i)) continue;
      const NodeReader reader(program_, node(i));
      const OpDef& op = op_named(node(i).op, node(i).path);
      if (op.device != nullptr) described_[i] = op.device(reader);
      if (!described_[i]) problems += "\n  " + reader.where();
      else if (node(i).inputs.size() > device::kMaxInputs)
        problems +=
            "\n  " + reader.where() + ", which reads more than " + text(device::kMaxInputs) + " blocks";
    }
    require(problems.empty(), ErrorCode::device, "expected steps that a device can run but found:", problems);
  }

  // Of these no kernel computes anything.
  bool is_structure(size_t i) const { return node(i).op == "guard" || node(i).op == "concat"; }

  void fill_feed() {
    out_.feed = program_;
    out_.feed.outputs.clear();
    out_.feed.golden = {};
    for (size_t i = 0; i < count_; ++i) {
      if (!host_[i] || !crosses(i)) continue;
      Crossing crossing{static_cast<int32_t>(i), node(i).type, -1, {}};
      if (node(i).op == "column") {
        crossing.column = static_cast<int32_t>(NodeReader(program_, node(i)).integer("column"));
        crossing.behind = {crossing.column};
      } else {
        crossing.behind = columns_behind(program_, crossing.node);
      }
      out_.crossings.push_back(std::move(crossing));
      OutputSpec output;
      output.method = "crossing " + text(out_.crossings.size());
      output.value = static_cast<int32_t>(i);
      output.dtype = "object";
      out_.feed.outputs.push_back(output);
    }
    for (int32_t output : out_.host_outputs)
      out_.feed.outputs.push_back(program_.outputs[static_cast<size_t>(output)]);
  }

  bool crosses(size_t i) const {
    for (size_t j = i + 1; j < count_; ++j)
      if (on_device(j) && std::ranges::find(node(j).inputs, static_cast<int32_t>(i)) != node(j).inputs.end())
        return true;
    return false;
  }

  void fill_rest() {
    new_id_.assign(count_, -1);
    readers_.assign(count_, 0);
    for (size_t i = 0; i < count_; ++i)
      if (on_device(i))
        for (int32_t input : node(i).inputs) ++readers_[static_cast<size_t>(input)];
    for (const OutputSpec& output : program_.outputs) readers_[static_cast<size_t>(output.value)] += 2;
    for (const Crossing& crossing : out_.crossings) {
      if (crossing.type.dtype == DType::str) continue;
      ColumnSpec spec;
      spec.name = "c" + text(out_.rest.schema.size());
      Node column;
      column.op = "column";
      column.type = crossing.type;
      add(static_cast<size_t>(crossing.node), std::move(column), nullptr);
      out_.rest.schema.push_back(std::move(spec));
    }
    find_chains();
    for (size_t i = 0; i < count_; ++i)
      if (on_device(i) && !is_fused_[i]) add_device_node(i);
    out_.rest.outputs = program_.outputs;
    for (OutputSpec& output : out_.rest.outputs) {
      const auto value = static_cast<size_t>(output.value);
      output.value = host_[value] ? -1 : new_id_[value];
    }
  }

  bool is_chain(size_t i) const {
    return described_[i] && described_[i]->spec().kind == device::StepKind::elements;
  }

  // Functions of one number whose value only one other reads become one step with it.
  void find_chains() {
    before_.assign(count_, -1);
    is_fused_.assign(count_, false);
    std::vector<size_t> length(count_, 1);
    for (size_t i = 0; i < count_; ++i) {
      if (!on_device(i) || !is_chain(i)) continue;
      const auto from = static_cast<size_t>(node(i).inputs[0]);
      if (!on_device(from) || !is_chain(from) || readers_[from] != 1 || length[from] >= kLongestChain)
        continue;
      before_[i] = static_cast<int32_t>(from);
      is_fused_[from] = true;
      length[i] = length[from] + 1;
    }
  }

  void add_device_node(size_t i) {
    Node rest = node(i);
    rest.constants.clear();
    if (before_[i] >= 0) {
      std::vector<size_t> chain{i};
      while (before_[chain.back()] >= 0) chain.push_back(static_cast<size_t>(before_[chain.back()]));
      std::ranges::reverse(chain);
      rest.inputs = node(chain.front()).inputs;
      DeviceStepPtr step = std::move(described_[chain.front()]);
      for (size_t k = 1; k < chain.size(); ++k) step->append(*described_[chain[k]]);
      described_[i] = std::move(step);
      // a check alone leaves its input as it is
      for (size_t at : chain)
        if (!op_named(node(at).op, node(at).path).in_place) rest.op = node(at).op;
    }
    for (int32_t& input : rest.inputs) input = new_id_[static_cast<size_t>(input)];
    std::erase(rest.inputs, -1);  // text that a guard waits for
    add(i, std::move(rest), std::move(described_[i]));
  }

  void add(size_t i, Node rest, DeviceStepPtr step) {
    new_id_[i] = static_cast<int32_t>(out_.rest.nodes.size());
    out_.rest.nodes.push_back(std::move(rest));
    out_.steps.push_back(std::move(step));
  }

  const Program& program_;
  size_t count_;
  std::vector<bool> host_, needed_;
  std::vector<DeviceStepPtr> described_;
  std::vector<int32_t> new_id_, before_;  // before_: the function whose value this one takes in a chain
  std::vector<bool> is_fused_;
  std::vector<int> readers_;  // nodes of the device; outputs count as several
  Cut out_;
};

}  // namespace

std::vector<int32_t> columns_behind(const Program& program, int32_t value) {
  const std::vector<bool> needed = program.ancestors({{value}});
  std::vector<int32_t> out;
  for (size_t i = 0; i < needed.size(); ++i)
    if (needed[i] && program.nodes[i].op == "column")
      out.push_back(static_cast<int32_t>(NodeReader(program, program.nodes[i]).integer("column")));
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Cut cut_for_device(const Program& program) { return Cutter(program).cut(); }

}  // namespace mlcore

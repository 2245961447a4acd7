#include "runtime/column_chain.h"

#include <algorithm>
#include <cstring>

namespace mlcore {
namespace {

constexpr size_t kMaxLinks = 64;
constexpr int64_t kStepWork = 256;  // of looking at a step, in numbers computed
// Larger codes count as unknown: a short file may name any, and each is sent through the steps.
constexpr int32_t kMaxCode = 1 << 21;

// The codes that a column can hold; nothing when they are not known.
std::optional<CodeRange> codes_of(const Program& program, ColumnRef at) {
  const Node& node = program.nodes[static_cast<size_t>(at.value)];
  const NodeReader reader(program, node);
  if (node.op == "bin") {
    const auto offsets = reader.constant("offsets", DType::i64).as<int64_t>();
    const auto column = static_cast<size_t>(at.column);
    const CodeRange range{0, static_cast<int32_t>(offsets[column + 1] - offsets[column])};
    return range.last <= kMaxCode ? std::optional(range) : std::nullopt;
  }
  if (node.op != "encode") return std::nullopt;
  CodeRange range{0, -1};
  const auto add = [&](int64_t code) {
    range.first = std::min(range.first, static_cast<int32_t>(code));
    range.last = std::max(range.last, static_cast<int32_t>(code));
  };
  if (reader.has_constant("codes"))
    for (int32_t code : reader.constant("codes", DType::i32).as<int32_t>()) add(code);
  else add(program.constant(node, "keys").size() - 1);
  if (reader.choice("unknown", {"code", "error"}) == "code") add(reader.integer_or("unknown_code", -1));
  for (const char* name : {"null_code", "none_code", "nan_code"})
    if (reader.has_attribute(name)) add(reader.integer(name));
  return range.last <= kMaxCode ? std::optional(range) : std::nullopt;
}

template <class T>
std::vector<std::byte> as_block(const std::vector<double>& values) {
  std::vector<std::byte> out(values.size() * sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) {
    const T value = static_cast<T>(values[i]);
    std::memcpy(out.data() + i * sizeof(T), &value, sizeof value);
  }
  return out;
}

template <class T>
std::vector<double> as_doubles(const std::vector<std::byte>& block) {
  std::vector<double> out(block.size() / sizeof(T));
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, block.data() + i * sizeof(T), sizeof value);
    out[i] = static_cast<double>(value);
  }
  return out;
}

Order both(Order a, Order b) {
  if (a == Order::lookup || b == Order::lookup) return Order::lookup;
  if (a == Order::same) return b;
  if (b == Order::same) return a;
  return a == b ? Order::rising : Order::falling;
}

}  // namespace

ColumnChain::ColumnChain(const Program& program, ColumnRef end, Reach reach, Budget& budget)
    : origin_(end), origin_type_(program.nodes[static_cast<size_t>(end.value)].type.dtype) {
  if (origin_type_ == DType::i32) {
    order_ = Order::lookup;
    codes_ = codes_of(program, end);
  }
  ColumnRef here = end;
  Order order = Order::same;
  std::vector<Link> links;
  size_t kept = 0;
  while (links.size() < kMaxLinks) {
    const Node& node = program.nodes[static_cast<size_t>(here.value)];
    const OpDef& op = op_named(node.op, node.path);
    if (!op.column_step) break;
    const NodeReader reader(program, node);
    std::optional<ColumnStep> step = op.column_step(reader, here.column);
    if (!step) break;
    int64_t size = kStepWork;
    for (const auto& [name, constant] : step->constants) size += constant.size();
    if (!budget.spend(size) || (reach == Reach::same && step->order != Order::same)) break;
    here = {node.inputs[step->input], step->column};
    const DType type = program.nodes[static_cast<size_t>(here.value)].type.dtype;
    if (step->order != Order::same) {
      order = both(order, step->order);
      links.push_back(make_link(std::move(*step), node, type));
    }
    const auto codes = type == DType::i32 && reach == Reach::codes ? codes_of(program, here) : std::nullopt;
    const bool ordered = (type == DType::f64 || type == DType::f32) && order != Order::lookup;
    if (!codes && !ordered) continue;
    origin_ = here;
    origin_type_ = type;
    order_ = codes ? Order::lookup : order;
    codes_ = codes;
    kept = links.size();
  }
  links.resize(kept);
  links_ = std::move(links);
}

ColumnChain::Link ColumnChain::make_link(ColumnStep step, const Node& original, DType input) {
  Link link{std::make_unique<Program>(), nullptr};
  Program& program = *link.program;
  program.nodes.resize(2);
  program.nodes[0].op = "broadcast";  // stands for whatever the input is; never run
  program.nodes[0].type = {input, 1};
  Node& node = program.nodes[1];
  node.op = std::move(step.op);
  node.path = original.path;
  node.inputs = {0};
  node.attributes = std::move(step.attributes);
  const bool same_constants = step.constants.empty() && !original.constants.empty();
  require(!same_constants, ErrorCode::program, "op ", quoted(node.op),
          ": expected constants of one column but found none");
  for (auto& [name, constant] : step.constants) {
    node.constants[name] = static_cast<int32_t>(program.constants.size());
    program.constants.push_back(std::move(constant));
  }
  const NodeReader reader(program, node);
  const OpDef& op = op_named(node.op, node.path);
  node.type = op.validate(reader);
  link.step = op.lower(reader);
  return link;
}

std::optional<int32_t> ColumnChain::single_code() const {
  if (!from_codes() || links_.empty()) return std::nullopt;
  const Node& first = links_.back().node();
  if (first.op != "is_missing" || !first.constants.contains("match_value")) return std::nullopt;
  return links_.back().program->constant(first, "match_value").as<int32_t>()[0];
}

std::vector<double> ColumnChain::values(const std::vector<double>& origin) const {
  if (links_.empty()) return origin;
  const auto rows = static_cast<int64_t>(origin.size());
  std::vector<std::byte> block = origin_type_ == DType::f64   ? as_block<double>(origin)
                                 : origin_type_ == DType::f32 ? as_block<float>(origin)
                                                              : as_block<int32_t>(origin);
  std::vector<std::byte> next, scratch;
  for (size_t i = links_.size(); i-- > 0;) {
    const Link& link = links_[i];
    next.resize(size_of(link.node().type.dtype) * origin.size());
    scratch.resize(link.step->scratch_bytes(rows) + 64);
    const auto address = reinterpret_cast<uintptr_t>(scratch.data());
    const BlockView input{block.data(), rows, 1};
    link.step->run({{&input, 1}, {next.data(), rows, 1}, scratch.data() + (64 - address % 64), 0});
    block.swap(next);
  }
  switch (links_.front().node().type.dtype) {
    case DType::f64: return as_doubles<double>(block);
    case DType::f32: return as_doubles<float>(block);
    case DType::i64: return as_doubles<int64_t>(block);
    default: return as_doubles<int32_t>(block);
  }
}

std::string ColumnChain::text() const {
  std::string out;
  for (size_t i = links_.size(); i-- > 0;) {
    const Node& node = links_[i].node();
    if (!out.empty()) out += ", ";
    out += single_code() && i + 1 == links_.size() ? "one_hot" : node.op;
    const auto fn = node.attributes.find("fn");
    if (fn != node.attributes.end())
      if (const auto* name = std::get_if<std::string>(&fn->second)) out += " " + *name;
  }
  return out;
}

std::string origin_text(const Program& program, ColumnRef origin) {
  const Node& node = program.nodes[static_cast<size_t>(origin.value)];
  const NodeReader reader(program, node);
  if (node.op == "column")
    return "column " + quoted(program.schema[static_cast<size_t>(reader.integer("column"))].name);
  if (node.op == "encode") return "codes of column " + quoted(column_label(reader, 0, 0));
  return "column " + text(origin.column) + " of " + node.op + " of " + node.path;
}

}  // namespace mlcore

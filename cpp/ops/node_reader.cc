#include <algorithm>

#include "ops/op.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

template <class List, class Name>
std::string alternatives(const List& allowed, const Name& name) {
  std::string out;
  size_t at = 0;
  for (const auto& entry : allowed) {
    if (at != 0) out += at + 1 == allowed.size() ? " or " : ", ";
    out += name(entry);
    ++at;
  }
  return out;
}

std::string_view kind_of(const Attribute& attribute) {
  constexpr std::string_view kKinds[] = {"a bool", "an int", "a string"};
  return kKinds[attribute.index()];
}

// The attribute as T; `wanted` says in words what T is.
template <class T>
const T& attribute_as(const NodeReader& reader, std::string_view name, std::string_view wanted) {
  const auto found = reader.node().attributes.find(std::string(name));
  reader.expect(found != reader.node().attributes.end(), "expected attribute '", name, "' but found none");
  const T* value = std::get_if<T>(&found->second);
  reader.expect(value != nullptr, "expected attribute '", name, "' to be ", wanted, " but found ",
                kind_of(found->second));
  return *value;
}

}  // namespace

std::string step_name(std::string_view path) {
  constexpr size_t kLongest = 300;
  const bool plain = path.size() <= kLongest && std::all_of(path.begin(), path.end(), [](char c) {
                       const auto byte = static_cast<unsigned char>(c);
                       return byte >= 0x20 && byte != 0x7f;
                     });
  return "step " + (plain ? "'" + std::string(path) + "'" : quoted(path));
}

void Blame::refuse(const std::string& expected, int64_t column, const std::string& found, int64_t row) const {
  const NodeReader reader(*program_, *node_);
  fail(ErrorCode::input, step_name(node_->path), ": expected ", expected, " in column ",
       quoted(column_label(reader, 0, column)), " but found ", found, " (row ", row, ")");
}

void Blame::bad_code(int64_t code, int64_t limit) const {
  fail(ErrorCode::program, NodeReader(*program_, *node_).where(), ": expected a code from 0 to ", limit - 1,
       " but found ", code);
}

std::string NodeReader::where() const { return "op " + quoted(node_.op) + " of " + step_name(node_.path); }

void NodeReader::expect_inputs(size_t count) const {
  expect(input_count() == count, "expected ", count, count == 1 ? " input" : " inputs", " but found ",
         input_count());
}

void NodeReader::expect_dtype(size_t index, std::initializer_list<DType> allowed) const {
  const DType found = input(index).dtype;
  expect(std::find(allowed.begin(), allowed.end(), found) != allowed.end(), "expected input ", index,
         " of type ", alternatives(allowed, [](DType type) { return name_of(type); }), " but found ",
         name_of(found));
}

bool NodeReader::has_attribute(std::string_view name) const {
  return node_.attributes.contains(std::string(name));
}

bool NodeReader::flag(std::string_view name) const {
  read_.emplace(name);
  return attribute_as<bool>(*this, name, "a bool");
}

bool NodeReader::flag_or(std::string_view name, bool fallback) const {
  return has_attribute(name) ? flag(name) : fallback;
}

int64_t NodeReader::integer(std::string_view name) const {
  read_.emplace(name);
  return attribute_as<int64_t>(*this, name, "an int");
}

int64_t NodeReader::integer_or(std::string_view name, int64_t fallback) const {
  return has_attribute(name) ? integer(name) : fallback;
}

const std::string& NodeReader::choice(std::string_view name,
                                      std::initializer_list<std::string_view> allowed) const {
  read_.emplace(name);
  const auto& value = attribute_as<std::string>(*this, name, "a string");
  expect(std::find(allowed.begin(), allowed.end(), value) != allowed.end(), "expected attribute '", name,
         "' to be ", alternatives(allowed, [](std::string_view entry) { return entry; }), " but found ",
         quoted(value));
  return value;
}

DType NodeReader::dtype(std::string_view name, std::initializer_list<DType> allowed) const {
  read_.emplace(name);
  const auto& value = attribute_as<std::string>(*this, name, "a string");
  const auto type = dtype_named(value);
  expect(type && std::find(allowed.begin(), allowed.end(), *type) != allowed.end(), "expected attribute '",
         name, "' to be ", alternatives(allowed, [](DType entry) { return name_of(entry); }), " but found ",
         quoted(value));
  return *type;
}

bool NodeReader::has_constant(std::string_view name) const {
  return node_.constants.contains(std::string(name));
}

const Constant& NodeReader::constant(std::string_view name, DType type, int64_t size) const {
  return constant_of(name, {type}, size);
}

const Constant& NodeReader::constant_of(std::string_view name, std::initializer_list<DType> allowed,
                                        int64_t size) const {
  read_.emplace(name);
  const Constant& value = program_.constant(node_, name);
  expect(std::find(allowed.begin(), allowed.end(), value.type()) != allowed.end(), "expected constant '",
         name, "' of type ", alternatives(allowed, [](DType type) { return name_of(type); }), " but found ",
         name_of(value.type()));
  expect(size < 0 || value.size() == size, "expected ", size, size == 1 ? " element" : " elements",
         " in constant '", name, "' but found ", value.size());
  return value;
}

void NodeReader::finish() const {
  for (const auto& [name, value] : node_.attributes)
    expect(read_.contains(name), "expected no attribute ", quoted(name), " here but found one");
  for (const auto& [name, value] : node_.constants)
    expect(read_.contains(name), "expected no constant ", quoted(name), " here but found one");
}

std::string column_label(const NodeReader& reader, size_t input, int64_t column) {
  constexpr std::string_view kSameColumn[] = {"check", "guard", "fill", "cast", "encode"};
  const Program& program = reader.program();
  const std::string fallback = "x" + text(column);
  const Node* node = &program.nodes[static_cast<size_t>(reader.node().inputs[input])];
  for (;;) {
    const NodeReader at(program, *node);
    size_t next = 0;
    if (node->op == "column") {
      return program.schema[static_cast<size_t>(at.integer("column"))].name;
    } else if (node->op == "select") {
      column = at.constant("indices", DType::i64).as<int64_t>()[static_cast<size_t>(column)];
    } else if (node->op == "concat") {
      while (column >= at.input(next).width) column -= at.input(next++).width;
    } else if (std::find(std::begin(kSameColumn), std::end(kSameColumn), node->op) == std::end(kSameColumn)) {
      return fallback;
    }
    node = &program.nodes[static_cast<size_t>(node->inputs[next])];
  }
}

}  // namespace mlcore

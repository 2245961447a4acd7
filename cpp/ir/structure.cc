#include "ir/structure.h"

#include "base/utf8.h"

namespace mlcore {
namespace {

template <class... Parts>
void expect(bool condition, const Parts&... parts) {
  require(condition, ErrorCode::program, "expected ", parts...);
}

void check_utf8(std::string_view value, std::string_view what) {
  if (!is_utf8(value)) fail(ErrorCode::program, "expected ", what, " to be UTF-8 but found ", quoted(value));
}

// A NUL would end the name early wherever it meets C, the Arrow interface above all.
void check_text(std::string_view value, std::string_view what) {
  check_utf8(value, what);
  if (value.find('\0') != std::string_view::npos)
    fail(ErrorCode::program, "expected ", what, " without NUL but found ", quoted(value));
}

void check_schema(const std::vector<ColumnSpec>& schema) {
  for (const ColumnSpec& column : schema) {
    check_text(column.name, "the name of a column");
    check_text(column.type.timezone, "the time zone of a column");
    const std::string type = name_of(column.type);
    expect(logical_type_named(type) == column.type, "a column type with a name of its own but column ",
           quoted(column.name), " has ", quoted(type));
  }
}

void check_node(const Program& program, size_t id) {
  const Node& node = program.nodes[id];
  check_text(node.op, "the name of an op");
  check_text(node.path, "the path of a step");
  const auto where = [&] {
    return "node " + text(id) + ", op " + quoted(node.op) + " of step " + quoted(node.path);
  };
  for (int32_t input : node.inputs)
    if (input < 0 || static_cast<size_t>(input) >= id)
      fail(ErrorCode::program, where(), ": expected inputs below its own id but found ", input);
  for (const auto& [key, value] : node.attributes) {
    check_text(key, "the name of an attribute");
    if (const auto* held = std::get_if<std::string>(&value)) check_text(*held, "an attribute");
  }
  for (const auto& [key, index] : node.constants) {
    check_text(key, "the name of a constant");
    if (index < 0 || static_cast<size_t>(index) >= program.constants.size())
      fail(ErrorCode::program, where(), ": expected constant ", quoted(key), " below ",
           program.constants.size(), " but found ", index);
  }
}

void check_outputs(const Program& program) {
  for (const OutputSpec& output : program.outputs) {
    check_text(output.method, "the method of an output");
    check_text(output.dtype, "the dtype of an output");
    const std::string where = "output " + quoted(output.method);
    expect(output.value >= 0 && static_cast<size_t>(output.value) < program.nodes.size(), where,
           " to be one of ", program.nodes.size(), " values but found ", output.value);
    expect(output.index >= -1, where, " at -1 or a position but found ", output.index);
    expect(output.labels >= -1 &&
               (output.labels < 0 || static_cast<size_t>(output.labels) < program.constants.size()),
           "the labels of ", where, " to be one of ", program.constants.size(), " constants but found ",
           output.labels);
    for (const std::string& name : output.names) check_utf8(name, "the name of an output's column");
  }
}

void check_golden(const Program& program) {
  const auto check = [&](const std::vector<int32_t>& ids) {
    for (int32_t id : ids)
      expect(id >= -1 && (id < 0 || static_cast<size_t>(id) < program.constants.size()),
             "golden rows in one of ", program.constants.size(), " constants but found ", id);
  };
  check(program.golden.columns);
  check(program.golden.missing);
  check(program.golden.expected);
}

}  // namespace

void check_structure(const Program& program) {
  check_schema(program.schema);
  for (size_t id = 0; id < program.nodes.size(); ++id) check_node(program, id);
  check_outputs(program);
  check_golden(program);
  for (const auto& [key, value] : program.provenance) {
    check_text(key, "a key of the provenance");
    check_text(value, "the provenance");
  }
}

}  // namespace mlcore

#include "ir/structure.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/utf8.h"

namespace mlcore {
namespace {

template <class... Parts>
void expect(bool condition, const Parts&... parts) {
  require(condition, ErrorCode::program, "expected ", parts...);
}

// A NUL would end the name early wherever it meets C, the Arrow interface above all.
void check_text(std::string_view value, std::string_view what) {
  expect(is_utf8(value), what, " to be UTF-8 but found ", quoted(value));
  expect(value.find('\0') == std::string_view::npos, what, " without NUL but found ", quoted(value));
}

void check_schema(const std::vector<ColumnSpec>& schema) {
  std::vector<std::string_view> names;
  for (const ColumnSpec& column : schema) {
    check_text(column.name, "the name of a column");
    check_text(column.type.timezone, "the time zone of a column");
    const std::string type = name_of(column.type);
    expect(logical_type_named(type) == column.type, "a column type with a name of its own but column ",
           quoted(column.name), " has ", quoted(type));
    names.push_back(column.name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  expect(twice == names.end(), "columns of different names but found ",
         twice == names.end() ? std::string() : quoted(*twice), " twice");
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
  std::set<std::pair<std::string_view, int32_t>> seen;
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
    expect(seen.emplace(output.method, output.index).second, where, " once but found index ", output.index,
           " twice");
    for (const std::string& name : output.names)
      expect(is_utf8(name), "the names of ", where, " to be UTF-8 but found ", quoted(name));
  }
}

const Constant& golden_constant(const Program& program, int32_t index, std::string_view what) {
  expect(index >= 0 && static_cast<size_t>(index) < program.constants.size(), "golden ", what,
         " to be one of ", program.constants.size(), " constants but found ", index);
  return program.constants[static_cast<size_t>(index)];
}

void check_golden(const Program& program) {
  const GoldenRows& golden = program.golden;
  if (golden.rows == 0 && golden.columns.empty() && golden.missing.empty() && golden.expected.empty()) return;
  expect(golden.rows >= 0, "a count of golden rows but found ", golden.rows);
  const auto check_count = [](size_t found, size_t wanted, std::string_view what) {
    expect(found == wanted, wanted, " golden ", what, " but found ", found);
  };
  check_count(golden.columns.size(), program.schema.size(), "columns");
  check_count(golden.missing.size(), program.schema.size(), "lists of missing values");
  check_count(golden.expected.size(), program.outputs.size(), "outputs");
  for (size_t i = 0; i < golden.columns.size(); ++i) {
    if (golden.columns[i] != -1) {  // -1: nothing reads the column
      const Constant& column = golden_constant(program, golden.columns[i], "column");
      const DType type = column.type();
      expect(type == DType::f64 || type == DType::i64 || type == DType::str,
             "a golden column of f64, i64 or str but found ", name_of(type));
      expect(column.size() == golden.rows, golden.rows, " values in a golden column but found ",
             column.size());
    }
    if (golden.missing[i] != -1) {
      const Constant& missing = golden_constant(program, golden.missing[i], "list of missing values");
      expect(missing.type() == DType::u8 && missing.size() == golden.rows, golden.rows,
             " bytes that say which golden values are missing but found ", missing.size(), " of ",
             name_of(missing.type()));
      for (uint8_t kind : missing.as<uint8_t>())
        expect(kind <= 1 + kNaN, "a kind of missing value up to ", 1 + static_cast<int>(kNaN), " but found ",
               static_cast<int>(kind));
    }
  }
  for (int32_t index : golden.expected) {
    const int64_t found = golden_constant(program, index, "output").size();
    // A count of rows that nothing backs would cost time at load for nothing.
    expect(golden.rows == 0 ? found == 0 : found >= golden.rows && found % golden.rows == 0,
           "a golden output of a whole number of values for ", golden.rows, " rows but found ", found);
  }
  expect(golden.rows == 0 || !golden.expected.empty(), "an output for ", golden.rows,
         " golden rows but found none");
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

// What makes a program safe to run: every edge, size, range and name that run() and its callers rely on.
#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "base/number.h"
#include "ops/op.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

constexpr int64_t kMaxWidth = int64_t{1} << 24;
constexpr int64_t kMaxRowBytes = int64_t{1} << 27;  // of all values of one row: what a one-row plan allocates

void check_schema(const Program& program) {
  std::set<std::string_view> names;
  for (const ColumnSpec& column : program.schema)
    require(names.insert(column.name).second, ErrorCode::program,
            "schema: expected distinct column names but found ", quoted(column.name), " twice");
}

void check_nodes(Program& program) {
  require(program.nodes.size() <= static_cast<size_t>(std::numeric_limits<int32_t>::max()),
          ErrorCode::program, "expected fewer than 2^31 nodes but found ", program.nodes.size());
  int64_t row_bytes = 0;
  for (size_t i = 0; i < program.nodes.size(); ++i) {
    validate_node(program, i);
    const ValueType type = program.nodes[i].type;
    row_bytes += static_cast<int64_t>(size_of(type.dtype)) * type.width;
    require(row_bytes <= kMaxRowBytes, ErrorCode::program, step_name(program.nodes[i].path),
            ": expected at most ", kMaxRowBytes, " bytes of values per row but found more");
  }
}

// -- the integers a value can hold ----------------------------------------------------------------

struct Range {
  int64_t low = std::numeric_limits<int64_t>::max();
  int64_t high = std::numeric_limits<int64_t>::min();

  void add(int64_t value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void add(Range other) {
    low = std::min(low, other.low);
    high = std::max(high, other.high);
  }
};

constexpr Range kAnyInteger{std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};

template <class T>
void add_all(Range& range, const NodeReader& reader, std::string_view name) {
  if (!reader.has_constant(name)) return;
  for (T value : reader.program().constant(reader.node(), name).as<T>()) range.add(value);
}

// Bounds of an i64 block, from the ops that give class positions; any integer where nothing is known.
Range range_of(const NodeReader& reader, const std::vector<Range>& ranges) {
  const std::string& op = reader.node().op;
  Range range;
  if (op == "argmax") {
    range.add(Range{0, reader.input(0).width - 1});
  } else if (op == "threshold") {
    range.add(Range{0, 1});
  } else if (op == "vote") {
    range.add(Range{0, reader.integer("classes") - 1});
  } else if (op == "broadcast" && reader.node().type.dtype == DType::i64) {
    add_all<int64_t>(range, reader, "value");
  } else if (op == "table" && reader.node().type.dtype == DType::i64) {
    add_all<int64_t>(range, reader, "values");
    add_all<int64_t>(range, reader, "default");
  } else if (op == "guard") {
    range.add(ranges[static_cast<size_t>(reader.node().inputs[0])]);
  } else if (op == "select" || op == "concat") {
    for (int32_t input : reader.node().inputs) range.add(ranges[static_cast<size_t>(input)]);
  } else {
    return kAnyInteger;
  }
  return range;
}

std::vector<Range> ranges_of(const Program& program) {
  std::vector<Range> ranges;
  for (const Node& node : program.nodes) ranges.push_back(range_of(NodeReader(program, node), ranges));
  return ranges;
}

// -- outputs --------------------------------------------------------------------------------------

// Characters of a fixed-width NumPy string dtype such as "<U5"; -1: the name is no such dtype.
int64_t fixed_text_length(std::string_view dtype) {
  constexpr std::string_view kPrefix = "<U";
  constexpr int64_t kLongest = 1 << 24;
  if (!dtype.starts_with(kPrefix)) return -1;
  const std::string_view digits = dtype.substr(kPrefix.size());
  const std::optional<int64_t> length = number_in<int64_t>(digits);
  return length && *length >= 1 && *length <= kLongest && digits.front() != '0' ? *length : -1;
}

bool is_numeric_dtype(std::string_view dtype) {
  constexpr std::string_view kNames[] = {"float64", "float32", "float16", "int64",  "int32", "int16",
                                         "int8",    "uint64",  "uint32",  "uint16", "uint8", "bool"};
  return std::find(std::begin(kNames), std::end(kNames), dtype) != std::end(kNames);
}

int64_t character_count(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

class OutputCheck {
 public:
  explicit OutputCheck(const Program& program) : program_(program), ranges_(ranges_of(program)) {}

  void check(const OutputSpec& output) {
    expect(output, !output.method.empty(), "expected the name of a method but found none");
    const auto seen = next_index_.find(output.method);
    if (output.index == -1) {
      expect(output, seen == next_index_.end(), "expected one array but found another of the same name");
      next_index_[output.method] = -1;
    } else {
      const int32_t next = seen == next_index_.end() ? 0 : seen->second;
      expect(output, output.index == next, "expected its arrays in order but found position ", output.index,
             " at the place of ", next);
      next_index_[output.method] = next + 1;
    }
    expect(output, output.value >= 0 && static_cast<size_t>(output.value) < program_.nodes.size(),
           "expected a value below ", program_.nodes.size(), " but found ", output.value);
    const ValueType type = program_.nodes[static_cast<size_t>(output.value)].type;
    expect(output, !output.vector || type.width == 1, "expected a vector of width 1 but found width ",
           type.width);
    expect(output, output.names.empty() || static_cast<int64_t>(output.names.size()) == type.width,
           "expected ", type.width, " names or none but found ", output.names.size());
    check_dtype(output, output.labels < 0 ? type.dtype : check_labels(output, type));
  }

 private:
  template <class... Parts>
  static void expect(const OutputSpec& output, bool condition, const Parts&... parts) {
    require(condition, ErrorCode::program, "output ", quoted(output.method), ": ", parts...);
  }

  // Positions in the labels are proved here, so that nothing has to look them up with a check.
  DType check_labels(const OutputSpec& output, ValueType type) const {
    expect(output, static_cast<size_t>(output.labels) < program_.constants.size(),
           "expected labels to be one of ", program_.constants.size(), " slabs but found index ",
           output.labels);
    expect(output, type.dtype == DType::i64, "expected positions of labels of type i64 but found ",
           name_of(type.dtype));
    const Constant& labels = program_.constants[static_cast<size_t>(output.labels)];
    const Range range = ranges_[static_cast<size_t>(output.value)];
    expect(output, range.low >= 0 && range.high < labels.size(), "expected positions from 0 to ",
           labels.size() - 1, " because there are so many labels, but the value may hold others");
    const int64_t longest = fixed_text_length(output.dtype);
    if (labels.type() == DType::str && longest > 0)
      for (int64_t i = 0; i < labels.size(); ++i)
        expect(output, character_count(labels.string_at(i)) <= longest, "expected labels that fit ",
               output.dtype, " but found ", quoted(labels.string_at(i)));
    return labels.type();
  }

  static void check_dtype(const OutputSpec& output, DType shown) {
    const bool numeric = is_numeric_dtype(output.dtype);
    const bool fixed_text = fixed_text_length(output.dtype) > 0;
    expect(output, numeric || fixed_text || output.dtype == "object",
           "expected a NumPy dtype such as float64, int64, bool, object or <U5 but found ",
           quoted(output.dtype));
    expect(output, shown == DType::str ? !numeric : !fixed_text, "expected a dtype that holds ",
           shown == DType::str ? "text" : "numbers", " but found ", quoted(output.dtype));
  }

  const Program& program_;
  std::vector<Range> ranges_;
  std::map<std::string_view, int32_t> next_index_;  // by method; -1: a single array
};

// -- golden rows ----------------------------------------------------------------------------------

class GoldenCheck {
 public:
  explicit GoldenCheck(const Program& program) : program_(program), golden_(program.golden) {}

  void check() const {
    // above this, rows * width could overflow
    constexpr int64_t kMaxRows = int64_t{1} << 32;
    expect(golden_.rows >= 0 && golden_.rows <= kMaxRows, "expected a row count from 0 to ", kMaxRows,
           " but found ", golden_.rows);
    if (golden_.rows == 0 && golden_.columns.empty() && golden_.missing.empty() && golden_.expected.empty())
      return;
    expect_count("columns", golden_.columns.size(), program_.schema.size());
    expect_count("missing", golden_.missing.size(), program_.schema.size());
    expect_count("expected", golden_.expected.size(), program_.outputs.size());
    for (size_t i = 0; i < program_.schema.size(); ++i) check_column(i);
    for (const Node& node : program_.nodes) {
      if (node.op != "column") continue;
      const auto column = static_cast<size_t>(NodeReader(program_, node).integer("column"));
      expect(golden_.columns[column] >= 0, "expected values of column ", quoted(program_.schema[column].name),
             " but found none");
    }
    for (size_t i = 0; i < program_.outputs.size(); ++i) {
      const Constant& expected = slab(golden_.expected[i]);
      const ValueType type = program_.nodes[static_cast<size_t>(program_.outputs[i].value)].type;
      expect(expected.type() == type.dtype && expected.size() == golden_.rows * type.width, "expected ",
             golden_.rows * type.width, " values of type ", name_of(type.dtype), " for output ",
             quoted(program_.outputs[i].method), " but found ", expected.size(), " of type ",
             name_of(expected.type()));
    }
  }

 private:
  template <class... Parts>
  static void expect(bool condition, const Parts&... parts) {
    require(condition, ErrorCode::program, "golden rows: ", parts...);
  }

  static void expect_count(std::string_view what, size_t found, size_t wanted) {
    expect(found == wanted, "expected ", wanted, " entries in '", what, "' but found ", found);
  }

  const Constant& slab(int32_t index) const {
    expect(index >= 0 && static_cast<size_t>(index) < program_.constants.size(), "expected one of ",
           program_.constants.size(), " slabs but found index ", index);
    return program_.constants[static_cast<size_t>(index)];
  }

  void check_column(size_t index) const {
    const ColumnSpec& column = program_.schema[index];
    const int32_t missing = golden_.missing[index];
    if (golden_.columns[index] == -1) {
      expect(missing == -1, "expected no missing values of column ", quoted(column.name), " but found some");
      return;
    }
    const Constant& values = slab(golden_.columns[index]);
    const bool text = column.type.kind == Kind::string;
    expect(values.size() == golden_.rows, "expected ", golden_.rows, " values of column ",
           quoted(column.name), " but found ", values.size());
    expect(text ? values.type() == DType::str : values.type() == DType::f64 || values.type() == DType::i64,
           "expected ", text ? "str" : "f64 or i64", " values of column ", quoted(column.name), " but found ",
           name_of(values.type()));
    if (missing == -1) return;
    const Constant& kinds = slab(missing);
    expect(text && kinds.type() == DType::u8 && kinds.size() == golden_.rows, "expected ", golden_.rows,
           " bytes that say what is missing in a string column but found ", kinds.size(), " of type ",
           name_of(kinds.type()), " for column ", quoted(column.name));
    for (uint8_t kind : kinds.as<uint8_t>())
      expect(kind <= 1 + kNaN, "expected a kind of missing value from 0 to ", 1 + kNaN, " but found ",
             static_cast<int>(kind));
  }

  const Program& program_;
  const GoldenRows& golden_;
};

}  // namespace

void validate_node(Program& program, size_t index) {
  Node& node = program.nodes[index];
  const OpDef& op = op_named(node.op, node.path);
  const NodeReader reader(program, node);
  for (int32_t input : node.inputs)
    reader.expect(input >= 0 && static_cast<size_t>(input) < index, "expected an earlier value but found id ",
                  input);
  const ValueType type = op.validate(reader);
  reader.finish();
  reader.expect(type.width >= 1 && type.width <= kMaxWidth, "expected a value of 1 to ", kMaxWidth,
                " columns but found ", type.width);
  node.type = type;
}

void validate_program(Program& program) {
  check_schema(program);
  check_nodes(program);
  require(!program.outputs.empty(), ErrorCode::program, "expected at least 1 output but found 0");
  OutputCheck outputs(program);
  for (const OutputSpec& output : program.outputs) outputs.check(output);
  GoldenCheck(program).check();
}

}  // namespace mlcore

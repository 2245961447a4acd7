// validate_program against programs that a damaged or hostile file may hold.
#include <boost/test/unit_test.hpp>
#include <limits>

#include "op_samples.h"

namespace {

using namespace samples;

// "color" -> encode -> one_hot, "age" -> check; two outputs, golden rows.
Program sound() {
  Program program = empty_program();
  const int32_t age = append_column(program, 0, "f64");
  const int32_t color = append_column(program, 1, "str");
  const int32_t codes = append(program, "encode", {color}, {{"unknown", std::string("code")}},
                               {{"keys", texts({"red", "green", "blue"})}});
  const int32_t columns =
      append(program, "one_hot", {codes}, {{"width", int64_t{3}}, {"dtype", std::string("f64")}});
  const int32_t best = append(program, "argmax", {columns});
  program.outputs = {output(age, "float64"), output(best, "<U5")};
  program.outputs[0].vector = true;
  program.outputs[1].method = "predict";
  program.outputs[1].labels = static_cast<int32_t>(program.constants.size());
  program.constants.push_back(texts({"no", "maybe", "yes"}));
  const auto store = [&](Constant constant) {
    program.constants.push_back(std::move(constant));
    return static_cast<int32_t>(program.constants.size()) - 1;
  };
  program.golden.rows = 2;
  program.golden.columns = {store(slab<double>({1.5, 2.5})), store(texts({"red", ""})), -1};
  program.golden.missing = {-1, store(slab<uint8_t>({0, 2})), -1};
  program.golden.expected = {store(slab<double>({1.5, 2.5}, {2, 1})), store(slab<int64_t>({0, 0}, {2, 1}))};
  return program;
}

// What validation says of `sound` after a change.
template <class Change>
std::string after(const Change& change) {
  Program program = sound();
  change(program);
  return refusal(program);
}

// What validation says of one node that reads an f64 block of `width` columns.
std::string node_refusal(const std::string& op, Attributes attributes, const Constants& constants,
                         int64_t width = 2) {
  Program program = empty_program();
  const int32_t input = append(program, "broadcast", {}, {},
                               {{"value", slab(std::vector<double>(static_cast<size_t>(width), 0.5))}});
  const int32_t value = append(program, op, {input}, std::move(attributes), constants);
  program.outputs = {output(value, "object")};
  return refusal(program);
}

constexpr auto kLow = std::numeric_limits<int64_t>::min();
constexpr auto kHigh = std::numeric_limits<int64_t>::max();
constexpr auto kInfinity = std::numeric_limits<double>::infinity();
constexpr auto kQuiet = std::numeric_limits<double>::quiet_NaN();

}  // namespace

BOOST_AUTO_TEST_SUITE(ops_validate)

BOOST_AUTO_TEST_CASE(sound_program_passes_and_is_typed) {
  Program program = sound();
  BOOST_TEST(refusal(program) == "accepted");
  BOOST_CHECK(program.nodes[2].type == (ValueType{DType::i32, 1}));
  BOOST_CHECK(program.nodes[3].type == (ValueType{DType::f64, 3}));
  BOOST_TEST(refusal(program) == "accepted");  // and again: types in a program are never trusted
  program.nodes[3].type = {DType::str, 99};
  BOOST_TEST(refusal(program) == "accepted");
  BOOST_CHECK(program.nodes[3].type == (ValueType{DType::f64, 3}));
}

BOOST_AUTO_TEST_CASE(schema) {
  BOOST_TEST(after([](Program& p) { p.schema[2].name = "age"; }) ==
             "schema: expected distinct column names but found 'age' twice");
  BOOST_TEST(contains(after([](Program& p) { p.schema[0].type.kind = Kind::string; }),
                      "expected column 'age' to be read as str because its type is string but found f64"));
  BOOST_TEST(
      contains(after([](Program& p) { p.schema[1].type.kind = Kind::int8; }),
               "expected column 'color' to be read as a number because its type is int8 but found str"));
  BOOST_TEST(
      contains(after([](Program& p) { p.nodes[0].attributes["dtype"] = std::string("i64"); }),
               "expected column 'age' to be read as f64 or f32 because its type is float64 but found i64"));
  for (int64_t column : {int64_t{-1}, int64_t{3}, kLow, kHigh})
    BOOST_TEST(contains(after([&](Program& p) { p.nodes[0].attributes["column"] = column; }),
                        "expected attribute 'column' below 3 but found " + text(column)));
}

BOOST_AUTO_TEST_CASE(edges) {
  for (int32_t input :
       {2, 3, 4, 5, -1, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()})
    BOOST_TEST(after([&](Program& p) { p.nodes[2].inputs = {input}; }) ==
               "op 'encode' of step 'pipeline / encode': expected an earlier value but found id " +
                   text(input));
  BOOST_TEST(contains(after([](Program& p) { p.nodes[2].inputs = {}; }), "expected 1 input but found 0"));
  BOOST_TEST(contains(after([](Program& p) { p.nodes[2].inputs = {1, 1}; }), "expected 1 input but found 2"));
  BOOST_TEST(contains(after([](Program& p) { p.nodes[0].inputs = {0}; }), "expected an earlier value"));
  BOOST_TEST(
      contains(after([](Program& p) { p.nodes[3].inputs = {0}; }), "input 0 of type i32 but found f64"));
  BOOST_TEST(contains(after([](Program& p) { p.nodes[2].op = "system"; }), "but found 'system'"));
  BOOST_TEST(contains(after([](Program& p) { p.nodes[2].attributes["extra"] = true; }),
                      "expected no attribute 'extra' here but found one"));
  BOOST_TEST(contains(after([](Program& p) { p.nodes[3].constants["extra"] = 0; }),
                      "expected no constant 'extra' here but found one"));
}

BOOST_AUTO_TEST_CASE(widths) {
  for (int64_t width : {int64_t{0}, int64_t{-1}, int64_t{1} << 25, kLow, kHigh})
    BOOST_TEST(contains(after([&](Program& p) { p.nodes[3].attributes["width"] = width; }),
                        "expected a value of 1 to 16777216 columns but found " + text(width)));
  BOOST_TEST(contains(after([](Program& p) { p.nodes[3].attributes["width"] = int64_t{1} << 24; }),
                      "bytes of values per row but found more"));
  BOOST_TEST(contains(node_refusal("select", {}, {{"indices", slab<int64_t>({})}}), "1 to 16777216 columns"));
  Program doubling = empty_program();
  int32_t value = append_column(doubling, 0, "f64");
  for (int i = 0; i < 60; ++i) value = append(doubling, "concat", {value, value});
  doubling.outputs = {output(value, "float64")};
  BOOST_TEST(contains(refusal(doubling), "bytes of values per row but found more"));
}

BOOST_AUTO_TEST_CASE(index_constants) {
  for (int64_t bad : {int64_t{-1}, int64_t{2}, kLow, kHigh}) {
    BOOST_TEST(contains(node_refusal("select", {}, {{"indices", slab<int64_t>({0, bad})}}),
                        "expected indices below 2 but found " + text(bad)));
    BOOST_TEST(contains(
        node_refusal("poly", {}, {{"offsets", slab<int64_t>({0, 1})}, {"factors", slab<int64_t>({bad})}}),
        "expected factors below 2 but found " + text(bad)));
  }
  const Attributes bin{{"side", std::string("right")}, {"dtype", std::string("i32")}};
  for (const auto& offsets : std::vector<std::vector<int64_t>>{
           {0, 3, 2}, {0, kHigh, 2}, {0, kLow, 2}, {1, 1, 2}, {0, 1, 3}, {0, 0, -1}}) {
    BOOST_TEST(
        contains(node_refusal("poly", {}, {{"offsets", slab(offsets)}, {"factors", slab<int64_t>({0, 1})}}),
                 "offsets"));
    BOOST_TEST(contains(
        node_refusal("bin", bin, {{"offsets", slab(offsets)}, {"edges", slab<double>({1, 2})}}), "offsets"));
  }
  BOOST_TEST(
      contains(node_refusal("poly", {}, {{"offsets", slab<int64_t>({})}, {"factors", slab<int64_t>({})}}),
               "expected at least 2 offsets but found 0"));
  BOOST_TEST(contains(
      node_refusal("bin", bin, {{"offsets", slab<int64_t>({0, 2})}, {"edges", slab<double>({1, 2})}}),
      "expected 3 elements in constant 'offsets' but found 2"));
}

BOOST_AUTO_TEST_CASE(ordered_constants) {
  const Attributes bin{{"side", std::string("left")}, {"dtype", std::string("f64")}};
  const Constant offsets = slab<int64_t>({0, 3});
  const auto edges = [&](std::vector<double> values) {
    return node_refusal("bin", bin, {{"offsets", offsets}, {"edges", slab(values)}}, 1);
  };
  BOOST_TEST(edges({-kInfinity, 1, kInfinity}) == "accepted");
  BOOST_TEST(edges({1, 1, 1}) == "accepted");
  BOOST_TEST(
      contains(edges({1, 3, 2}), "expected ascending numbers in constant 'edges' but found 2 after 3"));
  BOOST_TEST(contains(edges({1, kQuiet, 2}), "expected no NaN in constant 'edges' but found one"));
  const auto points = [&](std::vector<double> x, std::vector<double> y) {
    return node_refusal("interp", {}, {{"x", slab(x)}, {"y", slab(y)}});
  };
  BOOST_TEST(points({1, 2}, {4, 3}) == "accepted");
  BOOST_TEST(contains(points({}, {}), "expected at least 1 point but found 0"));
  BOOST_TEST(contains(points({1, 2}, {1}), "expected 2 elements in constant 'y' but found 1"));
  BOOST_TEST(contains(points({2, 1}, {1, 1}), "expected ascending numbers in constant 'x'"));
  BOOST_TEST(contains(points({1, 2}, {1, kQuiet}), "expected no NaN in constant 'y'"));
}

BOOST_AUTO_TEST_CASE(sizes_of_constants) {
  const Attributes fn{{"fn", std::string("add")}};
  BOOST_TEST(node_refusal("arith", fn, {{"value", slab<double>({1})}}) == "accepted");
  BOOST_TEST(node_refusal("arith", fn, {{"value", slab<double>({1, 2})}}) == "accepted");
  for (size_t size : {0U, 3U})
    BOOST_TEST(contains(node_refusal("arith", fn, {{"value", slab(std::vector<double>(size))}}),
                        "expected 2 elements or 1 in constant 'value' but found " + text(size)));
  BOOST_TEST(contains(node_refusal("arith", fn, {{"value", slab<float>({1})}}), "of type f64 but found f32"));
  BOOST_TEST(contains(node_refusal("clip", {}, {{"lo", slab<double>({1})}, {"hi", slab<double>({1, 2, 3})}}),
                      "in constant 'hi' but found 3"));
  BOOST_TEST(contains(node_refusal("clip", {}, {{"lo", slab<double>({kQuiet})}, {"hi", slab<double>({1})}}),
                      "expected no NaN in constant 'lo'"));
  BOOST_TEST(
      contains(node_refusal("binarize", {}, {{"threshold", slab<double>({1, 2})}}), "expected 1 element"));
  BOOST_TEST(
      contains(node_refusal("fill", {{"match", std::string("missing")}}, {{"value", slab<double>({1})}}),
               "expected 2 elements in constant 'value' but found 1"));
  BOOST_TEST(
      contains(node_refusal("fill", {{"match", std::string("value")}},
                            {{"value", slab<double>({1, 2})}, {"match_value", slab<double>({kQuiet})}}),
               "expected no NaN in constant 'match_value'"));
  BOOST_TEST(contains(node_refusal("fill", {{"match", std::string("missing")}},
                                   {{"value", slab<double>({1, 2})}, {"match_value", slab<double>({3})}}),
                      "expected no constant 'match_value'"));
  BOOST_TEST(
      contains(node_refusal("fill", {{"match", std::string("none")}}, {{"value", slab<double>({1, 2})}}),
               "expected attribute 'match' to be missing or value but found 'none'"));
  BOOST_TEST(contains(node_refusal("weighted_sum", {}, {{"weights", slab<double>({1, 2})}}),
                      "expected 1 element in constant 'weights' but found 2"));
  BOOST_TEST(contains(
      node_refusal("threshold", {{"compare", std::string("gt")}}, {{"cut", slab<double>({1, 2, 3})}}),
      "expected 2 elements or 1 in constant 'cut'"));
}

BOOST_AUTO_TEST_CASE(codes) {
  const auto encode = [](Attributes attributes, Constants constants) {
    return after([&](Program& p) {
      for (auto& [name, value] : attributes) p.nodes[2].attributes[name] = value;
      for (auto& [name, value] : constants) {
        p.nodes[2].constants[name] = static_cast<int32_t>(p.constants.size());
        p.constants.push_back(value);
      }
    });
  };
  for (const char* name : {"unknown_code", "null_code", "none_code", "nan_code"})
    for (int64_t bad : {int64_t{-2}, int64_t{1} << 31, kLow, kHigh})
      BOOST_TEST(
          contains(encode({{name, bad}}, {}), std::string("expected attribute '") + name + "' from -1 to"));
  BOOST_TEST(
      contains(encode({}, {{"codes", slab<int32_t>({0, 1})}}), "expected 3 elements in constant 'codes'"));
  BOOST_TEST(
      contains(encode({}, {{"codes", slab<int32_t>({0, -2, 1})}}), "expected codes from -1 but found -2"));
  BOOST_TEST(contains(encode({}, {{"keys", slab<double>({0})}}),
                      "expected constant 'keys' of type str but found f64"));
  BOOST_TEST(contains(encode({{"unknown", std::string("error")}, {"unknown_code", int64_t{1}}}, {}),
                      "expected no attribute 'unknown_code'"));
  for (int64_t classes : {int64_t{0}, int64_t{-1}, kHigh})
    BOOST_TEST(contains(after([&](Program& p) {
                          p.nodes[4] = Node{"vote", "v", {4}, {{"classes", classes}}, {}, {}};
                          p.nodes.insert(p.nodes.begin() + 4, Node{"argmax", "a", {3}, {}, {}, {}});
                        }),
                        "expected attribute 'classes' from 1 to 16777216 but found " + text(classes)));
}

BOOST_AUTO_TEST_CASE(outputs) {
  BOOST_TEST(after([](Program& p) { p.outputs.clear(), p.golden.expected.clear(); }) ==
             "expected at least 1 output but found 0");
  BOOST_TEST(after([](Program& p) { p.outputs[0].method = ""; }) ==
             "output '': expected the name of a method but found none");
  for (int32_t value : {-1, 5, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()})
    BOOST_TEST(after([&](Program& p) { p.outputs[0].value = value; }) ==
               "output 'transform': expected a value below 5 but found " + text(value));
  BOOST_TEST(
      contains(after([](Program& p) { p.outputs[1].method = "transform"; }), "another of the same name"));
  for (int32_t index : {1, -2, std::numeric_limits<int32_t>::max()})
    BOOST_TEST(
        contains(after([&](Program& p) { p.outputs[0].index = index; }), "expected its arrays in order"));
  BOOST_TEST(after([](Program& p) { p.outputs[0].index = 0; }) == "accepted");
  BOOST_TEST(after([](Program& p) {
               p.outputs[0].index = 0;
               p.outputs[1].index = 1;
               p.outputs[1].method = "transform";
             }) == "accepted");
  BOOST_TEST(contains(after([](Program& p) {
                        p.outputs[0].index = 0;
                        p.outputs[1].method = "transform";
                      }),
                      "another of the same name"));
  BOOST_TEST(contains(after([](Program& p) {
                        p.outputs[0].value = 3;
                        p.golden = {};
                      }),
                      "expected a vector of width 1 but found width 3"));
  BOOST_TEST(
      contains(after([](Program& p) { p.outputs[0].names = {"a", "b"}; }), "1 names or none but found 2"));
  for (const char* dtype :
       {"float", "<U0", "<U", "<U05", "<U-1", "<U99999999999999999999", ">U5", "O", "", "datetime64[ns]"})
    BOOST_TEST(
        contains(after([&](Program& p) { p.outputs[0].dtype = dtype; }), "expected a NumPy dtype such as"));
  BOOST_TEST(
      contains(after([](Program& p) { p.outputs[0].dtype = "<U5"; }), "expected a dtype that holds numbers"));
  BOOST_TEST(
      contains(after([](Program& p) { p.outputs[1].dtype = "int64"; }), "expected a dtype that holds text"));
}

BOOST_AUTO_TEST_CASE(labels) {
  for (int32_t index : {99, std::numeric_limits<int32_t>::max()})
    BOOST_TEST(
        contains(after([&](Program& p) { p.outputs[1].labels = index; }), "expected labels to be one of"));
  BOOST_TEST(contains(after([](Program& p) { p.outputs[0].labels = p.outputs[1].labels; }),
                      "expected positions of labels of type i64 but found f64"));
  BOOST_TEST(contains(
      after([](Program& p) { p.constants[static_cast<size_t>(p.outputs[1].labels)] = texts({"a", "b"}); }),
      "expected positions from 0 to 1 because there are so many labels"));
  BOOST_TEST(contains(after([](Program& p) { p.outputs[1].dtype = "<U4"; }),
                      "expected labels that fit <U4 but found 'maybe'"));
  BOOST_TEST(after([](Program& p) {
               p.constants[static_cast<size_t>(p.outputs[1].labels)] = texts({"größe", "b", "c"});
             }) == "accepted");  // five characters, seven bytes
  BOOST_TEST(after([](Program& p) {
               p.outputs[1].value = 5;
               append(p, "guard", {4, 0});
             }) == "accepted");
  // values whose range is known: a table, a constant, a choice among them
  const auto from_table = [](std::vector<int64_t> values, std::vector<int64_t> fallback) {
    return after([&](Program& p) {
      p.nodes[4] = Node{"table", "t", {2}, {}, {}, {}};
      p.nodes[4].constants = {{"values", static_cast<int32_t>(p.constants.size())},
                              {"default", static_cast<int32_t>(p.constants.size()) + 1}};
      p.constants.push_back(slab(values));
      p.constants.push_back(slab(fallback));
    });
  };
  BOOST_TEST(from_table({0, 1, 2}, {2}) == "accepted");
  BOOST_TEST(contains(from_table({0, 1, 3}, {2}), "but the value may hold others"));
  BOOST_TEST(contains(from_table({0, 1, 2}, {-1}), "but the value may hold others"));
  BOOST_TEST(contains(
      after([](Program& p) { p.nodes[4] = Node{"cast", "c", {2}, {{"dtype", std::string("i64")}}, {}, {}}; }),
      "but the value may hold others"));
}

BOOST_AUTO_TEST_CASE(golden_rows) {
  const auto says = [](auto change, const std::string& part) {
    const std::string message = after(change);
    BOOST_TEST(contains(message, "golden rows: expected "));
    BOOST_CHECK_MESSAGE(contains(message, part), message);
  };
  for (int64_t rows : {kLow, int64_t{-1}, int64_t{1} << 33, kHigh})
    says([&](Program& p) { p.golden.rows = rows; }, "a row count from 0 to");
  says([](Program& p) { p.golden.rows = 3; }, "3 values of column 'age' but found 2");
  says([](Program& p) { p.golden.rows = 0; }, "0 values of column 'age' but found 2");
  says([](Program& p) { p.golden.columns.pop_back(); }, "3 entries in 'columns' but found 2");
  says([](Program& p) { p.golden.missing.clear(); }, "3 entries in 'missing' but found 0");
  says([](Program& p) { p.golden.expected.push_back(0); }, "2 entries in 'expected' but found 3");
  for (int32_t index : {-2, 99, std::numeric_limits<int32_t>::max()}) {
    says([&](Program& p) { p.golden.columns[0] = index; }, "slabs but found index " + text(index));
    says([&](Program& p) { p.golden.missing[1] = index; }, "slabs but found index " + text(index));
    says([&](Program& p) { p.golden.expected[1] = index; }, "slabs but found index " + text(index));
  }
  says([](Program& p) { p.golden.columns[0] = -1; }, "values of column 'age' but found none");
  says([](Program& p) { p.golden.columns[0] = p.golden.columns[1]; }, "f64 or i64 values of column 'age'");
  says([](Program& p) { p.golden.columns[1] = p.golden.columns[0]; }, "str values of column 'color'");
  says([](Program& p) { p.golden.missing[0] = p.golden.missing[1]; }, "in a string column");
  says([](Program& p) { p.golden.missing[2] = p.golden.missing[1]; }, "no missing values of column 'count'");
  says([](Program& p) { p.constants[static_cast<size_t>(p.golden.missing[1])] = slab<uint8_t>({0, 4}); },
       "a kind of missing value from 0 to 3 but found 4");
  says([](Program& p) { p.constants[static_cast<size_t>(p.golden.missing[1])] = slab<uint8_t>({0}); },
       "2 bytes that say what is missing");
  says([](Program& p) { p.golden.expected[0] = p.golden.expected[1]; },
       "2 values of type f64 for output 'transform'");
  BOOST_TEST(after([](Program& p) { p.golden = {}; }) == "accepted");
}

BOOST_AUTO_TEST_SUITE_END()

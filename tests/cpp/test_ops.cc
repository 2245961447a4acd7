// NodeReader, the registry, labels in messages, and steps run by hand on codes that no program should hold.
#include <algorithm>
#include <boost/test/unit_test.hpp>

#include "op_samples.h"

namespace {

using namespace samples;

// A node of no op in particular, to be read.
Program readable() {
  Program program = empty_program();
  append_column(program, 0, "f64");
  validate_node(program, 0);
  append(program, "any", {0}, {{"flag", true}, {"count", int64_t{7}}, {"fn", std::string("mul")}},
         {{"value", slab<double>({1.0, 2.0})}, {"keys", texts({"a"})}});
  program.nodes.back().path = "pipeline / any";
  return program;
}

std::string reader_refusal(const Program& program, void (*read)(const NodeReader&)) {
  return refusal(ErrorCode::program, [&] { read(NodeReader(program, program.nodes.back())); });
}

// Runs a step on one i32 column.
template <class T>
std::vector<T> run_on_codes(const Program& program, std::vector<int32_t> codes, int64_t first_row = 0) {
  const NodeReader reader(program, program.nodes.back());
  const auto step = op_named(program.nodes.back().op, "").lower(reader);
  const auto rows = static_cast<int64_t>(codes.size());
  std::vector<T> out(static_cast<size_t>(rows * program.nodes.back().type.width));
  std::vector<std::byte> scratch(step->scratch_bytes(rows) + 64);
  void* aligned = scratch.data();
  size_t space = scratch.size();
  std::align(64, 1, aligned, space);
  const BlockView input{codes.data(), rows, 1};
  step->run({{&input, 1}, {out.data(), rows, program.nodes.back().type.width}, aligned, first_row});
  return out;
}

// schema column "color" -> encode -> `op`
Program coded(const std::string& op, Attributes attributes, const Constants& constants = {}) {
  Program program = empty_program();
  const int32_t column = append_column(program, 1, "str");
  const int32_t codes = append(program, "encode", {column}, {{"unknown", std::string("code")}},
                               {{"keys", texts({"red", "green", "blue"})}});
  append(program, op, {codes}, std::move(attributes), constants);
  for (size_t i = 0; i < program.nodes.size(); ++i) validate_node(program, i);
  return program;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ops)

BOOST_AUTO_TEST_CASE(registry_is_sorted_and_found_by_name) {
  const auto ops = all_ops();
  BOOST_TEST(ops.size() == 31U);
  BOOST_CHECK(std::is_sorted(ops.begin(), ops.end(), [](auto* a, auto* b) { return a->name < b->name; }));
  for (const OpDef* op : ops) {
    BOOST_CHECK(&op_named(op->name, "") == op);
    BOOST_CHECK(op->exactness && op->validate && op->lower);
    BOOST_TEST(op->in_place == (op->name == "check" || op->name == "guard" || op->name == "range"));
  }
  const auto unknown = [] { op_named("exec", "pipeline"); };
  BOOST_TEST(refusal(ErrorCode::program, unknown) ==
             "step 'pipeline': expected an op of this version but found 'exec'");
}

BOOST_AUTO_TEST_CASE(reader_gives_what_the_node_holds) {
  const Program program = readable();
  const NodeReader reader(program, program.nodes.back());
  BOOST_TEST(reader.where() == "op 'any' of step 'pipeline / any'");
  BOOST_TEST(reader.input_count() == 1U);
  BOOST_CHECK(reader.input(0) == (ValueType{DType::f64, 1}));
  BOOST_TEST(reader.flag("flag"));
  BOOST_TEST(reader.flag_or("no", true));
  BOOST_TEST(reader.integer("count") == 7);
  BOOST_TEST(reader.integer_or("none", -3) == -3);
  BOOST_TEST(reader.choice("fn", {"add", "mul"}) == "mul");
  BOOST_TEST(reader.constant("value", DType::f64, 2).as<double>()[1] == 2.0);
  BOOST_TEST(!reader.has_constant("other"));
  BOOST_CHECK_THROW(reader.finish(), Error);
  reader.constant_of("keys", {DType::i64, DType::str});
  reader.finish();
}

BOOST_AUTO_TEST_CASE(reader_says_what_it_expected) {
  const Program program = readable();
  const std::string where = "op 'any' of step 'pipeline / any': expected ";
  const auto says = [&](void (*read)(const NodeReader&), const std::string& rest) {
    BOOST_TEST(reader_refusal(program, read) == where + rest);
  };
  says([](const NodeReader& r) { r.expect_inputs(2); }, "2 inputs but found 1");
  says([](const NodeReader& r) { r.expect_dtype(0, {DType::i32, DType::str}); },
       "input 0 of type i32 or str but found f64");
  says([](const NodeReader& r) { r.flag("wide"); }, "attribute 'wide' but found none");
  says([](const NodeReader& r) { r.flag("count"); }, "attribute 'count' to be a bool but found an int");
  says([](const NodeReader& r) { r.integer("flag"); }, "attribute 'flag' to be an int but found a bool");
  says([](const NodeReader& r) { r.choice("flag", {"a"}); },
       "attribute 'flag' to be a string but found a bool");
  says([](const NodeReader& r) { r.choice("fn", {"add", "sub", "div"}); },
       "attribute 'fn' to be add, sub or div but found 'mul'");
  says([](const NodeReader& r) { r.dtype("fn", {DType::f64, DType::f32}); },
       "attribute 'fn' to be f64 or f32 but found 'mul'");
  says([](const NodeReader& r) { r.constant("value", DType::f32); },
       "constant 'value' of type f32 but found f64");
  says([](const NodeReader& r) { r.constant("value", DType::f64, 1); },
       "1 element in constant 'value' but found 2");
  says([](const NodeReader& r) { r.constant("values", DType::f64); }, "constant 'values' but found none");
  says([](const NodeReader& r) { r.finish(); }, "no attribute 'count' here but found one");
}

BOOST_AUTO_TEST_CASE(reader_refuses_a_slab_that_does_not_exist) {
  Program program = readable();
  for (int32_t index : {-1, 2, 1 << 30}) {
    program.nodes.back().constants["value"] = index;
    const auto message =
        reader_refusal(program, [](const NodeReader& r) { r.constant("value", DType::f64); });
    BOOST_TEST(contains(message, "to be one of 2 slabs but found index " + text(index)));
  }
}

BOOST_AUTO_TEST_CASE(paths_cannot_smuggle_control_characters_or_floods) {
  Program program = readable();
  program.nodes.back().path = "a\x1b[2Jb\n";
  BOOST_TEST(NodeReader(program, program.nodes.back()).where() == "op 'any' of step 'a\\x1b[2Jb\\x0a'");
  program.nodes.back().path = std::string(100000, 'x');
  BOOST_TEST(NodeReader(program, program.nodes.back()).where().size() < 200U);
}

BOOST_AUTO_TEST_CASE(label_walks_back_to_the_column) {
  Program program = empty_program();
  const int32_t age = append_column(program, 0, "f64");
  const int32_t count = append_column(program, 2, "f64");
  const int32_t both = append(program, "concat", {age, count});
  const int32_t swapped = append(program, "select", {both}, {}, {{"indices", slab<int64_t>({1, 0, 1})}});
  const int32_t filled = append(program, "fill", {swapped}, {{"match", std::string("missing")}},
                                {{"value", slab<double>({0, 0, 0})}});
  const int32_t narrow = append(program, "cast", {filled}, {{"dtype", std::string("f32")}});
  const int32_t checked =
      append(program, "check", {narrow}, {{"nan", std::string("forbid")}, {"inf", std::string("forbid")}});
  const int32_t scaled =
      append(program, "arith", {checked}, {{"fn", std::string("mul")}}, {{"value", slab<double>({2.0})}});
  append(program, "check", {scaled}, {{"nan", std::string("forbid")}, {"inf", std::string("forbid")}});
  for (size_t i = 0; i < program.nodes.size(); ++i) validate_node(program, i);
  const NodeReader reader(program, program.nodes[static_cast<size_t>(scaled)]);
  BOOST_TEST(column_label(reader, 0, 0) == "count");
  BOOST_TEST(column_label(reader, 0, 1) == "age");
  BOOST_TEST(column_label(reader, 0, 2) == "count");
  BOOST_TEST(column_label(NodeReader(program, program.nodes.back()), 0, 2) == "x2");
}

BOOST_AUTO_TEST_CASE(one_hot_refuses_codes_out_of_range) {
  const Program program = coded("one_hot", {{"width", int64_t{2}}, {"dtype", std::string("f64")}});
  BOOST_TEST(run_on_codes<double>(program, {1, -1, 0}) == (std::vector<double>{0, 0, 1, 1, 0, 0}),
             boost::test_tools::per_element());
  for (int32_t bad : {2, -2, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()}) {
    const auto message = refusal(ErrorCode::program, [&] { run_on_codes<double>(program, {0, bad}); });
    BOOST_TEST(message ==
               "op 'one_hot' of step 'pipeline / one_hot': expected a code from 0 to 1 but found " +
                   text(bad));
  }
}

BOOST_AUTO_TEST_CASE(table_refuses_codes_out_of_range_and_codes_without_a_default) {
  const Constants values{{"values", slab<double>({1.5, 2.5, 3.5, 4.5}, {2, 2})}};
  const Program strict = coded("table", {}, values);
  BOOST_TEST(run_on_codes<double>(strict, {1, 0}) == (std::vector<double>{3.5, 1.5, 4.5, 2.5}),
             boost::test_tools::per_element());
  for (int32_t bad : {2, -2, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()})
    BOOST_TEST(contains(refusal(ErrorCode::program, [&] { run_on_codes<double>(strict, {0, bad}); }),
                        "expected a code from 0 to 1 but found " + text(bad)));
  BOOST_TEST(refusal(ErrorCode::input, [&] { run_on_codes<double>(strict, {0, 1, -1}, 40); }) ==
             "step 'pipeline / table': expected a known category in column 'color' but found none (row 42)");
  Constants with_default = values;
  with_default.emplace_back("default", slab<double>({8, 9}));
  BOOST_TEST(run_on_codes<double>(coded("table", {}, with_default), {-1, 1}) ==
                 (std::vector<double>{8, 3.5, 9, 4.5}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(vote_refuses_positions_that_are_no_class) {
  Program program = empty_program();
  const int32_t count = append_column(program, 2, "i64");
  append(program, "vote", {count, count}, {{"classes", int64_t{3}}});
  for (size_t i = 0; i < program.nodes.size(); ++i) validate_node(program, i);
  const auto step = op_named("vote", "").lower(NodeReader(program, program.nodes.back()));
  const auto run = [&](int64_t vote) {
    int64_t out = -9;
    std::vector<double> scratch(step->scratch_bytes(1) / sizeof(double));
    const BlockView inputs[] = {{&vote, 1, 1}, {&vote, 1, 1}};
    step->run({inputs, {&out, 1, 1}, scratch.data(), 0});
    return out;
  };
  BOOST_TEST(run(2) == 2);
  for (int64_t bad : {int64_t{-1}, int64_t{3}, std::numeric_limits<int64_t>::max()})
    BOOST_TEST(contains(refusal(ErrorCode::program, [&] { run(bad); }), "expected a code from 0 to 2"));
}

BOOST_AUTO_TEST_CASE(encode_refuses_equal_keys) {
  const auto lower = [](const std::string& dtype, const Constant& keys, int64_t column) {
    Program program = empty_program();
    const int32_t input = append_column(program, column, dtype);
    append(program, "encode", {input}, {{"unknown", std::string("error")}}, {{"keys", keys}});
    for (size_t i = 0; i < program.nodes.size(); ++i) validate_node(program, i);
    return refusal(ErrorCode::program,
                   [&] { op_named("encode", "").lower(NodeReader(program, program.nodes.back())); });
  };
  const std::string where = "op 'encode' of step 'pipeline / encode': ";
  BOOST_TEST(lower("str", texts({"a", "b", "a"}), 1) == where + "expected distinct keys but found 'a' twice");
  BOOST_TEST(lower("f64", slab<double>({0.0, 1.0, -0.0}), 0) ==
             where + "expected distinct keys but found -0 twice");
  BOOST_TEST(lower("i64", slab<int64_t>({5, 5}), 2) == where + "expected distinct keys but found 5 twice");
  BOOST_TEST(lower("str", texts({}), 1) == "accepted");
}

BOOST_AUTO_TEST_SUITE_END()

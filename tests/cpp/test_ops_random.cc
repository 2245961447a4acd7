// Random programs, mostly correct and a little wrong: each is refused, or runs without a finding of the
// sanitizers and gives the same bytes row by row as in batches.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <set>

#include "random_programs.h"
#include "runtime/plan.h"

namespace {

using namespace samples;

// Bytes of one output, strings spelled out; or the text of the error, which must not name an internal fault.
std::string run(const Program& program, const Plan& plan, int32_t output, int64_t first, int64_t rows,
                Workspace& workspace) {
  const ValueType type =
      program.nodes[static_cast<size_t>(program.outputs[static_cast<size_t>(output)].value)].type;
  std::vector<std::byte> bytes(size_of(type.dtype) * static_cast<size_t>(rows * type.width));
  void* destination = bytes.data();
  try {
    plan.run(Table(first), rows, {&output, 1}, {&destination, 1}, workspace);
  } catch (const Error& error) {
    BOOST_REQUIRE(error.code() == ErrorCode::input || error.code() == ErrorCode::program);
    return "error";
  }
  std::string out;
  if (type.dtype != DType::str) return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  for (int64_t i = 0; i < rows * type.width; ++i) {
    const auto& value = reinterpret_cast<const StringRef*>(bytes.data())[i];
    out += value.data ? quoted({value.data, static_cast<size_t>(value.size)}) : text(value.size);
  }
  return out;
}

int64_t trials() {
  const char* scale = std::getenv("MLCORE_TEST_SCALE");
  return std::max<int64_t>(1, static_cast<int64_t>(1500 * (scale ? std::atof(scale) : 1.0)));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ops_random)

BOOST_AUTO_TEST_CASE(random_programs_are_refused_or_run_the_same_in_every_batch) {
  std::map<std::string, int> accepted;
  int64_t finished = 0;
  int64_t compared = 0;
  Workspace workspace;
  for (int64_t trial = 0; trial < trials(); ++trial) {
    Program program = Generator(static_cast<uint64_t>(trial)).make(accepted);
    std::unique_ptr<Plan> plan;
    try {
      validate_program(program);
      plan = std::make_unique<Plan>(program);
    } catch (const Error& error) {
      BOOST_REQUIRE(error.code() == ErrorCode::program);
      continue;
    }
    ++finished;
    for (int32_t output = 0; output < static_cast<int32_t>(program.outputs.size()); ++output) {
      constexpr int64_t kRows = 9;
      const std::string whole = run(program, *plan, output, 0, kRows, workspace);
      std::string parts;
      bool refused = false;
      for (int64_t row = 0; row < kRows && !refused; ++row) {
        const std::string one = run(program, *plan, output, row, 1, workspace);
        refused = one == "error";
        parts += one;
      }
      BOOST_REQUIRE_MESSAGE(refused ? whole == "error" : whole == parts,
                            "trial " << trial << ", output " << output << ", op "
                                     << program.nodes[static_cast<size_t>(output)].op);
      compared += !refused;
    }
    if (trial % 10 == 0)
      for (int32_t output = 0; output < static_cast<int32_t>(program.outputs.size()); ++output)
        run(program, *plan, output, 3, plan->chunk_rows() + 5, workspace);
  }
  BOOST_TEST(finished > trials() / 2);
  BOOST_TEST(compared > finished * 5);
  if (trials() < 1000) return;
  const std::set<std::string_view> elsewhere{"trees", "dot", "link", "unary", "column"};
  for (const OpDef* op : all_ops())
    BOOST_CHECK_MESSAGE(elsewhere.contains(op->name) || accepted[std::string(op->name)] > 30,
                        op->name << " was accepted too rarely");
}

// The plan writes column 3 straight into the concat; the guard, which shows the same memory, comes later.
BOOST_AUTO_TEST_CASE(value_inside_a_concat_lives_as_long_as_its_last_reader) {
  Program program;
  for (size_t i = 0; i < kKinds.size(); ++i)
    program.schema.push_back({"c" + text(i), {kKinds[i], TimeUnit::nano, {}}, true, true});
  const int32_t held = append_column(program, 3, "i64");
  append(program, "concat", {held});
  const int32_t number = append_column(program, 0, "f64");
  const int32_t doubled = append(program, "combine", {number, number}, {{"fn", std::string("add")}});
  const int32_t guarded = append(program, "guard", {held, doubled});
  for (int32_t value : {held, guarded}) {
    program.outputs.push_back(output(value, "int64"));
    program.outputs.back().method = "m" + text(value);
  }
  validate_program(program);
  const Plan plan(program);
  Workspace workspace;
  BOOST_CHECK(run(program, plan, 1, 0, 100, workspace) == run(program, plan, 0, 0, 100, workspace));
}

BOOST_AUTO_TEST_SUITE_END()

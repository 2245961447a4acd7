// The Triton backend where the server or the memory fails, and with requests that the real server cannot be
// made to hand over at will. What it does in the real server, tests/system/test_triton_*.py show.
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "artifact_samples.h"
#include "counted_new.h"
#include "op_samples.h"
#include "triton_server.h"

namespace {

using namespace samples;

// Age and color, given back; colors that are not known are refused.
Program echo_program() {
  Program out = empty_program();
  const int32_t age = append_column(out, 0, "f64");
  const int32_t color = append_column(out, 1, "str");
  const int32_t code =
      append(out, "encode", {color}, {{"unknown", std::string("error")}, {"null_code", int64_t{-1}}},
             {{"keys", texts({"a", "", "red"})}});
  out.outputs = {output(age, "float64"), output(color, "object"), output(code, "int32")};
  out.outputs[0].vector = true;
  out.outputs[1].method = "color";
  out.outputs[2].method = "code";
  return out;
}

// A model's folder with one version.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("mlcore_triton_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_ / "1");
    const Bytes bytes = encode_artifact(echo_program());
    std::ofstream file(path_ / "1" / "model.mlc", std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::string raw(const std::vector<std::string>& values) {
  std::string out;
  for (const std::string& value : values)
    out += raw(std::vector{static_cast<uint32_t>(value.size())}) + value;
  return out;
}

TRITONBACKEND_Input input(TRITONSERVER_DataType type, int64_t rows, std::string bytes, size_t piece = 0) {
  TRITONBACKEND_Input out{type, {rows, 1}, {}};
  if (piece == 0) out.pieces.push_back(std::move(bytes));
  else
    for (size_t at = 0; at < bytes.size(); at += piece) out.pieces.push_back(bytes.substr(at, piece));
  return out;
}

TRITONBACKEND_Request request(const std::vector<double>& ages, const std::vector<std::string>& colors,
                              size_t piece = 0) {
  TRITONBACKEND_Request out;
  const auto rows = static_cast<int64_t>(ages.size());
  out.inputs.emplace("age", input(TRITONSERVER_TYPE_FP64, rows, raw(ages), piece));
  out.inputs.emplace("color", input(TRITONSERVER_TYPE_BYTES, rows, raw(colors), piece));
  out.outputs = {"transform", "color"};
  return out;
}

void expect_answer(const TRITONBACKEND_Request& found, const std::vector<double>& ages,
                   const std::vector<std::string>& colors) {
  BOOST_TEST(found.error == "");
  BOOST_REQUIRE_EQUAL(found.answer.size(), 2u);
  BOOST_TEST((found.answer.at("transform").bytes == raw(ages)));
  BOOST_TEST((found.answer.at("color").bytes == raw(colors)));
  BOOST_TEST((found.answer.at("color").shape == std::vector<int64_t>{static_cast<int64_t>(ages.size()), 1}));
}

// A model and one instance, alive.
struct Alive {
  explicit Alive(const std::string& folder, std::string config = "{}") {
    model.folder = folder;
    model.config = std::move(config);
    instance.model = &model;
    BOOST_REQUIRE_EQUAL(message_of(TRITONBACKEND_ModelInitialize(&model)), "");
    BOOST_REQUIRE_EQUAL(message_of(TRITONBACKEND_ModelInstanceInitialize(&instance)), "");
  }
  ~Alive() {
    BOOST_TEST(message_of(TRITONBACKEND_ModelInstanceFinalize(&instance)) == "");
    BOOST_TEST(message_of(TRITONBACKEND_ModelFinalize(&model)) == "");
  }
  Alive(const Alive&) = delete;
  Alive& operator=(const Alive&) = delete;

  void run(std::vector<TRITONBACKEND_Request*> requests) {
    BOOST_REQUIRE_EQUAL(message_of(TRITONBACKEND_ModelInstanceExecute(
                            &instance, requests.data(), static_cast<uint32_t>(requests.size()))),
                        "");
    for (const TRITONBACKEND_Request* one : requests) {
      BOOST_TEST(one->answers == 1);
      BOOST_TEST(one->releases == 1);
      BOOST_TEST(one->reports == 1);
    }
  }

  TRITONBACKEND_Model model;
  TRITONBACKEND_ModelInstance instance;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(triton)

BOOST_AUTO_TEST_CASE(requests_of_a_batch_are_answered_each_for_itself) {
  const Folder folder;
  Alive alive(folder.path());
  TRITONBACKEND_Request one = request({1, 2}, {"a", ""}), two = request({3}, {"red"});
  TRITONBACKEND_Request bad = request({4, 5}, {"a", "blue"}), other = request({6, 7, 8}, {"", "", "a"});
  bad.outputs = {"code"};
  alive.run({&one, &bad, &two, &other});
  expect_answer(one, {1, 2}, {"a", ""});
  expect_answer(two, {3}, {"red"});
  expect_answer(other, {6, 7, 8}, {"", "", "a"});
  BOOST_TEST(bad.error.find("row 1") != std::string::npos, bad.error);
  BOOST_TEST(bad.error.find("'blue'") != std::string::npos, bad.error);
  BOOST_TEST(alive.instance.succeeded == 3);
  BOOST_TEST(alive.instance.failed == 1);
  BOOST_TEST(alive.instance.batches == 1);
  BOOST_TEST(alive.instance.batch_size == 6u);
}

BOOST_AUTO_TEST_CASE(buffers_may_come_in_pieces) {
  const Folder folder;
  Alive alive(folder.path());
  for (size_t piece = 1; piece < 20; ++piece) {
    TRITONBACKEND_Request one = request({1.5, 2, -0.0}, {"red", "", "red"}, piece);
    TRITONBACKEND_Request two = request({3}, {"a"}, piece);
    alive.run({&one, &two});
    expect_answer(one, {1.5, 2, -0.0}, {"red", "", "red"});
    expect_answer(two, {3}, {"a"});
  }
}

BOOST_AUTO_TEST_CASE(a_mask_says_what_is_missing) {
  const Folder folder;
  Alive alive(folder.path());
  TRITONBACKEND_Request one = request({1, 2}, {"a", "red"}), two = request({3, 4}, {"a", "a"});
  one.inputs.emplace("age__valid", input(TRITONSERVER_TYPE_BOOL, 2, std::string("\1\0", 2)));
  one.outputs = {"transform"};
  alive.run({&one, &two});
  double found[2];
  std::memcpy(found, one.answer.at("transform").bytes.data(), sizeof found);
  BOOST_TEST(found[0] == 1);
  BOOST_TEST(std::isnan(found[1]));
  expect_answer(two, {3, 4}, {"a", "a"});
  // a missing text has no place in a tensor of texts
  TRITONBACKEND_Request three = request({3}, {"a"});
  three.inputs.emplace("color__valid", input(TRITONSERVER_TYPE_BOOL, 1, std::string("\0", 1)));
  alive.run({&three});
  BOOST_TEST(three.error.find("a BYTES tensor cannot hold") != std::string::npos, three.error);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_one_request_is_its_own_matter) {
  const Folder folder;
  Alive alive(folder.path());
  const auto expect = [&](TRITONBACKEND_Request bad, const std::string& part) {
    TRITONBACKEND_Request good = request({1}, {"a"});
    alive.run({&bad, &good});
    expect_answer(good, {1}, {"a"});
    BOOST_TEST(bad.error.find(part) != std::string::npos, bad.error << " instead of " << part);
    BOOST_TEST(bad.answer.empty());
  };
  const auto changed = [](auto change) {
    TRITONBACKEND_Request out = request({1, 2}, {"a", "red"});
    change(out);
    return out;
  };
  const auto text = [](std::string bytes) { return input(TRITONSERVER_TYPE_BYTES, 2, std::move(bytes)); };
  expect(changed([](auto& r) { r.cancelled = true; }), "cancelled");
  expect(changed([](auto& r) { r.inputs.erase("age"); }), "no such input");
  expect(changed([](auto& r) { r.inputs.at("age").memory = TRITONSERVER_MEMORY_GPU; }), "found a GPU's");
  expect(changed([](auto& r) { r.output_memory = TRITONSERVER_MEMORY_GPU; }), "found a GPU's");
  expect(changed([](auto& r) { r.inputs.at("age").type = TRITONSERVER_TYPE_FP32; }), "'age': expected FP64");
  expect(changed([](auto& r) { r.inputs.at("age").shape = {}; }), "found shape []");
  expect(changed([](auto& r) { r.inputs.at("age").shape = {-1, 1}; }), "found -1");
  expect(changed([](auto& r) { r.inputs.at("age").shape = {int64_t{1} << 62, 8}; }), "but found");
  expect(changed([](auto& r) { r.inputs.at("color").shape = {3, 1}; }),
         "[2,1], as in the first input, but found [3,1]");
  expect(changed([](auto& r) { r.inputs.at("age").pieces = {"short"}; }),
         "expected 2 values but found 5 bytes");
  expect(changed([](auto& r) { r.inputs.at("age").pieces = {std::string(17, 'x')}; }), "found 17 bytes");
  expect(changed([&](auto& r) { r.inputs.at("color") = text(""); }), "'color', row 0");
  expect(changed([&](auto& r) { r.inputs.at("color") = text(raw(std::vector<std::string>{"a"}) + "xy"); }),
         "row 1");
  expect(changed([&](auto& r) { r.inputs.at("color") = text(std::string(8, '\xff')); }), "row 0");
  expect(changed([&](auto& r) { r.inputs.at("color") = text(raw(std::vector<std::string>{"a", "a", "a"})); }),
         "5 bytes more");
  expect(changed([&](auto& r) { r.inputs.at("color") = text(raw(std::vector<std::string>{"a", "\xff"})); }),
         "not UTF-8");
  expect(changed([](auto& r) { r.outputs = {"nothing"}; }), "'nothing'");
}

BOOST_AUTO_TEST_CASE(a_server_of_another_interface_is_refused) {
  set_api_version(2, 0);
  BOOST_TEST(message_of(TRITONBACKEND_Initialize(nullptr)).find("found 2.0") != std::string::npos);
  set_api_version(1, 18);
  BOOST_TEST(message_of(TRITONBACKEND_Initialize(nullptr)).find("found 1.18") != std::string::npos);
  set_api_version(1, 25);
  BOOST_TEST(message_of(TRITONBACKEND_Initialize(nullptr)) == "");
  set_api_version(1, 19);
}

BOOST_AUTO_TEST_CASE(a_configuration_that_is_none_is_refused) {
  const Folder folder;
  for (const char* config :
       {"", "[]", "{", "{\"input\": [1]}", "{\"input\": [{\"name\": 1}]}", "{\"input\": {}}",
        "{\"output\": [null]}", "{\"max_batch_size\": \"x\", \"input\": [{}]}"}) {
    TRITONBACKEND_Model model{folder.path(), config};
    const std::string message = message_of(TRITONBACKEND_ModelInitialize(&model));
    if (message.empty()) BOOST_TEST(message_of(TRITONBACKEND_ModelFinalize(&model)) == "");
  }
  BOOST_TEST(live_messages() == 0);
  BOOST_TEST(live_errors() == 0);
}

// The whole life, with one call of the server failing, or memory running out at one place; for every place.
struct Used {
  int64_t calls = 0, news = 0;
};
Used whole_life(const std::string& folder, int64_t failing_call, int64_t failing_new) {
  TRITONBACKEND_Model model{folder};
  TRITONBACKEND_ModelInstance instance;
  instance.model = &model;
  std::vector<TRITONBACKEND_Request> requests = {request({1, 2}, {"a", ""}), request({3}, {"red"}),
                                                 request({4}, {"blue"}), request({5}, {"a"}, 3)};
  requests[2].outputs = {"code"};
  requests[3].inputs.emplace("age__valid", input(TRITONSERVER_TYPE_BOOL, 1, std::string("\1", 1)));
  std::vector<TRITONBACKEND_Request*> pointers;
  for (TRITONBACKEND_Request& one : requests) pointers.push_back(&one);

  fail_call(failing_call);
  const int64_t before = counted_news();
  fail_news_after(failing_new);
  const auto failed = [](TRITONSERVER_Error* error) {
    if (error) TRITONSERVER_ErrorDelete(error);
    return error != nullptr;
  };
  bool executed = false;
  if (!failed(TRITONBACKEND_Initialize(nullptr)) &&
      !failed(TRITONBACKEND_GetBackendAttribute(nullptr, nullptr)) &&
      !failed(TRITONBACKEND_ModelInitialize(&model))) {
    if (!failed(TRITONBACKEND_ModelInstanceInitialize(&instance))) {
      executed = !failed(TRITONBACKEND_ModelInstanceExecute(&instance, pointers.data(), 4));
      const Used used{calls(), counted_news() - before};
      fail_news_after(-1);
      fail_call(-1);  // a server that cannot even give a state back: nothing can be freed
      failed(TRITONBACKEND_ModelInstanceFinalize(&instance));
      failed(TRITONBACKEND_ModelFinalize(&model));
      for (const TRITONBACKEND_Request& one : requests) {
        // in the server's hands when the call failed, else released once and answered at most once
        BOOST_REQUIRE_EQUAL(one.releases, executed ? 1 : 0);
        BOOST_REQUIRE_LE(one.answers, 1);
        if (!executed) BOOST_REQUIRE_EQUAL(one.answers, 0);
      }
      if (failing_call < 0 && failing_new < 0) {
        expect_answer(requests[0], {1, 2}, {"a", ""});
        expect_answer(requests[3], {5}, {"a"});
        BOOST_TEST(requests[2].error.find("'blue'") != std::string::npos);
      } else {
        // whatever failed, an answer is the right one
        if (!requests[0].answer.empty()) expect_answer(requests[0], {1, 2}, {"a", ""});
        if (!requests[1].answer.empty()) expect_answer(requests[1], {3}, {"red"});
        BOOST_TEST(requests[2].answer.empty());
      }
      BOOST_REQUIRE_EQUAL(live_errors(), 0);
      BOOST_REQUIRE_EQUAL(live_messages(), 0);
      return used;
    }
    fail_news_after(-1);
    fail_call(-1);
    failed(TRITONBACKEND_ModelFinalize(&model));
  }
  fail_news_after(-1);
  BOOST_REQUIRE_EQUAL(live_errors(), 0);
  BOOST_REQUIRE_EQUAL(live_messages(), 0);
  return {};
}

BOOST_AUTO_TEST_CASE(any_call_of_the_server_may_fail) {
  const Folder folder;
  const int64_t all = whole_life(folder.path(), -1, -1).calls;
  BOOST_REQUIRE_GT(all, 50);
  for (int64_t call = 0; call <= all + 5; ++call) whole_life(folder.path(), call, -1);
}

BOOST_AUTO_TEST_CASE(memory_may_run_out_anywhere) {
  if (!counts_new()) return;  // the sanitizers have an operator new of their own
  const Folder folder;
  const int64_t all = whole_life(folder.path(), -1, -1).news;
  BOOST_REQUIRE_GT(all, 100);
  for (int64_t news = 0; news <= all; ++news) whole_life(folder.path(), -1, news);
}

BOOST_AUTO_TEST_SUITE_END()

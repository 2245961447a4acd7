// Any bytes as a request: refused, or answered with JSON that reads back; never a fault of the server's own.
//
// The models are those in the folder that MLCORE_FUZZ_MODELS names.
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstdio>
#include <cstdlib>

#include "base/status.h"
#include "server/http_head.h"
#include "server/inflate.h"
#include "server/router.h"

namespace {

using namespace mlcore;
using namespace mlcore::server;
namespace http = boost::beast::http;

constexpr size_t kMaxBody = size_t{1} << 20;
constexpr size_t kMaxDepth = 32;

[[noreturn]] void report(const char* finding, const std::string& body) {
  std::fprintf(stderr, "finding: %s: %s\n", finding, body.c_str());
  std::abort();
}

struct Fixture {
  ModelStore store;
  Router router;

  Fixture() : store({folder()}, {}), router(store, options()) {
    store.refresh();
    if (store.snapshot()->models.empty()) report("no models", folder());
  }
  static std::string folder() {
    const char* const found = std::getenv("MLCORE_FUZZ_MODELS");
    return found ? found : "";
  }
  static RouterOptions options() {
    RouterOptions out;
    out.default_model = "mixed";
    return out;
  }
};

bool is_json(const std::string& text) {
  try {
    Json(1000).parse(text);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// The same request three times in one run: each is answered as it is alone.
void check_joined(Router& router, const Request& request, const Answer& alone) {
  static Runner runner(false);
  static Workbench first(kMaxDepth), second(kMaxDepth), third(kMaxDepth);
  Workbench* const benches[] = {&first, &second, &third};
  const Workbench* const read[] = {&first, &second, &third};
  for (Workbench* bench : benches)
    if (router.read(request, *bench)) return;
  const bool joined = runner.run_joined(read);
  int64_t row = 0;
  for (Workbench* bench : benches) {
    const int64_t rows = bench->prepared->batch.rows();
    const Answer found = router.compute(request, *bench, runner, joined ? std::optional(row) : std::nullopt);
    if (found.status != alone.status || found.body != alone.body) report("another answer", found.body);
    row += rows;
  }
  runner.trim();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Fixture served;
  static Workbench bench(kMaxDepth);
  static Runner runner(false);
  const std::string_view raw(reinterpret_cast<const char*>(data), size);
  const size_t end = raw.find("\r\n\r\n");
  if (end == std::string_view::npos || !problem_of_head(raw.substr(0, end + 4)).empty()) return -1;
  http::request_parser<http::empty_body> parser;
  parser.skip(
      true);  // all that follows is the body, whatever its length says: mutations rarely get that right
  boost::system::error_code code;
  parser.put(boost::asio::buffer(raw.data(), end + 4), code);
  if (code || !parser.is_header_done()) return -1;
  const auto& message = parser.get();
  Answer answer;
  try {
    const std::string body = inflated(message[http::field::content_encoding], raw.substr(end + 4), kMaxBody);
    const Request request{message.method_string(), message.target(), body, message.base(),
                          std::chrono::steady_clock::now()};
    answer = served.router.answer(request, bench, runner);
    if (answer.status < 500) check_joined(served.router, request, answer);
  } catch (const HttpError&) {
    return 0;
  }
  if (answer.status == 500) report("a fault of the server", answer.body);
  if (answer.type == "application/json" && !answer.body.empty() && !is_json(answer.body))
    report("an answer that is no JSON", answer.body);
  return 0;
}

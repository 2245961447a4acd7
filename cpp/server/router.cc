#include "server/router.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "base/number.h"
#include "base/status.h"
#include "server/json_writer.h"
#include "server/metrics.h"
#include "server/openapi.h"

namespace mlcore::server {
namespace {

constexpr int kRejected = 400, kUnauthorized = 401, kForbidden = 403, kNotFound = 404, kNotAllowed = 405,
              kTimeout = 408, kTooMany = 429, kBroken = 500, kUnready = 503;

Answer text_answer(std::string body) {
  Answer answer;
  answer.type = "text/plain; charset=utf-8";
  answer.body = std::move(body);
  return answer;
}

Answer json_answer(std::string body) {
  Answer answer;
  answer.body = std::move(body);
  return answer;
}

[[noreturn]] void no_route() {
  throw HttpError(kNotFound, "expected a route of this server but found another");
}

// Takes as long for a wrong token as for the right one.
bool same_token(std::string_view sent, std::string_view expected) {
  unsigned different = sent.size() == expected.size() ? 0 : 1;
  for (size_t i = 0; i < expected.size(); ++i)
    different |= static_cast<unsigned char>(expected[i]) ^
                 static_cast<unsigned char>(sent.empty() ? 0 : sent[i % sent.size()]);
  return different == 0;
}

constexpr std::array<std::string_view, 4> kOperations{"metrics", "openapi.json", "version", "status.json"};

void need_get(const Request& request) {
  if (request.method != "GET" && request.method != "HEAD")
    throw HttpError(kNotAllowed, "expected GET on this route but found another method", "GET, HEAD");
}

void need_post(const Request& request) {
  if (request.method != "POST")
    throw HttpError(kNotAllowed, "expected POST on this route but found another method", "POST");
}

// Does it; what it throws becomes an answer.
template <class F>
std::optional<Answer> refusal_of(const F& f) {
  try {
    f();
    return {};
  } catch (const HttpError& error) {
    Answer out = error_answer(error.status(), error.what());
    if (error.status() == kNotAllowed) out.headers.emplace_back("Allow", error.allow());
    if (error.status() == kUnauthorized) out.headers.emplace_back("WWW-Authenticate", "Bearer");
    if (error.status() == kUnready || error.status() == kTooMany)
      out.headers.emplace_back("Retry-After", text(error.retry_after()));
    return out;
  } catch (const Error& error) {
    return error_answer(error.code() == ErrorCode::program ? kBroken : kRejected, error.what());
  } catch (const std::bad_alloc&) {
    return error_answer(kUnready, "expected memory for this request but found none");
  } catch (const std::exception&) {
    return error_answer(kBroken, "the server has a fault");
  }
}

}  // namespace

Router::Router(ModelStore& store, RouterOptions options) : store_(store), options_(std::move(options)) {
  if (options_.rate > 0) limit_.emplace(options_.rate, options_.burst > 0 ? options_.burst : options_.rate);
}

bool Router::takes_long(const Request& request) {
  return request.method == "POST" && request.target.starts_with("/v2/repository/models/");
}

Answer Router::overloaded() {
  refused_.fetch_add(1, std::memory_order_relaxed);
  shed_.fetch_add(1, std::memory_order_relaxed);
  Answer out = error_answer(kUnready, "expected room in the queue for this request but found none");
  out.headers.emplace_back("Retry-After", "1");
  return out;
}

Answer Router::answer(const Request& request, Workbench& bench, Runner& runner) {
  std::optional<Answer> known = read(request, bench);
  Answer out = known ? std::move(*known) : compute(request, bench, runner, {});
  runner.trim();
  return out;
}

std::optional<Answer> Router::read(const Request& request, Workbench& bench) {
  Routed routed;
  if (std::optional<Answer> refusal = refusal_of([&] { routed = route(request, bench); }))
    routed = std::move(*refusal);
  if (Prepared* const prepared = std::get_if<Prepared>(&routed)) {
    bench.prepared = std::move(*prepared);
    return {};
  }
  account(request, std::get<Answer>(routed), bench);
  return std::get<Answer>(std::move(routed));
}

Answer Router::compute(const Request& request, Workbench& bench, Runner& runner,
                       std::optional<int64_t> first) {
  Answer out;
  std::optional<Answer> refusal = refusal_of([&] {
    const Workbench* const alone[] = {&bench};
    if (!first) runner.run(alone);
    out = runner.write(bench, first.value_or(0));
  });
  if (refusal) out = std::move(*refusal);
  account(request, out, bench);
  return out;
}

void Router::account(const Request& request, const Answer& answer, Workbench& bench) {
  const Served* const served = bench.served.get();
  const auto elapsed = std::chrono::steady_clock::now() - request.began;
  const double seconds = std::chrono::duration<double>(elapsed).count();
  if (served) {
    ModelCounts& counts = *served->counts;
    const size_t bucket = static_cast<size_t>(std::ranges::upper_bound(ModelCounts::kBounds, seconds) -
                                              ModelCounts::kBounds.begin());
    counts.by_class[std::min(answer.status / 100, 5)].fetch_add(1, std::memory_order_relaxed);
    counts.latency[bucket].fetch_add(1, std::memory_order_relaxed);
    counts.nanoseconds.fetch_add(static_cast<uint64_t>(elapsed.count()), std::memory_order_relaxed);
  } else {
    refused_.fetch_add(1, std::memory_order_relaxed);
  }
  if (answer.status >= kRejected) errors_.add(answer, served);
  if (options_.access_log > 0) {
    const auto every = static_cast<uint64_t>(1 / options_.access_log + 0.5);
    if (counted_.fetch_add(1, std::memory_order_relaxed) % std::max<uint64_t>(every, 1) == 0)
      log(request, answer, served, seconds);
  }
  bench.clear();
}

Router::Routed Router::route(const Request& request, Workbench& bench) {
  const Target target(request.target);
  // probes ask without a token, as orchestrators do; the page has nothing in it, and asks its reader for one
  if (target.size() == 0) {
    need_get(request);
    return status_page();
  }
  const bool asks_live = target.is(0, {"v2", "health", "live"}) || target.is(0, {"healthz"});
  const bool asks_ready = target.is(0, {"v2", "health", "ready"}) || target.is(0, {"ping"}) ||
                          target.is(0, {"health"}) || target.path == options_.health_route;
  if (asks_live || asks_ready) {
    need_get(request);
    return asks_live ? Answer() : ready();
  }
  const bool manages = target.size() > 2 && target.parts[0] == "v2" && target.parts[1] == "repository";
  check_token(request, manages);
  check_rate(request);
  check_deadline(request);
  if (target.size() == 1 && target.verb.empty() &&
      std::ranges::find(kOperations, target.parts[0]) != kOperations.end()) {
    need_get(request);
    return operations(target);
  }
  if (!options_.predict_route.empty() && target.path == options_.predict_route) {
    need_post(request);
    bench.served = default_model();
    return prepare_v1_predict(*bench.served, request, bench, options_.limits);
  }
  if (target.is(0, {"invocations"})) {
    need_post(request);
    bench.served = default_model();
    return prepare_invocations(*bench.served, request, bench, options_.limits);
  }
  if (target.size() > 0 && target.parts[0] == "predictions" && (target.size() == 2 || target.size() == 3)) {
    need_post(request);
    bench.served = model(target.parts[1], target.size() == 3 ? std::string_view(target.parts[2]) : "");
    return prepare_torchserve(*bench.served, request, bench, options_.limits);
  }
  if (target.size() > 0 && target.parts[0] == "v1") return route_v1(target, request, bench);
  if (target.size() > 0 && target.parts[0] == "v2") return route_v2(target, request, bench);
  no_route();
}

// v1 / models / name [ / versions / version ] [ / what | :verb ]
Router::Routed Router::route_v1(const Target& target, const Request& request, Workbench& bench) {
  if (target.size() < 2 || target.parts[1] != "models") no_route();
  if (target.size() == 2) {
    need_get(request);
    return status("");
  }
  const auto [name, version, rest] = target.named_model();
  if (target.size() == rest && target.verb.empty()) {
    need_get(request);
    model(name, version);
    return status(name);
  }
  if (target.is(rest, {"metadata"})) {
    need_get(request);
    return answer_v1_metadata(*model(name, version));
  }
  const bool is_rows = target.is(rest, {"rows"}) && target.verb.empty();
  const bool is_verb = target.size() == rest &&
                       (target.verb == "predict" || target.verb == "classify" || target.verb == "regress");
  if (!is_rows && !is_verb) no_route();
  need_post(request);
  bench.served = model(name, version);
  if (is_rows) return prepare_rows(*bench.served, request, bench, options_.limits);
  if (target.verb == "predict") return prepare_v1_predict(*bench.served, request, bench, options_.limits);
  if (target.verb == "classify") return prepare_v1_classify(*bench.served, request, bench, options_.limits);
  return prepare_v1_regress(*bench.served, request, bench, options_.limits);
}

// v2 / models / name [ / versions / version ] [ / infer | ready ], and the repository
Router::Routed Router::route_v2(const Target& target, const Request& request, Workbench& bench) {
  if (target.size() == 1) {
    need_get(request);
    return json_answer(R"({"name":"mlcore","version":")" MLCORE_VERSION
                       R"(","extensions":["binary_tensor_data","model_repository"]})");
  }
  if (target.is(1, {"repository", "index"})) {
    need_post(request);
    return index(request, bench);
  }
  if (target.is(1, {"repository", "models", "", ""})) {
    need_post(request);
    return manage(target.parts[3], target.parts[4]);
  }
  if (target.size() < 3 || target.parts[1] != "models") no_route();
  const auto [name, version, rest] = target.named_model();
  if (target.size() == rest) {
    need_get(request);
    const std::shared_ptr<const Served> one = model(name, version);
    const std::shared_ptr<const Snapshot> snapshot = store_.snapshot();
    std::vector<int64_t> versions;
    if (const auto known = snapshot->models.find(name); known != snapshot->models.end())
      for (const auto& [number, other] : known->second) versions.push_back(number);
    return answer_v2_metadata(*one, versions);
  }
  if (target.is(rest, {"ready"})) {
    need_get(request);
    model(name, version);
    return Answer();
  }
  if (!target.is(rest, {"infer"})) no_route();
  need_post(request);
  bench.served = model(name, version);
  return prepare_v2_infer(*bench.served, request, bench, options_.limits);
}

std::shared_ptr<const Served> Router::model(std::string_view name, std::string_view version) const {
  const std::shared_ptr<const Snapshot> snapshot = store_.snapshot();
  const auto versions = snapshot->models.find(name);
  if (versions == snapshot->models.end())
    throw HttpError(kNotFound,
                    "expected the name of a model that is served but found another; see /v1/models");
  if (version.empty()) return versions->second.rbegin()->second;
  const std::optional<int64_t> number = number_in<int64_t>(version);
  // as it is written in answers: 01 is no version
  const bool is_number = number && text(*number) == version;
  const auto found = is_number ? versions->second.find(*number) : versions->second.end();
  if (found == versions->second.end())
    throw HttpError(kNotFound, "expected a version of the model that is served but found another");
  return found->second;
}

std::shared_ptr<const Served> Router::default_model() const {
  if (!options_.default_model.empty()) return model(options_.default_model, "");
  const std::shared_ptr<const Snapshot> snapshot = store_.snapshot();
  if (snapshot->models.size() != 1)
    throw HttpError(kNotFound, "expected one model, or --default-model, but found " +
                                   text(snapshot->models.size()) + " models");
  return snapshot->models.begin()->second.rbegin()->second;
}

void Router::check_token(const Request& request, bool manages) const {
  const bool apart = manages && !options_.manage_token.empty();
  const std::string& expected = apart ? options_.manage_token : options_.token;
  if (expected.empty()) return;
  constexpr std::string_view kBearer = "Bearer ";
  std::string_view sent = request.header("Authorization");
  if (!sent.starts_with(kBearer))
    throw HttpError(kUnauthorized, "expected Authorization: Bearer with a token but found none");
  sent.remove_prefix(kBearer.size());
  if (same_token(sent, expected)) return;
  if (apart && !options_.token.empty() && same_token(sent, options_.token))
    throw HttpError(kForbidden, "expected the token that manages models but found the one that asks them");
  throw HttpError(kUnauthorized, "expected the token of this server but found another");
}

void Router::check_rate(const Request& request) {
  if (!limit_) return;
  const std::string_view client =
      options_.client_header.empty() ? request.client : request.header(options_.client_header);
  const double wait = limit_->take(client, std::chrono::steady_clock::now());
  if (wait > 0)
    throw HttpError(kTooMany, "expected at most " + text(options_.rate) + " requests a second but found more",
                    {}, static_cast<int64_t>(std::ceil(wait)));
}

void Router::check_deadline(const Request& request) const {
  const std::string_view sent = request.header("X-Request-Timeout-Ms");
  if (sent.empty()) return;
  const std::optional<int64_t> most = number_in<int64_t>(sent);
  if (!most || *most < 0)
    throw HttpError(kRejected,
                    "X-Request-Timeout-Ms: expected a number of milliseconds but found another value");
  if (std::chrono::steady_clock::now() - request.began > std::chrono::milliseconds(*most))
    throw HttpError(kTimeout, "expected an answer within " + text(*most) +
                                  " ms but they had passed before it was computed");
}

// What describes the server rather than a model.
Answer Router::operations(const Target& target) const {
  const std::string& what = target.parts[0];
  if (what == "version") return text_answer(MLCORE_VERSION);
  const std::shared_ptr<const Snapshot> snapshot = store_.snapshot();
  if (what == "openapi.json") return json_answer(openapi_document(*snapshot));
  const ServerCounts counts{connections.load(), waiting.load(), refused_.load(),
                            shed_.load(),       started_,       draining_.load()};
  if (what == "metrics") return text_answer(metrics_text(*snapshot, counts));
  return json_answer(status_document(*snapshot, counts, errors_));
}

Answer Router::manage(std::string_view name, std::string_view what) {
  if (what != "load" && what != "unload") no_route();
  if (!options_.manage)
    throw HttpError(kForbidden, "expected a server that was started with --manage but found one without");
  if (what == "load") store_.load(std::string(name));
  else store_.unload(std::string(name));
  return json_answer("{}");
}

Answer Router::ready() const {
  if (draining_) throw HttpError(kUnready, "the server is stopping");
  const std::shared_ptr<const Snapshot> snapshot = store_.snapshot();
  if (snapshot->models.empty()) throw HttpError(kUnready, "expected a model that is served but found none");
  return Answer();
}

// {"ready": true} asks for models that are served alone.
Answer Router::index(const Request& request, Workbench& bench) const {
  JsonRef ready;
  if (!request.body.empty()) ready = find(parse_body(request, bench), "ready");
  require(!ready || ready.is(JsonKind::boolean), ErrorCode::input, "ready: expected true or false but found ",
          ready ? name_of(ready->kind) : "none");
  const std::shared_ptr<const Snapshot> snapshot = store_.snapshot();
  std::string out = "[";
  const auto entry = [&](std::string_view name, int64_t version, std::string_view state,
                         std::string_view reason) {
    if (out.size() > 1) out += ',';
    out += "{\"name\":";
    append_text(out, name);
    out += ",\"version\":\"" + text(version) + "\",\"state\":\"" + std::string(state) + "\",\"reason\":";
    append_text(out, reason);
    out += '}';
  };
  for (const auto& [name, versions] : snapshot->models)
    for (const auto& [version, served] : versions) entry(name, version, "READY", "");
  if (!ready || !ready->boolean)
    for (const Refused& refused : snapshot->refused)
      entry(refused.name, refused.version, "UNAVAILABLE", refused.reason);
  return json_answer(out + "]");
}

// As TensorFlow Serving says it; all models' names when there is none in question.
Answer Router::status(std::string_view name) const {
  const std::shared_ptr<const Snapshot> snapshot = store_.snapshot();
  std::string out;
  if (name.empty()) {
    for (const auto& [known, versions] : snapshot->models) {
      out += out.empty() ? "{\"models\":[" : ",";
      append_text(out, known);
    }
    return json_answer((out.empty() ? "{\"models\":[" : out) + "]}");
  }
  const auto found = snapshot->models.find(name);
  if (found == snapshot->models.end()) no_route();
  for (const auto& [version, served] : found->second) {
    out += out.empty() ? "{\"model_version_status\":[" : ",";
    out += "{\"version\":\"" + text(version) +
           R"(","state":"AVAILABLE","status":{"error_code":"OK","error_message":""}})";
  }
  return json_answer(out + "]}");
}

// One line of JSON. Nothing of what a client sent but the path, its trace and its address's absence.
void Router::log(const Request& request, const Answer& answer, const Served* served, double seconds) const {
  std::string line = "{\"method\":";
  append_text(line, request.method);
  line += ",\"path\":";
  append_text(line, request.target.substr(0, request.target.find('?')));
  line += ",\"status\":" + text(answer.status) + ",\"seconds\":";
  append_number(line, seconds);
  line += ",\"bytes_in\":" + text(request.body.size()) + ",\"bytes_out\":" + text(answer.body.size());
  if (served) {
    line += ",\"model\":";
    append_text(line, served->name);
    line += ",\"version\":\"" + text(served->version) + '"';
  }
  if (const std::string_view trace = request.header("traceparent"); !trace.empty() && trace.size() <= 64) {
    line += ",\"traceparent\":";
    append_text(line, trace);
  }
  line += "}\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace mlcore::server

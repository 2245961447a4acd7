// From a request to its answer: which codec, for which model, and whether this client may ask. Knows no
// sockets.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <variant>

#include "server/codecs.h"
#include "server/http.h"
#include "server/model_store.h"
#include "server/rate_limit.h"
#include "server/runner.h"
#include "server/status_page.h"
#include "server/target.h"

namespace mlcore::server {

struct RouterOptions {
  Limits limits;
  std::string default_model;        // for /invocations with several models
  std::string token, manage_token;  // empty: nobody is asked
  bool manage = false;              // models may be loaded and unloaded over the API
  double access_log = 0;            // share of requests that are logged
  double rate = 0, burst = 0;       // requests a second of each client; 0: as many as it likes
  std::string client_header;        // whose value says who the client is; empty: its address
  // further routes, as a platform names them; empty: none
  std::string health_route, predict_route;
};

class Router {
 public:
  Router(ModelStore& store, RouterOptions options);

  // None of these throws. A request's answer; or in two steps, so that several can be computed together:
  Answer answer(const Request& request, Workbench& bench, Runner& runner);
  // the answer where no model has to compute it; else nothing, and the bench has what to compute;
  std::optional<Answer> read(const Request& request, Workbench& bench);
  // its answer: computed now, or in the runner's last run, where its rows begin at `first`.
  Answer compute(const Request& request, Workbench& bench, Runner& runner, std::optional<int64_t> first);
  // For a request that finds too many before it.
  Answer overloaded();
  // Whether its answer would hold up others: loads of models.
  static bool takes_long(const Request& request);
  // Whether `client` of a request is looked at.
  bool asks_addresses() const { return limit_ && options_.client_header.empty(); }

  // Readiness says no from now on, so that a balancer sends nothing more.
  void drain() { draining_ = true; }
  std::atomic<int64_t> connections{0}, waiting{0};

 private:
  using Routed = std::variant<Answer, Prepared>;

  Routed route(const Request& request, Workbench& bench);
  Routed route_v1(const Target& target, const Request& request, Workbench& bench);
  Routed route_v2(const Target& target, const Request& request, Workbench& bench);
  // Counts and logs an answer, and clears the bench.
  void account(const Request& request, const Answer& answer, Workbench& bench);
  Answer manage(std::string_view name, std::string_view what);
  std::shared_ptr<const Served> model(std::string_view name, std::string_view version) const;
  std::shared_ptr<const Served> default_model() const;
  void check_token(const Request& request, bool manages) const;
  void check_rate(const Request& request);
  void check_deadline(const Request& request) const;
  Answer operations(const Target& target) const;
  void log(const Request& request, const Answer& answer, const Served* served, double seconds) const;

  Answer ready() const;
  Answer index(const Request& request, Workbench& bench) const;
  Answer status(std::string_view name) const;

  ModelStore& store_;
  RouterOptions options_;
  std::atomic<bool> draining_{false};
  std::optional<RateLimit> limit_;
  RecentErrors errors_;
  const std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
  std::atomic<uint64_t> refused_{0};  // requests that never came to a model
  std::atomic<uint64_t> shed_{0};     // of which for want of room
  std::atomic<uint64_t> counted_{0};
};

}  // namespace mlcore::server

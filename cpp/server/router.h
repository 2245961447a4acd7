// From a request to its answer: which codec, for which model, and whether this client may ask. Knows no
// sockets.
#pragma once

#include <atomic>
#include <string>

#include "server/codecs.h"
#include "server/http.h"
#include "server/model_store.h"

namespace mlcore::server {

struct RouterOptions {
  Limits limits;
  std::string default_model;        // for /invocations with several models
  std::string token, manage_token;  // empty: nobody is asked
  bool manage = false;              // models may be loaded and unloaded over the API
  double access_log = 0;            // share of requests that are logged
};

class Router {
 public:
  Router(ModelStore& store, RouterOptions options);

  // Never throws.
  Answer answer(const Request& request, Workbench& bench);

  // Readiness says no from now on, so that a balancer sends nothing more.
  void drain() { draining_ = true; }
  std::atomic<int64_t> connections{0};

 private:
  struct Target;

  Answer route(const Request& request, Workbench& bench, std::shared_ptr<const Served>& served);
  Answer route_v1(const Target& target, const Request& request, Workbench& bench,
                  std::shared_ptr<const Served>& served);
  Answer route_v2(const Target& target, const Request& request, Workbench& bench,
                  std::shared_ptr<const Served>& served);
  Answer manage(std::string_view name, std::string_view what);
  std::shared_ptr<const Served> model(std::string_view name, std::string_view version) const;
  std::shared_ptr<const Served> default_model() const;
  void check_token(const Request& request, bool manages) const;
  void log(const Request& request, const Answer& answer, const Served* served, double seconds) const;

  Answer ready() const;
  Answer index() const;
  Answer status(std::string_view name) const;

  ModelStore& store_;
  RouterOptions options_;
  std::atomic<bool> draining_{false};
  std::atomic<uint64_t> refused_{0};  // requests that never came to a model
  std::atomic<uint64_t> counted_{0};
};

}  // namespace mlcore::server

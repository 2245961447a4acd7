#include "server/service.h"

#include "base/status.h"

namespace mlcore::server {
namespace {

std::vector<std::string> models_of(CommandLine& line) {
  require(!line.models.empty(), ErrorCode::input, "expected an .mlc file or a folder of them but found none");
  return std::move(line.models);
}

}  // namespace

Service::Service(CommandLine line)
    : max_depth_(line.server.max_depth),
      shows_values_(line.server.shows_values),
      store_(models_of(line), std::move(line.versions)) {
  store_.refresh();
  const std::shared_ptr<const Snapshot> snapshot = store_.snapshot();
  refused_ = snapshot->refused;
  std::string reasons;
  for (const Refused& one : refused_) reasons += "; " + one.name + ": " + one.reason;
  require(!snapshot->models.empty(), ErrorCode::input, "expected a model that can be served but found none",
          reasons);
  const std::string& usual = line.router.default_model;
  require(usual.empty() || snapshot->models.contains(usual), ErrorCode::input,
          "--default-model: expected the name of a model that is served but found ", quoted(usual));
  router_.emplace(store_, std::move(line.router));
  server_.emplace(store_, *router_, line.server);
}

std::unique_ptr<Service::Desk> Service::take_desk() {
  const std::lock_guard lock(mutex_);
  if (desks_.empty()) return std::make_unique<Desk>(max_depth_, shows_values_);
  std::unique_ptr<Desk> desk = std::move(desks_.back());
  desks_.pop_back();
  return desk;
}

Answer Service::answer(const Request& request) {
  std::unique_ptr<Desk> desk = take_desk();
  Answer answer = router_->answer(request, desk->bench, desk->runner);
  const std::lock_guard lock(mutex_);
  desks_.push_back(std::move(desk));
  return answer;
}

}  // namespace mlcore::server

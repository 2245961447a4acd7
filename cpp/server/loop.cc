#include "server/loop.h"

#include <vector>

#include "server/http_session.h"

namespace mlcore::server {
namespace {

// How often deadlines are looked at: one timer for all connections costs a request nothing.
constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::milliseconds kDrainTick{10};

}  // namespace

Loop::Loop(Router& router_, const ConnectionLimits& limits_, size_t max_depth, bool shows_values)
    : router(router_), limits(limits_), bench(max_depth, shows_values) {}

void Loop::run() {
  tick();
  context.run();
}

void Loop::drain(Clock::time_point linger, Clock::time_point end) {
  closing = true;
  linger_ = linger;
  end_ = end;
  timer_.cancel();  // which ticks
}

void Loop::tick() {
  const Clock::time_point now = Clock::now();
  for (Session* session : std::vector<Session*>(sessions.begin(), sessions.end())) {
    session->check_deadline(now);
    if (now >= linger_) session->close_if_idle();
  }
  if (closing && (sessions.empty() || now >= end_)) return context.stop();
  timer_.expires_after(closing ? kDrainTick : kTick);
  timer_.async_wait([this](boost::system::error_code) { tick(); });
}

}  // namespace mlcore::server

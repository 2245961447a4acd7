#include "server/loop.h"

#include <boost/asio/post.hpp>
#include <vector>

#include "server/http_session.h"

namespace mlcore::server {
namespace {

// How often deadlines are looked at: one timer for all connections costs a request nothing.
constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::milliseconds kDrainTick{10};
// After so long in the queue, what has come meanwhile is read: who waits is seen, counted, and refused in
// time.
constexpr std::chrono::microseconds kSlice{500};

}  // namespace

Loop::Loop(Router& router_, Aside& aside_, const ConnectionLimits& limits_, size_t max_depth,
           bool shows_values)
    : router(router_), aside(aside_), limits(limits_), bench(max_depth, shows_values) {}

void Loop::run() { context.run(); }

void Loop::watch(Session* session) {
  sessions.insert(session);
  if (!ticks_) tick();
}

bool Loop::enqueue(std::shared_ptr<Session> session) {
  if (sessions.size() == 1) {  // nobody else to wait for
    session->answer_request();
    return true;
  }
  if (waiting_.size() >= limits.max_queue) return false;
  waiting_.push_back(std::move(session));
  if (waiting_.size() == 1) boost::asio::post(context, [this] { work(); });
  return true;
}

void Loop::work() {
  const Clock::time_point end = Clock::now() + kSlice;
  while (!waiting_.empty()) {
    const std::shared_ptr<Session> session = std::move(waiting_.front());
    waiting_.pop_front();
    session->answer_request();
    if (!waiting_.empty() && Clock::now() >= end) return boost::asio::post(context, [this] { work(); });
  }
}

void Loop::drain(Clock::time_point linger, Clock::time_point end) {
  closing = true;
  linger_ = linger;
  end_ = end;
  if (ticks_) timer_.cancel();  // which ticks
  else tick();
}

void Loop::tick() {
  const Clock::time_point now = Clock::now();
  for (Session* session : std::vector<Session*>(sessions.begin(), sessions.end())) {
    session->check_deadline(now);
    if (now >= linger_) session->close_if_idle();
  }
  if (closing && (sessions.empty() || now >= end_)) return context.stop();
  ticks_ = !sessions.empty();
  if (!ticks_) return;
  timer_.expires_after(closing ? kDrainTick : kTick);
  timer_.async_wait([this](boost::system::error_code) { tick(); });
}

}  // namespace mlcore::server

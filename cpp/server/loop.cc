#include "server/loop.h"

#include <algorithm>
#include <boost/asio/post.hpp>

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
    : router(router_), aside(aside_), limits(limits_), max_depth_(max_depth), runner_(shows_values) {}

void Loop::run() { context.run(); }

void Loop::watch(Session* session) {
  sessions.insert(session);
  if (!ticks_) tick();
}

bool Loop::enqueue(std::shared_ptr<Session> session) {
  if (sessions.size() == 1) {  // nobody else to wait for
    take(std::move(session));
    answer_taken();
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
    std::shared_ptr<Session> session = std::move(waiting_.front());
    waiting_.pop_front();
    take(std::move(session));
    const bool over = waiting_.empty() || Clock::now() >= end;
    if (over) answer_taken();
    if (over && !waiting_.empty()) return boost::asio::post(context, [this] { work(); });
  }
}

// Reads a request whose turn it is, to be answered with others that wait: as many as there are, up to
// `batch_rows`.
void Loop::take(std::shared_ptr<Session> session) {
  if (session->has_long_body()) answer_taken();
  std::unique_ptr<Workbench> bench;
  if (benches_.empty()) {
    bench = std::make_unique<Workbench>(max_depth_);
  } else {
    bench = std::move(benches_.back());
    benches_.pop_back();
  }
  if (!session->prepare_request(*bench)) return benches_.push_back(std::move(bench));
  const int64_t rows = std::max<int64_t>(bench->prepared->batch.rows(), 1);
  if (taken_rows_ + rows > limits.batch_rows) answer_taken();
  taken_.push_back({std::move(session), std::move(bench)});
  taken_rows_ += rows;
  if (taken_rows_ >= limits.batch_rows) answer_taken();
}

void Loop::answer_taken() {
  for (auto first = taken_.begin(); first != taken_.end();) {
    const Workbench& bench = *first->bench;
    const auto end = std::stable_partition(
        first, taken_.end(), [&](const Taken& other) { return Runner::may_join(bench, *other.bench); });
    answer_together({first, end});
    first = end;
  }
  // the one that was taken first is the next to be taken: few requests use few of them
  for (; !taken_.empty(); taken_.pop_back()) benches_.push_back(std::move(taken_.back().bench));
  taken_rows_ = 0;
  runner_.trim();
}

void Loop::answer_together(std::span<Taken> requests) {
  joined_.clear();
  for (const Taken& one : requests) joined_.push_back(one.bench.get());
  const bool joined = requests.size() > 1 && runner_.run_joined(joined_);
  int64_t first = 0;
  for (Taken& one : requests) {
    const int64_t rows = one.bench->prepared->batch.rows();
    one.session->answer_request(*one.bench, runner_, joined ? std::optional(first) : std::nullopt);
    first += rows;
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

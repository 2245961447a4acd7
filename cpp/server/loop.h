// An event loop: one thread, the connections it owns, and what it computes with.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <unordered_set>
#include <vector>

#include "server/aside.h"
#include "server/router.h"
#include "server/runner.h"
#include "server/workbench.h"

namespace mlcore::server {

class Session;
using Clock = std::chrono::steady_clock;

struct ConnectionLimits {
  size_t max_header = 32 << 10;        // bytes
  size_t max_body = size_t{64} << 20;  // bytes, as sent and unpacked
  int64_t max_connections = 1024;
  size_t max_queue = 1024;  // requests of a loop that have come and wait for those before them
  int64_t batch_rows = 0;   // most rows of such requests that are computed together; 0: each by itself
  std::chrono::milliseconds header_timeout{10'000};  // from the first byte of a request
  std::chrono::milliseconds read_timeout{30'000};    // to its last, and for the answer to be taken
  std::chrono::milliseconds idle_timeout{75'000};    // between requests
};

// Used by its own thread alone, but for posting to `context`.
class Loop {
 public:
  Loop(Router& router, Aside& aside, const ConnectionLimits& limits, size_t max_depth, bool shows_values);

  // Until it has drained.
  void run();
  // Connections end after their next answer, or once they are idle after `linger`; all of them at `end`.
  void drain(Clock::time_point linger, Clock::time_point end);

  // Its deadline is looked at from now on, until it is gone.
  void watch(Session* session);
  // Answers the request that this session has read, once what else has come is read as well. False: too many
  // wait.
  bool enqueue(std::shared_ptr<Session> session);

  Router& router;
  Aside& aside;  // for what would hold up the other connections
  const ConnectionLimits& limits;
  std::unordered_set<Session*> sessions;
  bool closing = false;  // each connection ends after its next answer

 private:
  // A request that has been read.
  struct Taken {
    std::shared_ptr<Session> session;
    std::unique_ptr<Workbench> bench;
  };

  void tick();
  void work();
  void take(std::shared_ptr<Session> session);
  void answer_taken();
  void answer_together(std::span<Taken> requests);

  const size_t max_depth_;
  Runner runner_;
  std::vector<std::unique_ptr<Workbench>> benches_;  // that no request has
  std::vector<Taken> taken_;                         // to be answered together; none between events
  int64_t taken_rows_ = 0;
  std::vector<const Workbench*> joined_;
  Clock::time_point linger_ = Clock::time_point::max(), end_ = Clock::time_point::max();

 public:
  boost::asio::io_context context{1};  // goes first: the sessions in it know the rest

 private:
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> runs_on_{context.get_executor()};
  boost::asio::steady_timer timer_{context};
  bool ticks_ = false;  // only while there are connections: a server at rest does not wake up
  std::deque<std::shared_ptr<Session>> waiting_;
};

}  // namespace mlcore::server

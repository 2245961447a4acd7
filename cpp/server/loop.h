// An event loop: one thread, the connections it owns, and what it computes with.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <unordered_set>

#include "server/router.h"
#include "server/workbench.h"

namespace mlcore::server {

class Session;
using Clock = std::chrono::steady_clock;

struct ConnectionLimits {
  size_t max_header = 32 << 10;        // bytes
  size_t max_body = size_t{64} << 20;  // bytes, as sent and unpacked
  int64_t max_connections = 1024;
  std::chrono::milliseconds header_timeout{10'000};  // from the first byte of a request
  std::chrono::milliseconds read_timeout{30'000};    // to its last, and for the answer to be taken
  std::chrono::milliseconds idle_timeout{75'000};    // between requests
};

// Used by its own thread alone, but for posting to `context`.
class Loop {
 public:
  Loop(Router& router, const ConnectionLimits& limits, size_t max_depth, bool shows_values);

  // Until it has drained.
  void run();
  // Connections end after their next answer, or once they are idle after `linger`; all of them at `end`.
  void drain(Clock::time_point linger, Clock::time_point end);

  Router& router;
  const ConnectionLimits& limits;
  Workbench bench;
  std::unordered_set<Session*> sessions;
  bool closing = false;  // each connection ends after its next answer

 private:
  void tick();

  Clock::time_point linger_ = Clock::time_point::max(), end_ = Clock::time_point::max();

 public:
  boost::asio::io_context context{1};  // goes first: the sessions in it know the rest

 private:
  boost::asio::steady_timer timer_{context};
};

}  // namespace mlcore::server

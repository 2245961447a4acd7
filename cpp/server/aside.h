// A thread beside the event loops, for what takes longer than a request: loads of models.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace mlcore::server {

class Aside {
 public:
  Aside() = default;
  ~Aside() { stop(); }
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;

  // Calls `routine` every so often (0: never), between the jobs. Neither may throw.
  void start(std::function<void()> routine, std::chrono::milliseconds every);
  // Runs `job` after those that came before it; once stopped, jobs are dropped.
  void post(std::function<void()> job);
  void stop();

 private:
  void run(const std::function<void()>& routine, std::chrono::milliseconds every);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace mlcore::server

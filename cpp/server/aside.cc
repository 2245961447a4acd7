#include "server/aside.h"

#include <utility>

namespace mlcore::server {

void Aside::start(std::function<void()> routine, std::chrono::milliseconds every) {
  thread_ = std::thread([this, routine = std::move(routine), every] { run(routine, every); });
}

void Aside::run(const std::function<void()>& routine, std::chrono::milliseconds every) {
  std::unique_lock lock(mutex_);
  auto next = std::chrono::steady_clock::now() + every;
  const auto has_work = [this] { return stopped_ || !jobs_.empty(); };
  for (;;) {
    if (every.count() > 0) changed_.wait_until(lock, next, has_work);
    else changed_.wait(lock, has_work);
    if (stopped_) return;
    std::deque<std::function<void()>> jobs = std::exchange(jobs_, {});
    lock.unlock();
    for (const std::function<void()>& job : jobs) job();
    jobs.clear();
    if (every.count() > 0 && std::chrono::steady_clock::now() >= next) {
      routine();
      next = std::chrono::steady_clock::now() + every;
    }
    lock.lock();
  }
}

void Aside::post(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  if (stopped_) return;
  jobs_.push_back(std::move(job));
  changed_.notify_one();
}

void Aside::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  jobs_.clear();
}

}  // namespace mlcore::server

#include "runtime/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "runtime/fp_environment.h"

namespace mlcore {
namespace {

// Whether this thread is at work on a task.
thread_local bool inside_task = false;

// A call of run_tasks; lives on the caller's stack until nobody works on it.
struct Job {
  explicit Job(const Tasks& tasks_) : tasks(tasks_) {}

  const Tasks tasks;
  std::atomic<int64_t> next{0};  // task to begin next

  // guarded by the pool's mutex
  int places = 0;   // threads that may still join
  int helpers = 0;  // threads that joined and have not left
  int64_t failed = std::numeric_limits<int64_t>::max();
  std::exception_ptr error;  // of task `failed`
  std::condition_variable left;
};

class Pool {
 public:
  void run(Job& job, int helpers, Arena& arena);

 private:
  void hire(int helpers);
  void live();
  void work_on(Job& job, Arena& arena);

  std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<Job*> jobs_;  // with a free place, in order of arrival
  int threads_ = 0;
  int asleep_ = 0;
};

void Pool::work_on(Job& job, Arena& arena) {
  inside_task = true;
  for (int64_t index = 0; (index = job.next.fetch_add(1, std::memory_order_relaxed)) < job.tasks.count;) {
    try {
      job.tasks.run(job.tasks.context, index, arena);
    } catch (...) {
      job.next.store(job.tasks.count, std::memory_order_relaxed);  // the tasks before this one are all begun
      const std::scoped_lock lock(mutex_);
      if (index < job.failed) {
        job.failed = index;
        job.error = std::current_exception();
      }
    }
  }
  inside_task = false;
}

// A thread of the pool, which never ends.
void Pool::live() {
  const FpEnvironment environment;
  Arena arena;
  std::unique_lock lock(mutex_);
  for (;;) {
    while (jobs_.empty()) {
      ++asleep_;
      ready_.wait(lock);
      --asleep_;
    }
    Job& job = *jobs_.front();
    ++job.helpers;
    if (--job.places == 0) jobs_.erase(jobs_.begin());
    lock.unlock();
    work_on(job, arena);
    arena.trim();
    lock.lock();
    std::erase(jobs_, &job);  // no task of it is left
    if (--job.helpers == 0) job.left.notify_one();
  }
}

// Makes threads until there are `helpers`. Where the system refuses more, those that exist have to do.
void Pool::hire(int helpers) {
  if (threads_ >= helpers) return;
  // signals are for the program's own threads, but for those that a thread's own fault raises
  sigset_t others;
  sigset_t before;
  sigfillset(&others);
  for (int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&others, own);
  pthread_sigmask(SIG_SETMASK, &others, &before);
  try {
    for (; threads_ < helpers; ++threads_) std::thread([this] { live(); }).detach();
  } catch (...) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Pool::run(Job& job, int helpers, Arena& arena) {
  int wake = 0;
  {
    const std::scoped_lock lock(mutex_);
    hire(helpers);
    jobs_.push_back(&job);
    job.places = helpers;
    wake = std::min(helpers, asleep_);
  }
  for (; wake > 0; --wake) ready_.notify_one();
  work_on(job, arena);
  std::unique_lock lock(mutex_);
  std::erase(jobs_, &job);
  while (job.helpers > 0) job.left.wait(lock);
}

// Never deleted: its threads may be at work until the process is gone.
std::atomic<Pool*> current{nullptr};

// In the child, the pool's threads are gone and its mutex may be locked by one of them, so it is left as it
// is.
void forget_pool() { current.store(nullptr, std::memory_order_relaxed); }

Pool& pool() {
  Pool* found = current.load(std::memory_order_acquire);
  if (found != nullptr) return *found;
  // No lock is held on the way, and so none can be at a fork. Handlers are inherited, and more than one does
  // no harm.
  static std::atomic<bool> handled{false};
  if (!handled.load(std::memory_order_acquire)) {
    if (pthread_atfork(nullptr, nullptr, forget_pool) != 0) throw std::bad_alloc();
    handled.store(true, std::memory_order_release);
  }
  auto made = std::make_unique<Pool>();
  if (!current.compare_exchange_strong(found, made.get(), std::memory_order_acq_rel)) return *found;
  return *made.release();
}

}  // namespace

void run_tasks(const Tasks& tasks, int threads, Arena& arena) {
  const int64_t helpers = std::min<int64_t>(threads, tasks.count) - 1;
  if (helpers <= 0 || inside_task) {
    for (int64_t index = 0; index < tasks.count; ++index) tasks.run(tasks.context, index, arena);
    return;
  }
  Job job(tasks);
  pool().run(job, static_cast<int>(helpers), arena);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace mlcore

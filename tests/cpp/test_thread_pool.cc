// The pool of threads and how many a run takes of it.
#include <array>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cfenv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "artifact_samples.h"
#include "base/status.h"
#include "runtime/thread_count.h"
#include "runtime/thread_pool.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace {

using namespace mlcore;
using samples::scaled;

// Waits until `wanted` tasks were begun, each by a thread of its own.
void wait_for(std::atomic<int>& begun, int wanted) {
  for (++begun; begun < wanted;) std::this_thread::yield();
}

std::string thrown_by(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing";
}

std::string said_of(const char* name, const char* value, const std::function<std::string()>& call) {
  const char* before = std::getenv(name);
  const std::string kept = before ? before : "";
  ::setenv(name, value, 1);
  std::string out;
  try {
    out = call();
  } catch (const Error& error) {
    BOOST_TEST((error.code() == ErrorCode::program));
    out = error.what();
  }
  if (before) ::setenv(name, kept.c_str(), 1);
  else ::unsetenv(name);
  return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(thread_pool)

BOOST_AUTO_TEST_CASE(every_task_once) {
  Arena arena;
  for (int threads : {1, 2, 3, 8})
    for (int64_t count : {0, 1, 2, 3, 100, 1000}) {
      std::vector<std::atomic<int>> done(static_cast<size_t>(count));
      run_tasks(count, threads, arena, [&](int64_t index, Arena&) { ++done[static_cast<size_t>(index)]; });
      for (const auto& times : done) BOOST_REQUIRE(times == 1);
    }
}

BOOST_AUTO_TEST_CASE(as_many_threads_as_asked_each_in_its_own_arena) {
  constexpr int kThreads = 5;
  Arena mine;
  std::atomic<int> begun = 0;
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::set<Arena*> arenas;
  run_tasks(kThreads, kThreads, mine, [&](int64_t, Arena& arena) {
    {
      const std::scoped_lock lock(mutex);
      threads.insert(std::this_thread::get_id());
      arenas.insert(&arena);
    }
    wait_for(begun, kThreads);
  });
  BOOST_TEST(threads.size() == kThreads);
  BOOST_TEST(threads.contains(std::this_thread::get_id()));
  BOOST_TEST(arenas.size() == kThreads);
  BOOST_TEST(arenas.contains(&mine));
}

BOOST_AUTO_TEST_CASE(the_first_error_in_order_is_thrown) {
  Arena arena;
  const int64_t rounds = scaled(300);
  for (int64_t round = 0; round < rounds; ++round) {
    std::atomic<int> begun = 0;
    const std::string error = thrown_by([&] {
      run_tasks(1000, 4, arena, [&](int64_t index, Arena&) {
        ++begun;
        // the later, the sooner
        if (index == 7) std::this_thread::sleep_for(std::chrono::microseconds(50));
        if (index >= 7) throw std::runtime_error("task " + std::to_string(index));
      });
    });
    BOOST_REQUIRE(error == "task 7");
    BOOST_REQUIRE(begun <= 7 + 4);  // at most one for each thread
  }
}

BOOST_AUTO_TEST_CASE(an_error_leaves_the_pool_as_it_was) {
  Arena arena;
  BOOST_TEST(thrown_by([&] {
               run_tasks(2, 2, arena, [](int64_t, Arena&) { throw std::runtime_error("no"); });
             }) == "no");
  std::atomic<int> begun = 0;
  run_tasks(2, 2, arena, [&](int64_t, Arena&) { wait_for(begun, 2); });
  BOOST_TEST(begun == 2);
}

BOOST_AUTO_TEST_CASE(many_callers_at_once) {
  const int64_t rounds = scaled(200);
  std::atomic<int64_t> done = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 8; ++caller)
    callers.emplace_back([&, caller] {
      Arena arena;
      for (int64_t round = 0; round < rounds; ++round)
        run_tasks(10, 1 + caller % 4, arena, [&](int64_t, Arena& own) {
          own.reserve(1000)[999] = std::byte{1};
          ++done;
        });
    });
  for (std::thread& caller : callers) caller.join();
  BOOST_TEST(done == 8 * 10 * rounds);
}

BOOST_AUTO_TEST_CASE(a_call_from_within_a_task_stays_on_its_thread) {
  Arena arena;
  std::atomic<int> begun = 0;
  std::atomic<int> inner = 0;
  std::atomic<int> elsewhere = 0;
  run_tasks(3, 3, arena, [&](int64_t, Arena& own) {
    wait_for(begun, 3);
    const std::thread::id here = std::this_thread::get_id();
    run_tasks(10, 3, own, [&](int64_t, Arena&) {
      ++inner;
      if (std::this_thread::get_id() != here) ++elsewhere;
    });
  });
  BOOST_TEST(inner == 30);
  BOOST_TEST(elsewhere == 0);
  begun = 0;  // and afterwards calls are spread again
  run_tasks(3, 3, arena, [&](int64_t, Arena&) { wait_for(begun, 3); });
  BOOST_TEST(begun == 3);
}

#if defined(__SSE__)
BOOST_AUTO_TEST_CASE(threads_have_the_default_floating_point_state) {
  // threads inherit the state of the thread that makes them: more of them than any test before asked for
  constexpr int kThreads = 12;
  Arena arena;
  std::atomic<int> begun = 0;
  std::array<unsigned, kThreads> states{};
  const std::thread::id caller = std::this_thread::get_id();
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);  // flush-to-zero, denormals-are-zero
  run_tasks(kThreads, kThreads, arena, [&](int64_t index, Arena&) {
    states[static_cast<size_t>(index)] = std::this_thread::get_id() == caller ? 0x1f80 : _mm_getcsr();
    wait_for(begun, kThreads);
  });
  _mm_setcsr(before);
  for (unsigned state : states) BOOST_TEST((state & 0xffc0) == 0x1f80U);
}
#endif

BOOST_AUTO_TEST_CASE(what_the_environment_says) {
  const auto threads = [](const char* value) {
    return said_of("MLCORE_THREADS", value, [] { return text(threads_of_environment()); });
  };
  BOOST_TEST(threads("") == "0");
  BOOST_TEST(threads("1") == "1");
  BOOST_TEST(threads("1024") == "1024");
  for (const char* wrong : {"0", "-1", "1025", "2.0", " 2", "2 ", "+2", "0x2", "two", "99999999999999999999"})
    BOOST_TEST(threads(wrong) ==
               std::string("MLCORE_THREADS: expected an integer from 1 to 1024 but found '") + wrong + "'");
  const auto work = [](const char* value) {
    return said_of("MLCORE_THREAD_WORK", value, [] { return text(thread_work_of_environment()); });
  };
  BOOST_TEST(work("0") == "0");
  BOOST_TEST(work("20") == "20000");
  BOOST_TEST(work("-1") == "MLCORE_THREAD_WORK: expected an integer from 0 to 1000000 but found '-1'");
}

BOOST_AUTO_TEST_CASE(processors_of_a_control_group) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("mlcore_quota_" + std::to_string(::getpid()));
  const auto write = [&](const std::string& name, const std::string& content) {
    fs::create_directories((folder / name).parent_path());
    std::ofstream(folder / name) << content;
  };
  const auto processors = [&](const std::string& groups) {
    write("groups", groups);
    return processors_by_quota((folder / "groups").string(), (folder / "mount").string());
  };
  write("mount/two/a/b/cpu.max", "max 100000\n");
  write("mount/two/a/cpu.max", "250000 100000\n");
  write("mount/two/cpu.max", "800000 100000\n");
  BOOST_TEST(processors("0::/two/a/b\n") == 3);  // the group around it is the tightest; rounded up
  BOOST_TEST(processors("0::/two\n") == 8);
  BOOST_TEST(processors("0::/unknown/c\n") == 0);
  write("mount/cpu.max", "50000 100000\n");  // a container: the path is one of the host
  BOOST_TEST(processors("0::/unknown/c\n") == 1);
  BOOST_TEST(processors("0::/\n") == 1);
  fs::remove(folder / "mount/cpu.max");
  write("mount/cpu/one/cpu.cfs_quota_us", "400000\n");
  write("mount/cpu/one/cpu.cfs_period_us", "100000\n");
  write("mount/cpu/free/cpu.cfs_quota_us", "-1\n");
  write("mount/cpu/free/cpu.cfs_period_us", "100000\n");
  BOOST_TEST(processors("8:memory:/m\n3:cpu,cpuacct:/one\n0::/\n") == 4);
  BOOST_TEST(processors("3:cpuset:/one\n2:cpuacct:/one\n") == 0);
  BOOST_TEST(processors("3:cpuacct,cpu:/free\n") == 0);
  BOOST_TEST(processors("nonsense\n::\n0:") == 0);
  BOOST_TEST(processors_by_quota("/nowhere", "/nowhere") == 0);
  fs::remove_all(folder);
  BOOST_TEST(available_processors() >= 1);
}

BOOST_AUTO_TEST_SUITE_END()

#include "runtime/thread_count.h"

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string_view>
#include <thread>

#include "base/number.h"
#include "base/status.h"

namespace mlcore {
namespace {

// By default no more: what a batch gains from still more threads was never measured.
constexpr int kMostByDefault = 64;

// Microseconds; to wake a sleeping thread takes 20 to 60 on a virtual machine.
constexpr int kThreadWork = 100;

// Processors that one group's quota pays for; 0 when there is none.
double quota_of(const std::string& folder) {
  std::string quota;
  std::string period;
  std::ifstream both(folder + "/cpu.max");  // version 2: "max 100000" or "150000 100000"
  if (both) {
    both >> quota >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;  // version 1: -1 or a number
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  const auto used = number_in<int64_t>(quota);
  const auto of = number_in<int64_t>(period);
  if (!used || !of || *used <= 0 || *of <= 0) return 0;
  return static_cast<double>(*used) / static_cast<double>(*of);
}

int integer_of_environment(const char* name, int least, int most, int otherwise) {
  const char* found = std::getenv(name);
  if (found == nullptr || *found == '\0') return otherwise;
  const std::optional<int> value = number_in<int>(found);
  require(value && *value >= least && *value <= most, ErrorCode::program, name, ": expected an integer from ",
          least, " to ", most, " but found ", quoted(found));
  return *value;
}

int allowed_processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

int threads_of_environment() { return integer_of_environment("MLCORE_THREADS", 1, kMaxThreads, 0); }

double thread_work_of_environment() {
  return 1e3 * integer_of_environment("MLCORE_THREAD_WORK", 0, 1'000'000, kThreadWork);
}

int processors_by_quota(const std::string& groups, const std::string& mount) {
  double least = 0;
  std::ifstream lines(groups);
  for (std::string line;
       std::getline(lines, line);) {  // "0::/a/b" in version 2, "4:cpu,cpuacct:/a/b" in version 1
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool unified = controllers == ",,";
    if (!unified && controllers.find(",cpu,") == std::string::npos) continue;
    const std::string root = unified ? mount : mount + "/cpu";
    // in a container the path may be one of the host, and the files those of the container's own group
    for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
      if (path == "/") path.clear();
      const double quota = quota_of(root + path);
      if (quota > 0) least = least > 0 ? std::min(least, quota) : quota;
      if (path.rfind('/') == std::string::npos) break;
    }
  }
  return static_cast<int>(std::ceil(std::min(least, double{kMaxThreads})));
}

int available_processors() {
  static std::atomic<int> quota{
      -1};  // read once, and not by a static's initialisation: a fork may come between
  int by_quota = quota.load(std::memory_order_relaxed);
  if (by_quota < 0) {
    by_quota = processors_by_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    quota.store(by_quota, std::memory_order_relaxed);
  }
  const int allowed = std::clamp(allowed_processors(), 1, kMostByDefault);
  return by_quota > 0 ? std::min(allowed, by_quota) : allowed;
}

}  // namespace mlcore

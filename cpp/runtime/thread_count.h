// How many threads a model runs on when nobody says so.
#pragma once

#include <string>

namespace mlcore {

inline constexpr int kMaxThreads = 1024;

// What the environment variable MLCORE_THREADS says; 0 when it is not set. Throws ErrorCode::program unless
// it is an integer from 1 to kMaxThreads.
int threads_of_environment();

// Nanoseconds of work for each thread that a run takes: the microseconds that the environment variable
// MLCORE_THREAD_WORK says, else what was measured to pay. Throws ErrorCode::program unless it is an integer
// from 0 to a second.
double thread_work_of_environment();

// Processors that this process may keep busy: those it may run on, and no more than its control group's CPU
// quota pays for; at least 1.
int available_processors();

// Processors that the quotas of the control groups in `groups` (/proc/self/cgroup) and of those around them
// pay for, rounded up; 0 when there is no quota. `mount` is where the groups' files lie (/sys/fs/cgroup).
int processors_by_quota(const std::string& groups, const std::string& mount);

}  // namespace mlcore

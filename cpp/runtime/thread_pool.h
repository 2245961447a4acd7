// One pool of threads for the whole process, made when first needed and shared by all models. Its threads
// sleep while there is nothing to do. A child made by `fork` has none of them and makes a pool of its own.
#pragma once

#include <cstdint>

#include "runtime/arena.h"

namespace mlcore {

// What is done `count` times; `context` is whatever the caller needs for it.
struct Tasks {
  int64_t count;
  void (*run)(const void* context, int64_t index, Arena& arena);
  const void* context;
};

// Runs every task once, on this thread and up to `threads` - 1 of the pool's, and returns when all are done.
// Tasks are begun in their order. This thread works in `arena`, a thread of the pool in its own. When tasks
// throw, no later one is begun, and the exception of the first of them in order is thrown, as on one thread.
// Any number of threads may call at once; a call from within a task runs on its own thread alone.
void run_tasks(const Tasks& tasks, int threads, Arena& arena);

// The same for a callable task(index, arena).
template <class Task>
void run_tasks(int64_t count, int threads, Arena& arena, const Task& task) {
  run_tasks({count,
             [](const void* context, int64_t index, Arena& own) {
               (*static_cast<const Task*>(context))(index, own);
             },
             &task},
            threads, arena);
}

}  // namespace mlcore

// How many allocations and releases this thread has made through operator new and delete.
#pragma once

#include <cstdint>
#include <new>

namespace samples {

int64_t counted_news();

// False where something else watches operator new: the sanitizers and valgrind bring their own. Asked from
// the caller's file, which calls what everybody calls; beside its definition ours would be inlined.
inline bool counts_new() {
  const int64_t before = counted_news();
  ::operator delete(::operator new(1));
  return counted_news() > before;
}

// From now on this thread's operator new gives memory `count` times and then throws; -1: always gives it.
// Does nothing where news are not counted.
void fail_news_after(int64_t count);
int64_t news_left();

}  // namespace samples

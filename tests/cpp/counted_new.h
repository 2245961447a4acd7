// How many allocations and releases this thread has made through operator new and delete.
#pragma once

#include <cstdint>

namespace samples {

// False where something else watches operator new: the sanitizers and valgrind bring their own.
bool counts_new();

int64_t counted_news();

// From now on this thread's operator new gives memory `count` times and then throws; -1: always gives it.
// Does nothing where news are not counted.
void fail_news_after(int64_t count);
int64_t news_left();

}  // namespace samples

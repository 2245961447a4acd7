// How many allocations and releases this thread has made through operator new and delete.
#pragma once

#include <cstdint>

namespace samples {

// The sanitizers watch operator new themselves.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCountsNew = false;
#else
constexpr bool kCountsNew = true;
#endif

int64_t counted_news();

// From now on this thread's operator new gives memory `count` times and then throws; -1: always gives it.
// Does nothing under the sanitizers.
void fail_news_after(int64_t count);
int64_t news_left();

}  // namespace samples

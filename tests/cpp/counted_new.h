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

}  // namespace samples

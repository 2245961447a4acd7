#include "counted_new.h"

#include <cstdlib>
#include <new>

namespace {

thread_local int64_t count = 0;
thread_local int64_t left = -1;

[[maybe_unused]] void count_new() {
  ++count;
  if (left == 0) throw std::bad_alloc();
  if (left > 0) --left;
}

}  // namespace

int64_t samples::counted_news() { return count; }
void samples::fail_news_after(int64_t news) { left = news; }
int64_t samples::news_left() { return left; }

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void* operator new(size_t size) {
  count_new();
  if (void* memory = std::malloc(size != 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}

void* operator new(size_t size, std::align_val_t alignment) {
  count_new();
  const auto step = static_cast<size_t>(alignment);
  if (void* memory = std::aligned_alloc(step, (size + step - 1) / step * step)) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept {
  if (memory) ++count;
  std::free(memory);
}

void operator delete(void* memory, size_t) noexcept { operator delete(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { operator delete(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { operator delete(memory); }

#endif

// The kernels of this folder as loops on the CPU, behind the same table: what a test can say without a GPU
// about everything but the launches themselves. Never shipped.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "library.h"

namespace mlcore::device {

struct Device {
  int index;
};

void* place(Device&, const void* data, size_t bytes) {
  void* out = std::malloc(bytes > 0 ? bytes : 1);
  if (out == nullptr) throw std::bad_alloc();
  if (data != nullptr && bytes > 0) std::memcpy(out, data, bytes);
  return out;
}
void give_back(Device&, void* data) noexcept { std::free(data); }

struct Stopwatch::State {
  std::chrono::steady_clock::time_point begin;
};
Stopwatch::Stopwatch(Device&) : state_(new State) {}
Stopwatch::~Stopwatch() { delete state_; }
// Tests load hundreds of models, and want the same form each time.
int64_t Stopwatch::most_rows() {
  const char* rows = std::getenv("MLCORE_EMULATED_PROBE_ROWS");
  return rows != nullptr ? std::strtoll(rows, nullptr, 10) : 0;
}
Stream* Stopwatch::stream() const { return nullptr; }
void Stopwatch::start() { state_->begin = std::chrono::steady_clock::now(); }
double Stopwatch::stop() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - state_->begin).count();
}

namespace {

constexpr int kDevices = 2;
Device devices[kDevices] = {{0}, {1}};
// So that a test sees what a device does that has too little memory.
size_t memory_left() {
  const char* bytes = std::getenv("MLCORE_EMULATED_BYTES");
  return bytes != nullptr ? std::strtoull(bytes, nullptr, 10) : ~size_t{0};
}

Failure allocate(size_t bytes, void** data) {
  if (bytes > memory_left()) return "out of memory";
  *data = std::malloc(bytes > 0 ? bytes : 1);
  return *data != nullptr ? nullptr : "out of memory";
}
Failure release(void* data) {
  std::free(data);
  return nullptr;
}

std::atomic<int64_t> copies{0};

// An event of a test: a function that is called when something waits for it, so that a test sees that
// nothing is read before.
Failure happen(Stream*, const void* event) {
  (*static_cast<void (*const*)()>(event))();
  return nullptr;
}

}  // namespace

const Native kNative{
    "the CUDA kernels on the CPU, for tests",
    [](int* count) -> Failure {
      *count = kDevices;
      return nullptr;
    },
    [](int index, Device** device) -> Failure {
      *device = &devices[index];
      return nullptr;
    },
    [](const Device*) { return "no GPU"; },
    [](Device*) -> Failure { return nullptr; },
    [](const Device*) { return size_t{227} << 10; },
    allocate,
    release,
    allocate,
    release,
    [](void* to, const void* from, size_t bytes, Stream*) -> Failure {
      if (bytes == 0) return nullptr;
      ++copies;
      std::memmove(to, from, bytes);
      return nullptr;
    },
    [](Stream** stream) -> Failure {
      *stream = nullptr;
      return nullptr;
    },
    [](Stream*) -> Failure { return nullptr; },
    [](Stream*) -> Failure { return nullptr; },
    []() -> Failure { return nullptr; },
    happen,
    [](Stream*) -> Failure { return nullptr; },
    [](Stream*, Graph** graph) -> Failure {
      *graph = nullptr;
      return nullptr;
    },
    [](Graph*, Stream*) -> Failure { return nullptr; },
    [](Graph*) -> Failure { return nullptr; },
};

}  // namespace mlcore::device

const mlcore::device::Library* mlcore_device_library() { return &mlcore::device::kLibrary; }

// What a GPU would have been given since the process began, for tests that count it.
extern "C" [[gnu::visibility("default")]] int64_t mlcore_emulated_launches() {
  return mlcore::device::launches;
}
extern "C" [[gnu::visibility("default")]] int64_t mlcore_emulated_copies() { return mlcore::device::copies; }

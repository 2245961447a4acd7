// libmlcore_cuda.so: devices, memory, streams and graphs by the CUDA runtime, which is linked in statically.
#include <cuda_runtime.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "library.h"

namespace mlcore::device {

struct Device {
  int index = 0;
  std::string name;
  size_t shared_bytes = 0;
};

namespace {

Failure failed(cudaError_t code) {
  if (code == cudaSuccess) return nullptr;
  cudaGetLastError();  // the next call does not hear of it again
  return code == cudaErrorMemoryAllocation ? "out of memory" : cudaGetErrorString(code);
}

void check(cudaError_t code) {
  if (const Failure failure = failed(code)) throw Unable(failure);
}

Failure open_device(int index, Device** device) {
  static std::mutex mutex;
  static std::vector<Device*> open;  // for the life of the process, as the runtime's contexts are
  const std::scoped_lock lock(mutex);
  for (Device* one : open)
    if (one->index == index) {
      *device = one;
      return nullptr;
    }
  cudaDeviceProp properties{};
  int shared = 0;
  if (const Failure failure = failed(cudaGetDeviceProperties(&properties, index))) return failure;
  if (properties.major < 8) return "its compute capability is below 8.0";
  if (const Failure failure =
          failed(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, index)))
    return failure;
  if (const Failure failure = failed(cudaSetDevice(index))) return failure;
  if (const Failure failure = failed(cudaFree(nullptr))) return failure;  // makes the context
  open.push_back(new Device{index, properties.name, static_cast<size_t>(shared)});
  *device = open.back();
  return nullptr;
}

}  // namespace

void* place(Device& device, const void* data, size_t bytes) {
  void* out = nullptr;
  check(cudaSetDevice(device.index));
  check(cudaMalloc(&out, std::max<size_t>(bytes, 1)));
  const cudaError_t code = data != nullptr && bytes > 0 ? cudaMemcpy(out, data, bytes, cudaMemcpyHostToDevice) : cudaSuccess;
  if (code != cudaSuccess) cudaFree(out);
  check(code);
  return out;
}
void give_back(Device& device, void* data) noexcept {
  if (cudaSetDevice(device.index) == cudaSuccess) cudaFree(data);
}

struct Stopwatch::State {
  cudaStream_t stream = nullptr;
  cudaEvent_t begin = nullptr, end = nullptr;

  ~State() {
    if (begin != nullptr) cudaEventDestroy(begin);
    if (end != nullptr) cudaEventDestroy(end);
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
};
Stopwatch::Stopwatch(Device& device) {
  auto state = std::make_unique<State>();
  check(cudaSetDevice(device.index));
  check(cudaStreamCreateWithFlags(&state->stream, cudaStreamNonBlocking));
  check(cudaEventCreate(&state->begin));
  check(cudaEventCreate(&state->end));
  state_ = state.release();
}
Stopwatch::~Stopwatch() { delete state_; }
int64_t Stopwatch::most_rows() { return int64_t{1} << 17; }
Stream* Stopwatch::stream() const { return reinterpret_cast<Stream*>(state_->stream); }
void Stopwatch::start() { check(cudaEventRecord(state_->begin, state_->stream)); }
double Stopwatch::stop() {
  float milliseconds = 0;
  check(cudaEventRecord(state_->end, state_->stream));
  check(cudaEventSynchronize(state_->end));
  check(cudaEventElapsedTime(&milliseconds, state_->begin, state_->end));
  return 1000.0 * static_cast<double>(milliseconds);
}

const Native kNative{
    "CUDA",
    [](int* count) -> Failure {
      const cudaError_t code = cudaGetDeviceCount(count);
      if (code == cudaErrorNoDevice || code == cudaErrorInsufficientDriver) {
        cudaGetLastError();
        *count = 0;
        return code == cudaErrorNoDevice ? nullptr : "no CUDA driver, or one older than this library needs";
      }
      return failed(code);
    },
    open_device,
    [](const Device* device) { return device->name.c_str(); },
    [](Device* device) -> Failure { return failed(cudaSetDevice(device->index)); },
    [](const Device* device) { return device->shared_bytes; },
    [](size_t bytes, void** data) -> Failure { return failed(cudaMalloc(data, std::max<size_t>(bytes, 1))); },
    [](void* data) -> Failure { return failed(cudaFree(data)); },
    [](size_t bytes, void** data) -> Failure {
      return failed(cudaMallocHost(data, std::max<size_t>(bytes, 1)));
    },
    [](void* data) -> Failure { return failed(cudaFreeHost(data)); },
    [](void* to, const void* from, size_t bytes, Stream* stream) -> Failure {
      if (bytes == 0) return nullptr;
      return failed(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, native(stream)));
    },
    [](Stream** stream) -> Failure {
      cudaStream_t made = nullptr;
      const Failure failure = failed(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
      *stream = reinterpret_cast<Stream*>(made);
      return failure;
    },
    [](Stream* stream) -> Failure { return failed(cudaStreamDestroy(native(stream))); },
    [](Stream* stream) -> Failure { return failed(cudaStreamSynchronize(native(stream))); },
    []() -> Failure { return failed(cudaDeviceSynchronize()); },
    [](Stream* stream, const void* event) -> Failure {
      return failed(cudaStreamWaitEvent(native(stream), *static_cast<const cudaEvent_t*>(event), 0));
    },
    [](Stream* stream) -> Failure {
      return failed(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeThreadLocal));
    },
    [](Stream* stream, Graph** graph) -> Failure {
      cudaGraph_t recorded = nullptr;
      if (const Failure failure = failed(cudaStreamEndCapture(native(stream), &recorded))) return failure;
      cudaGraphExec_t made = nullptr;
      const Failure failure = failed(cudaGraphInstantiate(&made, recorded, 0));
      cudaGraphDestroy(recorded);
      *graph = reinterpret_cast<Graph*>(made);
      return failure;
    },
    [](Graph* graph, Stream* stream) -> Failure {
      return failed(cudaGraphLaunch(reinterpret_cast<cudaGraphExec_t>(graph), native(stream)));
    },
    [](Graph* graph) -> Failure {
      return failed(cudaGraphExecDestroy(reinterpret_cast<cudaGraphExec_t>(graph)));
    },
};

}  // namespace mlcore::device

const mlcore::device::Library* mlcore_device_library() { return &mlcore::device::kLibrary; }

// How the bodies of this folder run: on a GPU as kernels, one thread for each row, or, where no compiler for
// GPUs reads this, in loops, so that their logic is tested on any machine. A body sees no difference.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/device.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
// What a body may call, and what it is.
#define MLCORE_BODY __host__ __device__
#else
#define MLCORE_BODY
#endif
// Before a loop whose counter must be a constant, because it indexes what shall lie in registers.
#if defined(__CUDA_ARCH__)
#define MLCORE_UNROLL _Pragma("unroll")
#define MLCORE_ROLLED _Pragma("unroll 1")  // and one whose body is long
#else
#define MLCORE_UNROLL
#define MLCORE_ROLLED
#endif

namespace mlcore::device {

// The lowest row that was refused.
MLCORE_BODY inline void refuse(int64_t* fault, int64_t row) {
#if defined(__CUDA_ARCH__)
  atomicMin(reinterpret_cast<long long*>(fault), static_cast<long long>(row));
#else
  if (row < *fault) *fault = row;
#endif
}

inline constexpr int kThreads = 256;  // of a block
// Rows that a thread takes together where a body can (`together`), so that the device's memory is asked for
// all of them before the first one is there.
inline constexpr int kTogether = 4;
template <class Body>
concept TakesRowsTogether = requires(const Body& body) { body.together(int64_t{}, int64_t{}, int64_t{}); };
inline constexpr int kBlocks = 4;  // side by side at least, which leaves 64 registers for a thread

#if defined(__CUDACC__)

inline cudaStream_t native(Stream* stream) { return reinterpret_cast<cudaStream_t>(stream); }
inline Failure failure_of(cudaError_t code) {
  return code == cudaSuccess ? nullptr : cudaGetErrorString(code);
}

template <class Body>
__global__ void __launch_bounds__(kThreads, kBlocks)
    each_kernel(const __grid_constant__ Body body, int64_t rows, int64_t columns) {
  constexpr int64_t kRows =
      TakesRowsTogether<Body> ? kTogether * kThreads : kThreads;  // of a block at a time
  for (int64_t column = blockIdx.y; column < columns; column += gridDim.y)
    for (int64_t row = blockIdx.x * kRows + threadIdx.x; row < rows; row += gridDim.x * kRows)
      if constexpr (TakesRowsTogether<Body>) body.together(row, rows, column);
      else body(row, column);
}

// body(row, column) for all of them, in any order.
template <class Body>
Failure each(const Body& body, int64_t rows, int64_t columns, Stream* stream) {
  if (rows <= 0 || columns <= 0) return nullptr;
  constexpr int64_t kMostBlocks = int64_t{1} << 20, kMostColumns = 65535;
  constexpr int64_t kRows = TakesRowsTogether<Body> ? kTogether * kThreads : kThreads;
  const int64_t blocks = (rows + kRows - 1) / kRows;
  const dim3 grid(static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks),
                  static_cast<unsigned>(columns < kMostColumns ? columns : kMostColumns));
  each_kernel<<<grid, kThreads, 0, native(stream)>>>(body, rows, columns);
  return failure_of(cudaGetLastError());
}

template <class Body>
__global__ void __launch_bounds__(Body::kBlockThreads, Body::kBlocks)
    blocks_kernel(const __grid_constant__ Body body) {
  extern __shared__ __align__(16) unsigned char shared[];
  typename Body::State state;
  const int thread = static_cast<int>(threadIdx.x);
  body.begin(state, blockIdx.x, thread, shared);
  __syncthreads();
  for (int64_t phase = 0; phase < body.phases(); ++phase) {
    body.stage(state, phase, blockIdx.x, thread, shared);
    __syncthreads();
    body.evaluate(state, phase, blockIdx.x, thread, shared);
    __syncthreads();
  }
  body.end(state, blockIdx.x, thread);
}

// Blocks of Body::kBlockThreads threads that share memory, kBlocks of them side by side at least: each
// begins, then stages and evaluates phase by phase, and ends. All wait for one another after each of these,
// so that none reads what another of the same step writes.
template <class Body>
Failure blocks(const Body& body, int64_t count, size_t shared_bytes, Stream* stream) {
  if (count <= 0) return nullptr;
  const cudaError_t code = cudaFuncSetAttribute(
      blocks_kernel<Body>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  if (code != cudaSuccess) return failure_of(code);
  blocks_kernel<<<static_cast<unsigned>(count), Body::kBlockThreads, shared_bytes, native(stream)>>>(body);
  return failure_of(cudaGetLastError());
}

#else

inline std::atomic<int64_t> launches{0};  // that would have been kernels

template <class Body>
Failure each(const Body& body, int64_t rows, int64_t columns, Stream*) {
  if (rows <= 0 || columns <= 0) return nullptr;
  ++launches;
  for (int64_t column = 0; column < columns; ++column)
    if constexpr (TakesRowsTogether<Body>) {
      for (int64_t first = 0; first < rows; first += kTogether * kThreads)
        for (int64_t row = first; row < rows && row < first + kThreads; ++row)
          body.together(row, rows, column);
    } else {
      for (int64_t row = 0; row < rows; ++row) body(row, column);
    }
  return nullptr;
}

template <class Body>
Failure blocks(const Body& body, int64_t count, size_t shared_bytes, Stream*) {
  if (count <= 0) return nullptr;
  ++launches;
  std::vector<uint64_t> memory((shared_bytes + 7) / 8);
  auto* shared = reinterpret_cast<unsigned char*>(memory.data());
  std::vector<typename Body::State> states(Body::kBlockThreads);
  for (int64_t block = 0; block < count; ++block) {
    // every second block backwards: a thread that reads what another one of the same step writes reads
    // something else then
    const auto all = [&](auto f) {
      for (int i = 0; i < Body::kBlockThreads; ++i) {
        const int thread = block % 2 == 0 ? i : Body::kBlockThreads - 1 - i;
        f(states[static_cast<size_t>(thread)], thread);
      }
    };
    // shared memory of a GPU holds what its last user left
    std::fill(memory.begin(), memory.end(), 0xa5a5a5a5a5a5a5a5u);
    all([&](auto& state, int thread) { body.begin(state, block, thread, shared); });
    for (int64_t phase = 0; phase < body.phases(); ++phase) {
      all([&](auto& state, int thread) { body.stage(state, phase, block, thread, shared); });
      all([&](auto& state, int thread) { body.evaluate(state, phase, block, thread, shared); });
    }
    all([&](auto& state, int thread) { body.end(state, block, thread); });
  }
  return nullptr;
}

#endif

}  // namespace mlcore::device

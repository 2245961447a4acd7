// The library of kernels for GPUs, loaded when a device is first asked for.
#pragma once

#include <string>
#include <string_view>

#include "kernels/device.h"

namespace mlcore {

// An open device of a library; both live as long as the process.
struct OpenDevice {
  const device::Library* library;
  device::Device* device;
  int number;
  std::string name;      // "cuda:0"
  std::string hardware;  // "NVIDIA H200"

  // Throws ErrorCode::device, naming the device, when a call of the library failed.
  void check(device::Failure failure) const;
};

// "cuda", "cuda:1". Throws ErrorCode::input when that names none, ErrorCode::device with what is missing: the
// library (libmlcore_cuda.so beside libmlcore.so, or where MLCORE_CUDA_LIBRARY says), a driver, the device.
OpenDevice open_device(std::string_view name);

}  // namespace mlcore

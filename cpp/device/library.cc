#include "device/library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "base/number.h"
#include "base/status.h"

namespace mlcore {
namespace {

constexpr std::string_view kCuda = "cuda";
constexpr const char* kVariable = "MLCORE_CUDA_LIBRARY";
constexpr const char* kFile = "libmlcore_cuda.so";

std::string library_path() {
  if (const char* given = std::getenv(kVariable); given != nullptr && *given != '\0') return given;
  Dl_info here{};
  require(::dladdr(reinterpret_cast<const void*>(&open_device), &here) != 0 && here.dli_fname != nullptr,
          ErrorCode::device, "expected to know where libmlcore.so lies but the system does not say");
  return (std::filesystem::path(here.dli_fname).parent_path() / kFile).string();
}

// Never closed: its steps may live until the process ends.
const device::Library& load_library(std::string_view device) {
  const std::string path = library_path();
  require(std::filesystem::exists(path), ErrorCode::device, "device ", quoted(device), ": expected ", kFile,
          " beside libmlcore.so, or where ", kVariable,
          " says, but found none there; it is built where CMake finds nvcc (MLCORE_CUDA=ON)");
  void* const handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const why = ::dlerror();
    fail(ErrorCode::device, "device ", quoted(device), ": expected to load ", kFile,
         " but found: ", why != nullptr ? why : "no reason");
  }
  const auto entry = reinterpret_cast<device::Entry>(::dlsym(handle, device::kEntryName));
  require(entry != nullptr, ErrorCode::device, "device ", quoted(device), ": expected ", kFile,
          " to be mlcore's but found another library");
  const device::Library& library = *entry();
  require(library.interface == device::kInterface, ErrorCode::device, "device ", quoted(device),
          ": expected ", kFile, " of this version of mlcore but found another");
  return library;
}

}  // namespace

void OpenDevice::check(device::Failure failure) const {
  require(failure == nullptr, ErrorCode::device, name, " (", hardware,
          "): expected the device to go on but found: ", failure != nullptr ? failure : "");
}

OpenDevice open_device(std::string_view name) {
  std::string_view left = name;
  std::optional<int> index;
  if (left.starts_with(kCuda)) {
    left.remove_prefix(kCuda.size());
    if (left.empty()) index = 0;
    else if (left.front() == ':') index = number_in<int>(left.substr(1));
  }
  require(index && *index >= 0, ErrorCode::input, "device: expected 'cuda' or 'cuda:<number>' but found ",
          quoted(name));
  OpenDevice out{&load_library(name), nullptr, *index, "cuda:" + text(*index), "unknown"};
  int count = 0;
  const device::Failure failure = out.library->count(&count);
  require(failure == nullptr, ErrorCode::device, "device ", quoted(name),
          ": expected a GPU but found: ", failure != nullptr ? failure : "");
  require(*index < count, ErrorCode::device, "device ", quoted(name), ": expected one of the ", count,
          " CUDA devices but found number ", *index);
  out.check(out.library->open(*index, &out.device));
  out.hardware = out.library->describe(out.device);
  return out;
}

}  // namespace mlcore

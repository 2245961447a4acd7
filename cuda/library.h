// The table of kernels/device.h, from what each library brings itself: Device, memory, streams and graphs.
#pragma once

#include <new>
#include <string>

#include "columns.h"
#include "gather.h"
#include "scatter.h"
#include "steps.h"

namespace mlcore::device {

// The library's own half.
struct Native {
  const char* name;
  Failure (*count)(int* devices);
  Failure (*open)(int index, Device** device);
  const char* (*describe)(const Device* device);
  Failure (*enter)(Device* device);              // calls that follow are for this device
  size_t (*shared_bytes)(const Device* device);  // that a block may share
  Failure (*allocate)(size_t bytes, void** data);
  Failure (*release)(void* data);
  Failure (*allocate_host)(size_t bytes, void** data);
  Failure (*release_host)(void* data);
  Failure (*copy)(void* to, const void* from, size_t bytes, Stream* stream);
  Failure (*make_stream)(Stream** stream);
  Failure (*free_stream)(Stream* stream);
  Failure (*wait)(Stream* stream);
  Failure (*wait_for_all)();
  Failure (*wait_for_event)(Stream* stream, const void* event);
  Failure (*begin_graph)(Stream* stream);
  Failure (*end_graph)(Stream* stream, Graph** graph);
  Failure (*run_graph)(Graph* graph, Stream* stream);
  Failure (*free_graph)(Graph* graph);
};
extern const Native kNative;

// Nothing that goes wrong leaves the library but as a text.
template <class F>
Failure guarded(Device* device, const F& f) noexcept {
  thread_local std::string text;
  try {
    if (device != nullptr)
      if (const Failure failure = kNative.enter(device)) return failure;
    return f();
  } catch (const std::exception& error) {
    text = error.what();
    return text.c_str();
  }
}

inline const Library kLibrary{
    kInterface,
    kNative.name,
    [](int* devices) { return guarded(nullptr, [&] { return kNative.count(devices); }); },
    [](int index, Device** device) { return guarded(nullptr, [&] { return kNative.open(index, device); }); },
    [](const Device* device) { return kNative.describe(device); },
    [](Device* device, size_t bytes, void** data) {
      return guarded(device, [&] { return kNative.allocate(bytes, data); });
    },
    [](Device* device, void* data) { return guarded(device, [&] { return kNative.release(data); }); },
    [](Device* device, size_t bytes, void** data) {
      return guarded(device, [&] { return kNative.allocate_host(bytes, data); });
    },
    [](Device* device, void* data) { return guarded(device, [&] { return kNative.release_host(data); }); },
    [](Device* device, void* to, const void* from, size_t bytes, Stream* stream) {
      return guarded(device, [&] { return kNative.copy(to, from, bytes, stream); });
    },
    [](Device* device, const Gathered* columns, int64_t count, const GatherRows* rows, Stream* stream) {
      return guarded(device, [&] { return gather(columns, count, *rows, stream); });
    },
    [](Device* device, void* to, DType type, int64_t stride, const Entries* from, int64_t rows, int64_t width,
       Stream* stream) {
      return guarded(device, [&] { return translate(to, type, stride, *from, rows, width, stream); });
    },
    [](Device* device, const int64_t* offsets, const char* text, int64_t keys, TextMap** map) {
      return guarded(device, [&]() -> Failure {
        *map = build_text_map(*device, offsets, text, keys).release();
        return nullptr;
      });
    },
    [](Device* device, TextMap* map) {
      return guarded(device, [&]() -> Failure {
        delete map;
        return nullptr;
      });
    },
    [](Device* device, void* to, const void* from, DType type, int64_t stride, int64_t rows, int64_t width,
       Stream* stream) {
      return guarded(device, [&] { return scatter(to, from, type, stride, rows, width, stream); });
    },
    [](Device* device, Stream** stream) {
      return guarded(device, [&] { return kNative.make_stream(stream); });
    },
    [](Device* device, Stream* stream) {
      return guarded(device, [&] { return kNative.free_stream(stream); });
    },
    [](Device* device, Stream* stream) { return guarded(device, [&] { return kNative.wait(stream); }); },
    [](Device* device) { return guarded(device, [&] { return kNative.wait_for_all(); }); },
    [](Device* device, Stream* stream, const void* event) {
      return guarded(device, [&] { return kNative.wait_for_event(stream, event); });
    },
    [](Device* device, const StepSpec* spec, Step** step, size_t* scratch_bytes) {
      return guarded(device, [&]() -> Failure {
        auto built = build_step(*device, *spec, kNative.shared_bytes(device));
        *scratch_bytes = built->scratch_bytes;
        *step = built.release();
        return nullptr;
      });
    },
    [](Device* device, Step* step) {
      return guarded(device, [&]() -> Failure {
        delete step;
        return nullptr;
      });
    },
    [](const Step* step) { return step->description.c_str(); },
    [](Device* device, const Step* step, const LaunchArgs* args, Stream* stream) {
      return guarded(device, [&] { return step->launch(*args, stream); });
    },
    [](Device* device, Stream* stream) {
      return guarded(device, [&] { return kNative.begin_graph(stream); });
    },
    [](Device* device, Stream* stream, Graph** graph) {
      return guarded(device, [&] { return kNative.end_graph(stream, graph); });
    },
    [](Device* device, Graph* graph, Stream* stream) {
      return guarded(device, [&] { return kNative.run_graph(graph, stream); });
    },
    [](Device* device, Graph* graph) { return guarded(device, [&] { return kNative.free_graph(graph); }); },
};

}  // namespace mlcore::device

extern "C" [[gnu::visibility("default")]] const mlcore::device::Library* mlcore_device_library();

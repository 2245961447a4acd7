// The Arrow C Data, C Stream and C Device interfaces, as the Arrow specification prints them. Layout is ABI;
// names are Arrow's.
#pragma once

#include <cstdint>

extern "C" {

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  int64_t flags;
  int64_t n_children;
  ArrowSchema** children;
  ArrowSchema* dictionary;
  void (*release)(ArrowSchema*);  // null: released or moved from
  void* private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;  // -1: not counted
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

#endif

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
  int (*get_schema)(ArrowArrayStream*, ArrowSchema* out);  // 0, or an errno
  int (*get_next)(ArrowArrayStream*, ArrowArray* out);     // end of stream: out->release is null
  const char* (*get_last_error)(ArrowArrayStream*);        // borrowed, may be null
  void (*release)(ArrowArrayStream*);
  void* private_data;
};

#endif

#ifndef ARROW_C_DEVICE_DATA_INTERFACE
#define ARROW_C_DEVICE_DATA_INTERFACE

struct ArrowDeviceArray {
  ArrowArray array;  // its buffers, and its children's, lie on the device
  int64_t device_id;
  int32_t device_type;
  void* sync_event;  // of CUDA: a cudaEvent_t*; null: the data are there
  int64_t reserved[3];
};

#endif

#ifndef ARROW_C_DEVICE_STREAM_INTERFACE
#define ARROW_C_DEVICE_STREAM_INTERFACE

struct ArrowDeviceArrayStream {
  int32_t device_type;
  int (*get_schema)(ArrowDeviceArrayStream*, ArrowSchema* out);
  int (*get_next)(ArrowDeviceArrayStream*, ArrowDeviceArray* out);  // end: out->array.release is null
  const char* (*get_last_error)(ArrowDeviceArrayStream*);
  void (*release)(ArrowDeviceArrayStream*);
  void* private_data;
};

#endif

}  // extern "C"

namespace mlcore {

constexpr int64_t kArrowNullable = 2;  // bit of ArrowSchema::flags
constexpr int32_t kArrowCpu = 1, kArrowCuda = 2;

}  // namespace mlcore

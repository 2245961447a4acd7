// What a library of kernels for another device is asked for, and how it answers: plain data and function
// pointers, so that nothing of that device's own headers is seen here (docs/design/0009-devices.md).
//
// The core says what a step means (StepSpec, borrowed while it is built); the library keeps its own copy of
// the constants in the device's memory. A block of numbers is column-major there too, its columns `stride`
// rows apart. Whatever takes a Stream happens in its order and returns at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/types.h"
#include "kernels/device_functions.h"
#include "kernels/elements_inl.h"
#include "kernels/forest.h"

namespace mlcore::device {

inline constexpr uint32_t kInterface = 4;  // of this header; core and library must agree
inline constexpr size_t kMaxInputs = 48;   // blocks that a step reads

// A constant of a step.
struct Array {
  const void* data = nullptr;
  int64_t count = 0;
  DType type = DType::f64;

  size_t bytes() const { return static_cast<size_t>(count) * size_of(type); }
};

enum class StepKind : uint8_t {
  elements,   // chain: functions of one number, one after the other, column by column
  combine,    // `function`: Combination
  select,     // arrays: i64 indices
  broadcast,  // arrays: values of `out`
  one_hot,
  table,   // arrays: values [out_width][rows, default], column by column; integer: rows; flag: default
  encode,  // of numbers; arrays: u64 keys ascending, i32 codes; integer: code of the unknown; missing: of NaN
  argmax,
  complement,
  vote,           // arrays: f64 weights; integer: classes
  softmax,        // `function`: Softmax
  poly,           // arrays: i64 factors, i64 products as [prefix, begin, end]
  normalize,      // `function`: Norm
  row_normalize,  // `function`: ZeroRows; flag: pairwise
  weighted_sum,   // arrays: weights of `out`; flag: divides by number
  dot,    // arrays: weights [out_width][features], i64 pieces, bias; `function`: DotOrder; flag: skip NaN
  trees,  // forest
};

// A run of features of a dot: columns of an input, or the codes of one that stand for one-hot columns.
struct DotPiece {
  int64_t input, column, count, feature;
  int64_t codes;  // 0 or 1
};

struct StepSpec {
  StepKind kind = StepKind::elements;
  DType in = DType::f64, out = DType::f64;
  int64_t in_width = 0, out_width = 0;
  uint8_t function = 0;
  bool flag = false;
  int64_t integer = 0, missing = 0;
  double number = 0;
  std::span<const Array> arrays;
  std::span<const Element> chain;  // its pointers: host memory of `sizes` elements
  const ForestSpec* forest = nullptr;
};

// A code that says: refuse such a row.
inline constexpr int64_t kRefuse = -3;

struct Block {
  void* data = nullptr;
  int64_t width = 0;
};

struct Device;  // an open device
struct Step;    // of a device
struct Stream;  // cudaStream_t of the CUDA library; null: the device's default
struct Graph;   // launches that were recorded

struct LaunchArgs {
  Block inputs[kMaxInputs];
  Block output;
  int64_t rows = 0, stride = 0;
  int64_t first_row = 0;     // of the table, for the fault
  int64_t* fault = nullptr;  // device memory: the lowest row that a step refuses
  void* scratch = nullptr;   // device memory, as much as `build` said
};

// Which rows are there: row r is where bit first + r is set, the least significant bit of a byte first.
struct Bitmap {
  const uint8_t* bits = nullptr;  // null: all are
  int64_t first = 0;
};

// Columns of numbers of any kind: element (row, column) lies at row * row_stride + column * column_stride.
// A row that is missing becomes a NaN. A row is refused where it is missing or a NaN and must not be, or no
// NaN can say so, and where the block's type or `expected` does not hold its value.
struct Strided {
  const void* data = nullptr;
  Kind kind = Kind::float64;
  int64_t row_stride = 1, column_stride = 1;  // in elements
  int64_t first_bit = -1;                     // not negative: `data` are bits, and this one is row 0's
  Bitmap there;
  bool nullable = true;
  Kind expected = Kind::timestamp;  // of the schema; other than a number: holds whatever is found
};

// Whether a column of that kind is read as numbers.
constexpr bool is_number(Kind kind) { return kind != Kind::string && kind <= Kind::timestamp; }

// `width` of these columns, and where they go: a block of `type`.
struct Gathered {
  Strided from;
  void* to = nullptr;
  DType type = DType::f64;
  int64_t width = 1;
};

// The rows of a gather.
struct GatherRows {
  int64_t count = 0, stride = 0;  // stride: of the blocks
  int64_t first = 0;              // of the table, for the fault
  int64_t* fault = nullptr;
};

struct TextMap;  // of a device: from text to its number among some keys

// Strings as Arrow has them: row r is bytes[offsets[first + r], offsets[first + r + 1]), inside what the
// offsets of elements [begin, end) of the whole column span; else the row is refused.
struct Text {
  const void* offsets = nullptr;
  bool wide = false;  // offsets of 8 bytes, else of 4
  const char* bytes = nullptr;
  int64_t first = 0, begin = 0, end = 0;
};

// Rows that stand for entries of a table, which has a last one for those that are missing: by an index, or by
// the text that a map finds (its keys' numbers, then one for all other text, which must be UTF-8).
struct Entries {
  const void* indices = nullptr;
  Kind kind = Kind::int32;
  int64_t stride = 1;            // in elements
  const TextMap* map = nullptr;  // null: by index
  Text text;
  Bitmap there;
  int64_t count = 0;                 // without the last; an index beyond is refused
  const void* values = nullptr;      // per entry, of all columns side by side
  const uint8_t* refused = nullptr;  // per entry; not 0: a row that has it is refused
  int64_t first_row = 0;
  int64_t* fault = nullptr;
};

// Every function returns null, or why it failed; the text lives until this thread's next call.
using Failure = const char*;

struct Library {
  uint32_t interface = kInterface;
  const char* name;  // "CUDA 13.0", "CUDA kernels on the CPU, for tests"

  Failure (*count)(int* devices);
  Failure (*open)(int index, Device** device);
  const char* (*describe)(const Device* device);  // "NVIDIA H200"

  Failure (*allocate)(Device* device, size_t bytes, void** data);
  Failure (*release)(Device* device, void* data);
  Failure (*allocate_host)(Device* device, size_t bytes, void** data);  // that copies fast
  Failure (*release_host)(Device* device, void* data);
  // Device or host memory on either side.
  Failure (*copy)(Device* device, void* to, const void* from, size_t bytes, Stream* stream);
  // Any number of columns, in few launches.
  Failure (*gather)(Device* device, const Gathered* columns, int64_t count, const GatherRows* rows,
                    Stream* stream);
  // As a block of `type`, whose columns are `stride` apart, from the entries' values.
  Failure (*translate)(Device* device, void* to, DType type, int64_t stride, const Entries* from,
                       int64_t rows, int64_t width, Stream* stream);
  // Key i is text[offsets[i], offsets[i + 1]), in the host's memory; no key comes twice.
  Failure (*build_text_map)(Device* device, const int64_t* offsets, const char* text, int64_t keys,
                            TextMap** map);
  Failure (*free_text_map)(Device* device, TextMap* map);
  // A block as rows, one after the other.
  Failure (*scatter)(Device* device, void* to, const void* from, DType type, int64_t stride, int64_t rows,
                     int64_t width, Stream* stream);
  Failure (*make_stream)(Device* device, Stream** stream);
  Failure (*free_stream)(Device* device, Stream* stream);
  Failure (*wait)(Device* device, Stream* stream);
  Failure (*wait_for_all)(Device* device);  // for whatever anybody has given the device
  // What comes next in the stream waits for an event: what the `sync_event` of an Arrow device array points
  // to.
  Failure (*wait_for_event)(Device* device, Stream* stream, const void* event);

  // `scratch_bytes`: that a launch needs, whatever its rows.
  Failure (*build)(Device* device, const StepSpec* spec, Step** step, size_t* scratch_bytes);
  Failure (*free_step)(Device* device, Step* step);
  // How it runs, where there is a choice: "few, from 1024 rows on sliced"; else empty. Lives as long as the
  // step.
  const char* (*describe_step)(const Step* step);
  Failure (*launch)(Device* device, const Step* step, const LaunchArgs* args, Stream* stream);

  // What is launched between these is recorded, not run; a library that can not gives a null graph.
  Failure (*begin_graph)(Device* device, Stream* stream);
  Failure (*end_graph)(Device* device, Stream* stream, Graph** graph);
  Failure (*run_graph)(Device* device, Graph* graph, Stream* stream);
  Failure (*free_graph)(Device* device, Graph* graph);
};

// The one symbol that a library shows: kEntryName.
using Entry = const Library* (*)();
inline constexpr const char* kEntryName = "mlcore_device_library";

}  // namespace mlcore::device

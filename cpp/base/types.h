// Types of values inside a program, and of the columns a model reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mlcore {

// Element type of a block (a value inside the graph) or of a constant slab.
// Blocks are f64, f32, i64, i32 (codes) or str; u8 and u32 occur in constants only.
enum class DType : uint8_t { f64, f32, i64, i32, u32, u8, str };

// One string of a str block: borrowed UTF-8. A missing string has a null `data`, and then `size`
// says which missing it is (columns that learned None and NaN as different categories need to know).
struct StringRef {
  const char* data;
  int64_t size;
};
enum MissingKind : int64_t { kNull = 0, kNone = 1, kNaN = 2 };

// Bytes per element; StringRef for str.
inline size_t size_of(DType type) {
  switch (type) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32:
    case DType::u32: return 4;
    case DType::u8: return 1;
    case DType::str: return sizeof(StringRef);
  }
  return 0;
}
std::string_view name_of(DType type);
std::optional<DType> dtype_named(std::string_view name);

enum class Kind : uint8_t {
  boolean,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float16,
  float32,
  float64,
  string,
  date32,
  date64,
  timestamp,
};
// Bytes of a number, date or time where each has bytes of its own; of text, which varies, 0.
constexpr int64_t bytes_of(Kind kind) {
  switch (kind) {
    case Kind::boolean:
    case Kind::int8:
    case Kind::uint8: return 1;
    case Kind::int16:
    case Kind::uint16:
    case Kind::float16: return 2;
    case Kind::int32:
    case Kind::uint32:
    case Kind::float32:
    case Kind::date32: return 4;
    case Kind::string: return 0;
    default: return 8;
  }
}

enum class TimeUnit : uint8_t { second, milli, micro, nano };

// Logical type of an input column, as the schema of an artifact states it.
struct LogicalType {
  Kind kind = Kind::float64;
  TimeUnit unit = TimeUnit::nano;  // timestamp only
  std::string timezone;            // timestamp only; empty: no zone

  bool operator==(const LogicalType&) const = default;
};

// "float64", "string", "timestamp[us]", "timestamp[us, Europe/Paris]".
std::string name_of(const LogicalType& type);
std::optional<LogicalType> logical_type_named(std::string_view name);

}  // namespace mlcore

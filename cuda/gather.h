// From columns of numbers as others have them to blocks: many columns in one launch, and rows of a matrix by
// way of shared memory.
#pragma once

#include <limits>
#include <type_traits>
#include <utility>

#include "bodies.h"
#include "columns.h"
#include "kernels/exact_inl.h"

namespace mlcore::device {

// Where numbers lie as others than themselves.
struct Bit {};
struct Flag {
  uint8_t byte;
};
struct Half {
  uint16_t bits;
};

template <class S>
MLCORE_BODY S number_at(const S* data, int64_t, int64_t at) {
  return data[at];
}
MLCORE_BODY inline uint8_t number_at(const Bit* data, int64_t first_bit, int64_t at) {
  return bit_at(reinterpret_cast<const uint8_t*>(data), first_bit + at) ? 1 : 0;
}
MLCORE_BODY inline uint8_t number_at(const Flag* data, int64_t, int64_t at) {
  return data[at].byte != 0 ? 1 : 0;
}
MLCORE_BODY inline float number_at(const Half* data, int64_t, int64_t at) {
  return half_to_float(data[at].bits);
}

// Whether a column of `expected` may hold the number, and a block of T has it.
template <class T, class S>
MLCORE_BODY bool holds(Kind expected, S x) {
  if constexpr (std::is_floating_point_v<S>) {
    if constexpr (std::is_same_v<T, int64_t>)
      return x >= S{-9223372036854775808.0} && x < S{9223372036854775808.0};
  } else {
    const bool to_float = expected >= Kind::float16 && expected <= Kind::float64;
    if (to_float && std::numeric_limits<S>::digits > significand_bits(expected) &&
        !exact_in_float(x, expected))
      return false;
    if constexpr (std::is_same_v<S, uint64_t>) {
      constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
      if ((expected == Kind::int64 || std::is_same_v<T, int64_t>) && x > kMost) return false;
    }
  }
  return true;
}

// A column, or the first of several that lie alike.
struct GatherColumn {
  const void* from;
  void* to;
  int64_t row_stride, first_bit;
  Bitmap there;
  Kind kind, expected;
  bool nullable;
};

// The number as a block of T has it; false: its row is refused.
template <class T, class S>
MLCORE_BODY bool take(const GatherColumn& column, bool there, S x, T& out) {
  constexpr bool kHasNaN = std::is_floating_point_v<T>;
  if (!there) {
    if (!column.nullable || !kHasNaN) return false;
    if constexpr (kHasNaN) out = std::numeric_limits<T>::quiet_NaN();
    return true;
  }
  if ((!column.nullable && x != x) || !holds<T>(column.expected, x)) return false;
  out = static_cast<T>(x);
  return true;
}

// Calls `f` with a pointer to the column's numbers. All threads of a block come here with the same column.
template <class F>
MLCORE_BODY void with_numbers(const GatherColumn& column, const F& f) {
  const void* const from = column.from;
  if (column.first_bit >= 0) return f(static_cast<const Bit*>(from));
  switch (column.kind) {
    case Kind::boolean: return f(static_cast<const Flag*>(from));
    case Kind::int8: return f(static_cast<const int8_t*>(from));
    case Kind::int16: return f(static_cast<const int16_t*>(from));
    case Kind::int32:
    case Kind::date32: return f(static_cast<const int32_t*>(from));
    case Kind::int64:
    case Kind::date64:
    case Kind::timestamp: return f(static_cast<const int64_t*>(from));
    case Kind::uint8: return f(static_cast<const uint8_t*>(from));
    case Kind::uint16: return f(static_cast<const uint16_t*>(from));
    case Kind::uint32: return f(static_cast<const uint32_t*>(from));
    case Kind::uint64: return f(static_cast<const uint64_t*>(from));
    case Kind::float16: return f(static_cast<const Half*>(from));
    case Kind::float32: return f(static_cast<const float*>(from));
    case Kind::float64: return f(static_cast<const double*>(from));
    case Kind::string: return;  // `gather` lets none pass
  }
}

template <class T>
struct Gather {
  static constexpr int kMost = 64;  // they travel as arguments of the kernel
  GatherColumn columns[kMost];
  bool alike;  // all columns are as the first, which lies `column_stride` before the second
  int64_t column_stride, stride, first_row;
  int64_t* fault;

  // Rows `row`, `row` + kThreads ...
  MLCORE_BODY void together(int64_t row, int64_t rows, int64_t column) const {
    const GatherColumn& from = columns[alike ? 0 : column];
    const int64_t first = alike ? column * column_stride : 0;
    T* const to = static_cast<T*>(from.to) + (alike ? column * stride : 0);
    with_numbers(from, [&](const auto* numbers) {
      decltype(number_at(numbers, 0, 0)) x[kTogether] = {};
      bool there[kTogether] = {};
      MLCORE_UNROLL for (int k = 0; k < kTogether; ++k) there[k] =
          row + k * kThreads < rows && is_there(from.there, row + k * kThreads);
      MLCORE_UNROLL for (int k = 0; k < kTogether; ++k) if (there[k]) x[k] =
          number_at(numbers, from.first_bit, (row + k * kThreads) * from.row_stride + first);
      MLCORE_UNROLL for (int k = 0; k < kTogether; ++k) {
        const int64_t at = row + k * kThreads;
        T value{};
        if (at < rows) {
          if (take(from, there[k], x[k], value)) to[at] = value;
          else refuse(fault, first_row + at);
        }
      }
    });
  }
};

// Columns side by side in rows: threads side by side read numbers of a row and write rows of a column, so
// that both memories see whole lines.
template <class T>
struct GatherTiles {
  static constexpr int kBlockThreads = 256, kBlocks = 4;
  static constexpr int kTileRows = 128, kTileColumns = 32;
  static constexpr int kStep = kBlockThreads / kTileColumns;  // rows between those that a thread reads
  static constexpr int kAtOnce = 8;                // numbers that it asks for before the first is there
  static constexpr int kPitch = kTileColumns + 1;  // so that a column's numbers lie in different banks
  static constexpr size_t kSharedBytes = sizeof(T) * kTileRows * kPitch;

  GatherColumn first;
  int64_t rows, width, stride, first_row;
  int64_t* fault;

  struct State {};

  MLCORE_BODY int64_t across() const { return (width + kTileColumns - 1) / kTileColumns; }
  MLCORE_BODY int64_t blocks() const { return (rows + kTileRows - 1) / kTileRows * across(); }
  MLCORE_BODY int64_t phases() const { return 1; }
  MLCORE_BODY void begin(State&, int64_t, int, unsigned char*) const {}
  MLCORE_BODY void end(State&, int64_t, int) const {}

  MLCORE_BODY void stage(State&, int64_t, int64_t block, int thread, unsigned char* shared) const {
    const int across_tile = thread % kTileColumns, down_tile = thread / kTileColumns;
    const int64_t column = block % across() * kTileColumns + across_tile;
    const int64_t top = block / across() * kTileRows + down_tile;
    T* const tile = reinterpret_cast<T*>(shared) + down_tile * kPitch + across_tile;
    if (column >= width) return;
    with_numbers(first, [&](const auto* numbers) {
      MLCORE_ROLLED for (int from = 0; from < kTileRows / kStep; from += kAtOnce) {
        decltype(number_at(numbers, 0, 0)) x[kAtOnce] = {};
        MLCORE_UNROLL for (int k = 0; k < kAtOnce; ++k) {
          const int64_t row = top + (from + k) * kStep;
          if (row < rows) x[k] = number_at(numbers, first.first_bit, row * first.row_stride + column);
        }
        MLCORE_UNROLL for (int k = 0; k < kAtOnce; ++k) {
          const int64_t row = top + (from + k) * kStep;
          T value{};
          if (row < rows && !take(first, true, x[k], value)) refuse(fault, first_row + row);
          tile[(from + k) * kStep * kPitch] = value;
        }
      }
    });
  }

  MLCORE_BODY void evaluate(State&, int64_t, int64_t block, int thread, unsigned char* shared) const {
    const int64_t left = block % across() * kTileColumns, top = block / across() * kTileRows;
    T* const to = static_cast<T*>(first.to);
    for (int i = thread; i < kTileRows * kTileColumns; i += kBlockThreads) {
      const int64_t row = top + i % kTileRows, column = left + i / kTileRows;
      if (row < rows && column < width)
        to[column * stride + row] =
            reinterpret_cast<const T*>(shared)[i % kTileRows * kPitch + i / kTileRows];
    }
  }
};

// From so many columns on, those that lie alike have a launch of their own, and rows of them go by tiles.
inline constexpr int64_t kColumnsAlike = 8;

// Columns that lie alike, `column_stride` elements apart, and become neighbours in the block.
class GatherRun {
 public:
  explicit GatherRun(const Gathered& columns)
      : first(columns), width(columns.width), column_stride(columns.from.column_stride) {}

  // Takes one more where it goes on as the others do.
  bool extend(const Gathered& next, int64_t stride) {
    const Strided &a = first.from, &b = next.from;
    if (next.width != 1 || a.first_bit >= 0 || b.first_bit >= 0 || a.there.bits || b.there.bits) return false;
    if (a.kind != b.kind || a.row_stride != b.row_stride || a.nullable != b.nullable ||
        a.expected != b.expected)
      return false;
    const int64_t size = bytes_of(a.kind);
    if (next.to !=
        static_cast<std::byte*>(first.to) + width * stride * static_cast<int64_t>(size_of(first.type)))
      return false;
    const auto apart =
        static_cast<int64_t>(reinterpret_cast<uintptr_t>(b.data) - reinterpret_cast<uintptr_t>(a.data));
    if (apart % size != 0 || (width > 1 && apart != width * column_stride * size)) return false;
    if (width == 1) column_stride = apart / size;
    ++width;
    return true;
  }

  GatherColumn column(int64_t index, int64_t stride) const {
    const Strided& from = first.from;
    return {static_cast<const std::byte*>(from.data) + index * column_stride * bytes_of(from.kind),
            static_cast<std::byte*>(first.to) + index * stride * static_cast<int64_t>(size_of(first.type)),
            from.row_stride,
            from.first_bit,
            from.there,
            from.kind,
            from.expected,
            from.nullable};
  }

  Gathered first;
  int64_t width, column_stride;
};

// Those of `columns` that become a block of T.
template <class T>
Failure gather_as(DType type, const Gathered* columns, int64_t count, const GatherRows& rows,
                  Stream* stream) {
  Gather<T> some{};
  some.stride = rows.stride;
  some.first_row = rows.first;
  some.fault = rows.fault;
  int64_t taken = 0;
  const auto launch = [&]() -> Failure { return each(some, rows.count, std::exchange(taken, 0), stream); };
  for (int64_t i = 0; i < count;) {
    if (columns[i].type != type) {
      ++i;
      continue;
    }
    GatherRun run(columns[i++]);
    while (i < count && columns[i].type == type && run.extend(columns[i], rows.stride)) ++i;
    if (run.width < kColumnsAlike) {
      for (int64_t k = 0; k < run.width; ++k) {
        if (taken == Gather<T>::kMost)
          if (const Failure failure = launch()) return failure;
        some.columns[taken++] = run.column(k, rows.stride);
      }
      continue;
    }
    using Tiles = GatherTiles<T>;
    const GatherColumn first = run.column(0, rows.stride);
    Failure failure = nullptr;
    if (run.column_stride == 1 && first.row_stride > 1 && first.there.bits == nullptr &&
        first.first_bit < 0 && rows.count >= Tiles::kTileRows) {
      const Tiles tiles{first, rows.count, run.width, rows.stride, rows.first, rows.fault};
      failure = blocks(tiles, tiles.blocks(), Tiles::kSharedBytes, stream);
    } else {
      Gather<T> alike{};
      alike.columns[0] = first;
      alike.alike = true;
      alike.column_stride = run.column_stride;
      alike.stride = rows.stride;
      alike.first_row = rows.first;
      alike.fault = rows.fault;
      failure = each(alike, rows.count, run.width, stream);
    }
    if (failure != nullptr) return failure;
  }
  return taken > 0 ? launch() : nullptr;
}

inline Failure gather(const Gathered* columns, int64_t count, const GatherRows& rows, Stream* stream) {
  for (int64_t i = 0; i < count; ++i)
    if (columns[i].from.first_bit < 0 && !is_number(columns[i].from.kind)) return "expected numbers";
  for (DType type : {DType::f64, DType::f32, DType::i64, DType::i32}) {
    const Failure failure = with_type(
        type, [&](auto zero) { return gather_as<decltype(zero)>(type, columns, count, rows, stream); });
    if (failure != nullptr) return failure;
  }
  return nullptr;
}

}  // namespace mlcore::device

// From blocks, which are column by column, to rows one after the other.
#pragma once

#include "bodies.h"

namespace mlcore::device {

template <class T>
struct Scatter {
  Columns<const T> in;
  int64_t width;
  T* to;

  MLCORE_BODY void operator()(int64_t row, int64_t column) const {
    to[row * width + column] = in.at(row, column);
  }
};

// The same for many columns, by way of shared memory: threads side by side read rows of a column and write
// columns of a row, so that memory is asked for whole lines both times.
template <class T>
struct ScatterTiles {
  static constexpr int kBlockThreads = 256, kBlocks = 4;
  static constexpr int kTileRows = 128, kTileColumns = 32;
  static constexpr int kStep = kBlockThreads / kTileRows;  // columns between those that a thread reads
  static constexpr int kOfThread = kTileColumns / kStep;
  static constexpr int kPitch = kTileColumns + 1;  // so that a column's numbers lie in different banks
  static constexpr size_t kSharedBytes = sizeof(T) * kTileRows * kPitch;

  Columns<const T> in;
  int64_t rows, width;
  T* to;

  struct State {};

  MLCORE_BODY int64_t phases() const { return (width + kTileColumns - 1) / kTileColumns; }
  MLCORE_BODY void begin(State&, int64_t, int, unsigned char*) const {}
  MLCORE_BODY void end(State&, int64_t, int) const {}

  MLCORE_BODY void stage(State&, int64_t phase, int64_t block, int thread, unsigned char* shared) const {
    const int in_tile = thread % kTileRows, first = thread / kTileRows;
    const int64_t row = block * kTileRows + in_tile, column = phase * kTileColumns + first;
    const T* from = &in.at(row, column);
    T numbers[kOfThread];
    MLCORE_UNROLL for (int k = 0; k < kOfThread; ++k) {
      numbers[k] = row < rows && column + k * kStep < width ? *from : T{};
      from += kStep * in.stride;
    }
    T* tile = reinterpret_cast<T*>(shared) + in_tile * kPitch + first;
    MLCORE_UNROLL for (int k = 0; k < kOfThread; ++k) tile[k * kStep] = numbers[k];
  }

  MLCORE_BODY void evaluate(State&, int64_t phase, int64_t block, int thread, unsigned char* shared) const {
    for (int i = thread; i < kTileRows * kTileColumns; i += kBlockThreads) {
      const int64_t row = block * kTileRows + i / kTileColumns;
      const int64_t column = phase * kTileColumns + i % kTileColumns;
      if (row < rows && column < width)
        to[row * width + column] =
            reinterpret_cast<const T*>(shared)[i / kTileColumns * kPitch + i % kTileColumns];
    }
  }
};

inline constexpr int64_t kTiledColumns = 8;  // from which on tiles are worth it

inline Failure scatter(void* to, const void* from, DType type, int64_t stride, int64_t rows, int64_t width,
                       Stream* stream) {
  const auto run = [&](auto zero) -> Failure {
    using T = decltype(zero);
    const Columns<const T> in{static_cast<const T*>(from), stride};
    if (width < kTiledColumns) return each(Scatter<T>{in, width, static_cast<T*>(to)}, rows, width, stream);
    using Tiles = ScatterTiles<T>;
    return blocks(Tiles{in, rows, width, static_cast<T*>(to)},
                  (rows + Tiles::kTileRows - 1) / Tiles::kTileRows, Tiles::kSharedBytes, stream);
  };
  return size_of(type) == 8 ? run(uint64_t{}) : run(uint32_t{});
}

}  // namespace mlcore::device

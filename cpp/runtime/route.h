// Route: how a plan computes one set of outputs: the steps that they need, in order, and where the values
// lie.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ir/program.h"
#include "ops/op.h"

namespace mlcore {

struct Route {
  static constexpr int64_t kMaxChunkRows = 512;  // unless a step wants more

  // Where a block lies in the arena: regions are laid out for a chunk's capacity, columns inside a region for
  // the rows that a chunk has.
  struct Place {
    size_t region_bytes = 0;  // per row before the region
    size_t column_bytes = 0;  // per row before the value inside the region
    int64_t width = 0;

    std::byte* in(std::byte* arena, int64_t capacity, int64_t rows) const {
      return arena + region_bytes * static_cast<size_t>(capacity) + column_bytes * static_cast<size_t>(rows);
    }
  };
  struct Visit {
    size_t node;
    const Step* step;  // null: columns are read, or the value is in place
    Place output;
    DType dtype;
    uint32_t first_input, inputs;    // in `inputs`
    uint32_t first_column, columns;  // in `columns`
    uint32_t first_shown, shown;     // in `shown`
  };

  // `steps`: per node. `columns`: per node, the schema column that it reads, else -1.
  Route(const Program& program, std::span<const std::unique_ptr<Step>> steps,
        std::span<const int32_t> column_of, std::span<const int32_t> outputs);

  // Bytes of the arena for chunks of at most `capacity` rows.
  size_t bytes(int64_t capacity) const;
  size_t input_views(int64_t capacity) const;  // where the views of a step's inputs lie in it
  size_t scratch(int64_t capacity) const;      // and a step's scratch memory

  std::vector<int32_t> outputs;
  std::vector<Visit> visits;
  std::vector<Place> inputs;     // of the visits
  std::vector<int32_t> columns;  // that lie side by side and are read together
  std::vector<int32_t> shown;    // outputs that are copied out
  size_t bytes_per_row = 0;
  size_t most_inputs = 0;
  int64_t chunk_rows = 1;
  // Nanoseconds that a row took when it was last measured, 0 before. Decides how many threads a run gets,
  // never what it computes.
  mutable std::atomic<float> row_time{0};

 private:
  size_t scratch_bytes(int64_t capacity) const;

  size_t row_scratch_ = 0, chunk_scratch_ = 0;  // bytes for one row, and for chunk_rows
};

}  // namespace mlcore

// Plan: a program lowered for this machine. The only way anything is computed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ir/program.h"
#include "kernels/block_loops.h"
#include "ops/op.h"

namespace mlcore {

struct Translation;

// A `column` node that only encodes of strings read, and one of those.
struct EncodedColumn {
  int32_t column_node;
  int32_t encode_node;
  const TextEncoder* encoder;
};

// Where a plan reads its input columns from.
class Source {
 public:
  virtual ~Source() = default;
  // Rows [first, first + n) of a schema column as `dtype` into `out`, which holds n elements.
  virtual void read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const = 0;
  // The same for several columns, whose elements lie side by side in `out`.
  virtual void read_columns(std::span<const int32_t> columns, int64_t first, int64_t n, DType dtype,
                            std::byte* out) const;
  // For a node of Plan::encoded_columns: how its rows are read without their text; null: they are not.
  virtual const Translation* translation(size_t node) const {
    (void)node;
    return nullptr;
  }
};

// The caller's memory for one run at a time; grows on first use and is reused afterwards.
class Workspace {
 public:
  Workspace() = default;
  Workspace(Workspace&&) = default;
  Workspace& operator=(Workspace&&) = default;

 private:
  friend class Plan;
  std::byte* reserve(size_t bytes);

  std::vector<std::byte> arena_;
  std::vector<uint8_t> wanted_;  // per node: compute it
  struct Visit {
    size_t node;
    size_t columns;  // to read from this node on; 0 for a step
    const Translation* translation;
  };
  std::vector<Visit> visits_;        // what to do for each chunk
  std::vector<void*> destinations_;  // per output, null when not asked for
};

class Plan {
 public:
  // `program` must be validated and must outlive the plan.
  explicit Plan(const Program& program);

  // Computes `outputs` (indices into program.outputs) for rows [0, rows) of `source`. destinations[i]
  // receives output i as a row-major [rows, width] array of the block's dtype. Throws ErrorCode::input.
  void run(const Source& source, int64_t rows, std::span<const int32_t> outputs,
           std::span<void* const> destinations, Workspace& workspace) const;

  // Schema columns that some node reads; the others may be absent from a table.
  const std::vector<bool>& used_columns() const { return used_columns_; }
  int64_t chunk_rows() const { return chunk_rows_; }
  const BlockLoops& loops() const { return loops_; }
  std::span<const EncodedColumn> encoded_columns() const { return encoded_columns_; }
  std::span<const int32_t> column_of() const { return column_of_; }  // per node, -1 where it reads none

 private:
  // Where a value lives: a run of columns inside a region of the arena.
  struct Place {
    size_t region_offset = 0;   // bytes per row before the region; times chunk capacity gives its address
    int64_t column_offset = 0;  // columns before the value inside the region
  };

  void lay_out();
  void plan_visits(const Source& source, Workspace& workspace) const;
  void copy_out(const BlockView& block, DType dtype, int64_t first, void* destination) const;

  const Program& program_;
  const BlockLoops& loops_ = block_loops(chosen_isa());
  std::vector<std::unique_ptr<Step>>
      steps_;                       // null for `column`, and for a `concat` whose inputs are in place
  std::vector<int32_t> column_of_;  // per node: schema column that a `column` node reads, else -1
  std::vector<Place> places_;
  std::vector<uint8_t> reads_beside_;  // per node: a column that lies right after that of the node before
  std::vector<std::vector<int32_t>> needed_;      // per output: nodes to compute, ascending
  std::vector<std::vector<int32_t>> outputs_of_;  // per node: outputs that show it
  std::vector<bool> used_columns_;
  std::vector<EncodedColumn> encoded_columns_;
  size_t bytes_per_row_ = 0;
  size_t max_inputs_ = 0;
  int64_t chunk_rows_ = 1;
};

}  // namespace mlcore

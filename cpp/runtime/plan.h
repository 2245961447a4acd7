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
#include "runtime/arena.h"
#include "runtime/route.h"

namespace mlcore {

struct Translation;

// A `column` node that only encodes of strings read, and one of those.
struct EncodedColumn {
  int32_t column_node;
  int32_t encode_node;
  const TextEncoder* encoder;
};

// Where a plan reads its input columns from; any number of threads may read at once.
class Source {
 public:
  virtual ~Source() = default;
  // Rows [first, first + n) of a schema column as `dtype` into `out`, which holds n elements.
  virtual void read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const = 0;
  // The same for several columns, whose elements lie side by side in `out`.
  virtual void read_columns(std::span<const int32_t> columns, int64_t first, int64_t n, DType dtype,
                            std::byte* out) const;
  // What row 0 is called in messages.
  virtual int64_t first_row() const { return 0; }
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

  // Gives back what is more than an ordinary plan needs.
  void trim() { arena_.trim(); }

 private:
  friend class Plan;

  Arena arena_;                      // of the calling thread
  std::vector<void*> destinations_;  // per output, null when not asked for
};

// How many threads a run may take. What it computes does not depend on it.
struct Threading {
  int most = 1;
  double work = 0;  // nanoseconds of work for each thread, below which fewer are taken
};

class Plan {
 public:
  // `program` must be validated and must outlive the plan.
  explicit Plan(const Program& program);

  // Computes `outputs` (indices into program.outputs) for rows [0, rows) of `source`. destinations[i]
  // receives output i as a row-major [rows, width] array of the block's dtype. Throws ErrorCode::input.
  // Chunks of rows go to at most `threads` threads, where that is worth while; what comes out does not depend
  // on it.
  void run(const Source& source, int64_t rows, std::span<const int32_t> outputs,
           std::span<void* const> destinations, Workspace& workspace, Threading threading = {}) const;

  // Schema columns that some node reads; the others may be absent from a table.
  const std::vector<bool>& used_columns() const { return used_columns_; }
  // The fewest rows that are computed at once for any method's outputs, in a table that has more.
  int64_t chunk_rows() const;
  const BlockLoops& loops() const { return loops_; }
  std::span<const EncodedColumn> encoded_columns() const { return encoded_columns_; }
  std::span<const int32_t> column_of() const { return column_of_; }  // per node, -1 where it reads none

 private:
  void run_chunk(const Route& route, const Source& source, int64_t first, int64_t rows, int64_t capacity,
                 std::span<void* const> destinations, std::byte* arena) const;
  void copy_out(const BlockView& block, DType dtype, int64_t first, void* destination) const;

  const Program& program_;
  const BlockLoops& loops_ = block_loops(chosen_isa());
  std::vector<std::unique_ptr<Step>> steps_;    // null for `column`, and for what no output needs
  std::vector<int32_t> column_of_;              // per node: schema column that a `column` node reads, else -1
  std::vector<std::unique_ptr<Route>> routes_;  // one for the outputs of each method, one for all
  std::vector<bool> used_columns_;
  std::vector<EncodedColumn> encoded_columns_;
};

}  // namespace mlcore

// Model: an immutable, validated program with its plan. Usable from any number of threads, and itself running
// on several.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ir/program.h"
#include "runtime/batch.h"
#include "runtime/fold.h"
#include "runtime/plan.h"

namespace mlcore {

class Model {
 public:
  // Validates and lowers; replays the golden rows, if any, and throws ErrorCode::artifact when one byte
  // differs.
  explicit Model(Program program);
  static std::shared_ptr<const Model> load(const std::string& path);
  static std::shared_ptr<const Model> from_bytes(std::span<const std::byte> bytes);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const Program& program() const { return program_; }
  // What the plan runs: the program, or what folding has made of it.
  const Program& lowered() const { return fold_.changed ? fold_.program : program_; }
  const std::vector<bool>& used_columns() const { return plan_.used_columns(); }
  int64_t chunk_rows() const { return plan_.chunk_rows(); }

  // Most threads that a run of this model takes; a number from 1 to kMaxThreads. 0 in `set_threads`: as many
  // as the environment variable MLCORE_THREADS says, else as the process may keep busy. Throws
  // ErrorCode::input.
  int threads() const;
  void set_threads(int64_t threads);

  // The table's rows through the plan; see Plan::run for `outputs` and `destinations`.
  void run(const Batch& batch, std::span<const int32_t> outputs, std::span<void* const> destinations,
           Workspace& workspace) const;

  // The same for the rows of several tables, one after the other: each output is one array over all of them.
  // A message does not say which of the tables is refused.
  void run(std::span<const Batch* const> batches, std::span<const int32_t> outputs,
           std::span<void* const> destinations, Workspace& workspace) const;

  // The same for a source of one row.
  void run_row(const Source& source, std::span<const int32_t> outputs, std::span<void* const> destinations,
               Workspace& workspace) const;

  // What became of the features that forests split on.
  const std::vector<FoldNote>& fold_notes() const { return fold_.notes; }
  // As `run`, but with the program as the file has it, for comparison.
  void run_unfolded(const Batch& batch, std::span<const int32_t> outputs, std::span<void* const> destinations,
                    Workspace& workspace) const;

  // This model with the rows of `batch` and what they give now stored as golden rows.
  Program with_golden(const Batch& batch) const;

 private:
  void replay() const;

  template <class Fast, class Last>
  void run_plan(const Fast& fast, const Last& last) const;
  // Of the program before it was folded; lowered when it is first needed.
  const Plan& original_plan() const;

  Program program_;
  Fold fold_;
  Plan plan_;
  mutable std::once_flag original_once_;
  mutable std::unique_ptr<Plan> original_;
  std::atomic<int> threads_;  // 0: as many as the process may keep busy
  double thread_work_;
};

}  // namespace mlcore

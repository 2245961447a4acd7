// Model: an immutable, validated program with its plan. Usable from any number of threads.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/program.h"
#include "runtime/batch.h"
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
  const std::vector<bool>& used_columns() const { return plan_.used_columns(); }
  int64_t chunk_rows() const { return plan_.chunk_rows(); }

  // The table's rows through the plan; see Plan::run for `outputs` and `destinations`.
  void run(const Batch& batch, std::span<const int32_t> outputs, std::span<void* const> destinations,
           Workspace& workspace) const;

  // The same for a source of one row.
  void run_row(const Source& source, std::span<const int32_t> outputs, std::span<void* const> destinations,
               Workspace& workspace) const {
    plan_.run(source, 1, outputs, destinations, workspace);
  }

  // This model with the rows of `batch` and what they give now stored as golden rows.
  Program with_golden(const Batch& batch) const;

 private:
  void replay() const;

  Program program_;
  Plan plan_;
};

}  // namespace mlcore

// Golden rows: inputs and expected output bytes inside the artifact.
#pragma once

#include "ir/program.h"
#include "runtime/plan.h"

namespace mlcore {

// Reads the input columns back from the golden constants.
class GoldenSource final : public Source {
 public:
  explicit GoldenSource(const Program& program) : program_(program) {}
  void read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const override;

 private:
  const Program& program_;
};

// Appends rows [0, rows) of `source` and `expected` (per output, row-major bytes of its block) to the
// program.
void store_golden(Program& program, const std::vector<bool>& used_columns, const Source& source, int64_t rows,
                  const std::vector<std::vector<std::byte>>& expected);

// Bytes of output blocks compare equal, with str blocks compared by content.
bool same_bytes(const Constant& expected, std::span<const std::byte> found);

}  // namespace mlcore

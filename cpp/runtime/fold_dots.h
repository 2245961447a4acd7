// One-hot columns that only a dot product reads need not exist: it takes the codes (ops/dot.cc), with the
// same bits.
#pragma once

#include <optional>
#include <vector>

#include "ir/program.h"
#include "runtime/fold.h"

namespace mlcore {

// `program` must be validated, and so is what comes back; nothing where no dot can be rewritten.
std::optional<Program> fold_dots(const Program& program, std::vector<FoldNote>& notes);

}  // namespace mlcore

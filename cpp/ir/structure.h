#pragma once

#include "ir/program.h"

namespace mlcore {

// What every program keeps whatever its ops are: indices in range, nodes that read earlier nodes, text that
// is UTF-8 without NUL. Throws ErrorCode::program. validate_program (ops) checks the rest.
void check_structure(const Program& program);

}  // namespace mlcore

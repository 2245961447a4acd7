// Text taken apart by column.
#pragma once

#include "ir/program.h"

namespace mlcore {

// The same values, but blocks of text of several columns become columns of their own where steps only bring
// them together, fill them or take some: then an encode depends on one column alone. `program` must be
// validated.
Program text_apart(const Program& program);

}  // namespace mlcore

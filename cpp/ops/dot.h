// What a `dot` asks of its constants when it takes codes for one-hot columns.
#pragma once

#include <string_view>

#include "ops/op.h"

namespace mlcore {

// Empty, or why zeros that are left out would change a sum of this node.
std::string_view why_no_codes(const NodeReader& dot);

}  // namespace mlcore

// The arrays of a `trees` node, read and proven.
#pragma once

#include "kernels/forest.h"
#include "ops/op.h"

namespace mlcore {

// Reads the node's attributes and constants; checks types and sizes only.
ForestSpec read_forest(const NodeReader& reader);

// Proves everything that Forest relies on: every tree is a tree within its bounds, every index is in range.
void check_forest(const NodeReader& reader, const ForestSpec& spec);

}  // namespace mlcore

// Pull-back: a forest behind feature steps is rewritten to split on the columns that the features come from,
// and a dot product to take codes for one-hot columns, so that the steps between need not run
// (docs/design/0006-pull-back.md).
#pragma once

#include <string>
#include <vector>

#include "ir/program.h"

namespace mlcore {

// What became of one feature that a forest splits on, or of the one-hot columns of one column that a dot
// reads.
struct FoldNote {
  std::string step;          // path of the forest's or the dot's step
  std::string feature;       // "x7", or the column it comes from where a name is known
  std::string steps;         // between the origin and the feature
  std::string origin;        // "column 'age' (f64)", "codes of column 'city'"
  std::string outcome;       // "12 cuts", "3 sets of 40 codes", "40 weights", or why it was left as it was
  int32_t column = -1;       // schema column that the origin is, if it is one
  std::vector<double> cuts;  // of numbers: the largest that go the one way
  std::string_view op = "trees";
};

struct Fold {
  // Gives the same bits as the original for every row that it accepts. It refuses every row that the original
  // refuses, and maybe others: whoever runs it asks the original then.
  Program program;
  bool changed = false;
  std::vector<FoldNote> notes;
};

// `program` must be validated.
Fold fold(const Program& program);

}  // namespace mlcore

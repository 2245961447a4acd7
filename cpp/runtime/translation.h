// Dictionaries of a batch, looked up once for all of its rows.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "ops/op.h"
#include "runtime/decode.h"
#include "runtime/plan.h"

namespace mlcore {

std::vector<EncodedColumn> encoded_columns(const Program& program,
                                           std::span<const std::unique_ptr<Step>> steps);

// The entries of a column's dictionary; valid text, or missing.
struct Dictionary {
  const DecodeInput* input;
  std::vector<StringRef> entries;
  bool complete = true;  // no entry is missing
};

// What a column and its encodes do for a table whose column is a dictionary: the column's block holds int32
// positions in it, and an encode maps positions to codes.
struct Translation {
  const Dictionary* dictionary;
  std::vector<int32_t> codes;  // per entry, by TextEncoder::find
};

// A `column` node's rows [first, first + n) as positions, with decode's errors; and an encode of them.
void read_positions(const Translation& translation, int64_t first, int64_t n, int32_t* out);
void run_translated(const Step& encode, const Translation& translation, const StepArgs& args);

// The translations of one batch. Made before any row is run, and only read from then on.
class Translations {
 public:
  Translations() = default;
  // `columns`: the schema column of each node, -1 for other nodes than `column`.
  Translations(std::span<const EncodedColumn> encoded, std::span<const int32_t> columns,
               std::span<const DecodeInput> inputs);

  // Of a `column` or encode node; null where strings are to be read.
  const Translation* of(size_t node) const { return by_node_.empty() ? nullptr : by_node_[node]; }

 private:
  std::list<Dictionary> dictionaries_;
  std::list<Translation> translations_;
  std::vector<const Translation*> by_node_;  // empty when there is none
};

}  // namespace mlcore

// What the splits on one feature of a forest say of the column that the feature comes from.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "kernels/forest.h"
#include "runtime/column_chain.h"

namespace mlcore {

// What tells the splits of a feature apart, in forests that compare alike.
struct SplitKey {
  double threshold = 0;
  uint8_t missing = 0;
  // A category split is a kind of its own: which forest's, and which node; -1: a split of numbers.
  int32_t forest = -1, node = -1;

  auto operator<=>(const SplitKey&) const = default;
};
SplitKey key_of(const ForestSpec& spec, int32_t forest, int32_t node);

// Whether numbers up to some threshold go left and NaN goes anywhere.
bool is_cut(const SplitKey& key);

using Forests = std::vector<ForestSpec>;
// Whether a split sends a value of its feature left: the meaning that kernels/forest.h states. `value` is one
// that the block's dtype holds.
bool goes_left(const Forests& forests, const SplitKey& key, double value);

// A split as it is said of the origin: numbers up to `cut` go left, or the codes in `left_codes`.
struct FoldedSplit {
  enum class Kind : uint8_t {
    unchanged,  // the feature is its own origin, and so is the split
    cut,        // a number x goes left iff x <= cut
    codes,      // left_codes[code - first code] says where a code goes
  };
  Kind kind = Kind::unchanged;
  bool swapped = false;  // the children change places: `cut` says what goes to the former right one
  bool missing_left = false;
  bool below_all = false;  // cut: no number goes left; `cut` is -infinity, which the column must not hold
  double cut = 0;
  std::vector<bool> left_codes;
};

// The splits of a feature. A chain of rising or falling steps is inverted by bisection over the
// floating-point numbers with the steps themselves, so that there is no question of rounding; one from codes
// is run for each code.
std::vector<FoldedSplit> fold_splits(const Forests& forests, const ColumnChain& chain,
                                     const std::vector<SplitKey>& keys);

// The numbers of the chain's origin, from `low` to `high`, that give finite values.
struct Interval {
  double low, high;
};
Interval finite_interval(const ColumnChain& chain);

}  // namespace mlcore

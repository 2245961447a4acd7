// Decision forests: the meaning of the arrays of the `trees` op, and one narrow interface to whatever
// evaluates them. The caller has validated everything (ops/trees_spec.cc); nothing here checks again.
//
// A node sends a row left or right. Numeric split: left iff x <= threshold (or x < threshold), compared in
// the block's dtype, a float64 threshold on a float32 block in double. `missing` of a numeric node:
//
// | missing | NaN                   | abs(x) <= 1e-35f | source                              |
// |---------|-----------------------|------------------|-------------------------------------|
// | 0, 1    | right, left           | compared         | all; LightGBM missing_type NaN      |
// | 2       | becomes 0.0, compared | compared         | LightGBM missing_type None          |
// | 4, 5    | right, left           | right, left      | LightGBM missing_type Zero (tree.h) |
//
// Category split (category_words > 0): x is cut towards zero to a category c; `set` is the node's bitset.
//
// | rule     | NaN         | negative x         | c in set | c not in set         | c beyond the bitset |
// |----------|-------------|--------------------|----------|----------------------|---------------------|
// | xgboost  | missing 0/1 | left               | right    | left                 | left                |
// | lightgbm | right       | right, if x <= -1  | left     | right                | right               |
// | sklearn  | missing 0/1 | missing 0/1        | left     | known: right;        | missing 0/1         |
// |          |             |                    |          | unknown: missing 0/1 |                     |
//
// lightgbm: (-1, 0) is category 0. sklearn: a node's words are two bitsets of equal size, first the
// categories sent left, then the known categories of the feature. -0.0 is category 0 everywhere. Sources:
// xgboost common/categorical.h Decision, LightGBM tree.h CategoricalDecision, sklearn
// ensemble/_hist_gradient_boosting/_predictor.pyx.
//
// A row's leaves are added in tree order to `base`, in the dtype of the leaf values; then divided by
// `divisor`.
//
// Linear leaf (LightGBM Tree::Predict): const + coef * x in the order given, in double; a NaN gives the plain
// leaf value instead. With `linear_drops_tiny` abs(x) <= 1e-35f counts as 0: LightGBM's reader of dense rows
// drops such values (c_api.cpp), its reader of CSR rows does not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/types.h"
#include "kernels/isa.h"

namespace mlcore {

enum class CategoryRule : uint8_t { none, xgboost, lightgbm, sklearn };

inline constexpr double kZeroAsMissing = 1e-35f;   // LightGBM meta.h kZeroThreshold: the float, as a double
inline constexpr int64_t kMaxTreeDepth = 100'000;  // edges from the root to a leaf
inline constexpr int64_t kMaxCategory = 1 << 24;   // bits in one bitset; XGBoost's own limit

// The constants of a `trees` node, borrowed for the build only. Child ids are relative to the tree's first
// node.
struct ForestSpec {
  DType block = DType::f64;  // f64 or f32
  DType leaf = DType::f64;   // f64 or f32
  int64_t outputs = 1;
  bool strict = false;  // left iff x < threshold
  bool vector_leaf = false;
  bool leaf_ids = false;  // the result is the id of each tree's leaf
  CategoryRule rule = CategoryRule::none;
  bool linear_drops_tiny = true;

  std::span<const int64_t> tree_offsets;
  std::span<const int32_t> tree_output;  // empty for vector leaves
  std::span<const int32_t> feature;
  std::span<const double> threshold_f64;  // one of the two
  std::span<const float> threshold_f32;
  std::span<const int32_t> left, right;
  std::span<const uint8_t> missing;
  std::span<const int32_t> category_offset, category_words;  // empty: numeric splits only
  std::span<const uint32_t> category_bits;
  std::span<const int32_t> leaf_row;
  const void* leaf_values = nullptr;  // [rows] or [rows, outputs]
  int64_t leaf_rows = 0;
  const void* base = nullptr;        // [outputs]
  const void* divisor = nullptr;     // null for none
  std::span<const int32_t> leaf_id;  // empty: node numbers

  std::span<const int64_t> linear_offsets;  // empty: no linear leaves
  std::span<const int32_t> linear_feature;
  std::span<const double> linear_coef, linear_const;
};

// A forest in this machine's layout. Immutable.
class Forest {
 public:
  virtual ~Forest() = default;
  static std::unique_ptr<Forest> build(const ForestSpec& spec, Isa isa = chosen_isa());

  // `data` is a column-major block of `rows` rows; `out` likewise, [rows, outputs] of the leaf type, or
  // [rows, trees] int64 leaf ids. `scratch` has scratch_bytes(rows) bytes, 64-byte aligned.
  virtual void run(const void* data, int64_t rows, void* out, void* scratch) const = 0;
  virtual size_t scratch_bytes(int64_t rows) const = 0;
  // Rows that it pays to take at once, where there are so many.
  virtual int64_t good_rows() const = 0;
};

}  // namespace mlcore

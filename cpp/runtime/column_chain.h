// One column of a value, traced back through ops that act on single columns (OpDef::column_step) to where it
// comes from. What lies between is run by the ops' own steps, so that it means exactly what the plan
// computes.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ops/op.h"

namespace mlcore {

// Column `column` of the block of node `value`.
struct ColumnRef {
  int32_t value = -1;
  int64_t column = 0;

  auto operator<=>(const ColumnRef&) const = default;
};

// Codes from `first` (-1 or 0) to `last`.
struct CodeRange {
  int32_t first = 0;
  int32_t last = -1;
};

// How much work may go into looking at a program, in numbers computed or copied: a file cannot make loading
// it slow.
class Budget {
 public:
  explicit Budget(int64_t work) : left_(work) {}
  // False, from then on, when the work is used up.
  bool spend(int64_t work) { return work <= left_ ? (left_ -= work, true) : (left_ = -1, false); }
  bool spent() const { return left_ < 0; }

 private:
  int64_t left_;
};

// "column 'age'", "codes of column 'city'", "column 3 of pca (dot)"
std::string origin_text(const Program& program, ColumnRef origin);

class ColumnChain {
 public:
  // How far back: to where the same values come from; to the deepest column of floats from which they only
  // rise or only fall; or to that or the deepest column of codes whose number is known.
  enum class Reach : uint8_t { same, floats, codes };
  ColumnChain(const Program& program, ColumnRef end, Reach reach, Budget& budget);

  ColumnRef origin() const { return origin_; }
  DType origin_type() const { return origin_type_; }
  bool from_codes() const { return codes_.has_value(); }
  CodeRange codes() const { return *codes_; }
  Order order() const { return order_; }  // same, rising or falling; from codes: lookup
  bool is_same() const { return links_.empty(); }
  size_t steps() const { return links_.size(); }
  // The code whose value alone differs from those of all the others (a column of a one_hot).
  std::optional<int32_t> single_code() const;

  // The values, exactly, that `count` values of the origin (floats, or codes as doubles) give. Throws what
  // the steps throw.
  std::vector<double> values(const std::vector<double>& origin) const;

  // "fill, arith sub, cast": from the origin on.
  std::string text() const;

 private:
  struct Link {
    std::unique_ptr<Program> program;  // the step alone, behind one input column
    std::unique_ptr<Step> step;
    const Node& node() const { return program->nodes[1]; }
  };
  static Link make_link(ColumnStep step, const Node& original, DType input);

  ColumnRef origin_;
  DType origin_type_;
  Order order_ = Order::same;
  std::optional<CodeRange> codes_;
  std::vector<Link> links_;  // from the end back to the origin
};

}  // namespace mlcore

// One block of features and the forests that read it: whether they can be said of raw columns, and how.
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ops/trees_spec.h"
#include "runtime/column_chain.h"
#include "runtime/fold.h"
#include "runtime/fold_splits.h"

namespace mlcore {

// Words of a set of codes, in which code c is category c + 1.
inline int64_t words_of(CodeRange codes) { return (int64_t{codes.last} + 2 + 31) / 32; }

class FoldGroup {
 public:
  // `small`: per node, see small_values.
  FoldGroup(const Program& program, const std::vector<bool>& small, int32_t value, Budget& budget,
            std::vector<FoldNote>& notes)
      : program_(program), small_(small), value_(value), budget_(budget), notes_(notes) {}

  void add(int32_t forest) { forests_.push_back(forest); }

  // Whether the forests can be said of the origins, and that pays.
  bool prepare();
  // Appends the new block; gives its value. `moved`: where the nodes before it are now.
  int32_t emit_block(Program& out, const std::vector<int32_t>& moved) const;
  // Appends forest `id`, split on the new block.
  int32_t emit_forest(Program& out, int32_t id, int32_t block) const;

 private:
  struct Feature {
    std::optional<ColumnChain> chain;
    std::vector<SplitKey> keys;  // ascending
    std::vector<FoldedSplit> splits;
    int32_t column = -1;  // of the new block
  };

  struct Numbers {  // a column of floats that the new block holds
    double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
    bool missing = true;
    int32_t column = -1;
  };

  struct Codes {
    CodeRange range;
    bool cuts = true;  // every split is a cut between codes
    int32_t column = -1;
  };

  const Node& node(int32_t value) const { return program_.nodes[static_cast<size_t>(value)]; }

  std::string look();
  std::string obstacle() const;
  void trace();
  void list_splits();
  bool pays() const;
  void find_splits();
  void find_splits(Feature& feature);
  void settle_codes();
  void read_checks();
  void read_check(const Node& check, int32_t id);
  std::vector<int64_t> unsafe_columns(int32_t value) const;
  bool may_refuse(const Node& node) const;
  void number_columns();
  void describe() const;

  const Program& program_;
  const std::vector<bool>& small_;
  int32_t value_;
  Budget& budget_;
  std::vector<FoldNote>& notes_;
  std::vector<int32_t> forests_;
  Forests specs_;
  std::map<int32_t, Feature> features_;  // by column of the old block
  std::map<ColumnRef, Numbers> numbers_;
  std::map<ColumnRef, Codes> codes_;
  std::vector<int32_t> guards_;  // nodes that run for what they refuse
  DType dtype_ = DType::f32;     // of the new block
};

}  // namespace mlcore

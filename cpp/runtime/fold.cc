#include "runtime/fold.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "ops/trees_spec.h"
#include "runtime/column_chain.h"
#include "runtime/fold_dots.h"
#include "runtime/fold_splits.h"
#include "runtime/fp_environment.h"
#include "runtime/program_copy.h"

namespace mlcore {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Numbers that steps may compute, and constants that may be copied, while a program is looked at: about a
// second.
constexpr int64_t kMaxWork = int64_t{1} << 29;
constexpr int64_t kMaxSetWords = int64_t{1} << 22;  // of all category sets of a forest, in 32 bits
// Codes up to which sets of them are small beside the nodes of a forest.
constexpr int32_t kFewCodes = 255;
using Reach = ColumnChain::Reach;

// -- what a program holds ---------------------------------------------------------------------------------

bool is_float(DType type) { return type == DType::f64 || type == DType::f32; }

// Whether all values of a table are finite, and stay so as float32.
bool holds_small(const Constant& constant) {
  const auto small = [](auto x) { return std::abs(static_cast<double>(x)) < 1e30; };  // not NaN
  if (constant.type() == DType::f64) return std::ranges::all_of(constant.as<double>(), small);
  if (constant.type() == DType::f32) return std::ranges::all_of(constant.as<float>(), small);
  return constant.type() == DType::i64;
}

// Per node: every value is finite, and stays so as a float32.
std::vector<bool> small_values(const Program& program) {
  std::vector<bool> small(program.nodes.size());
  for (size_t i = 0; i < small.size(); ++i) {
    const Node& node = program.nodes[i];
    if (node.op == "one_hot" || node.op == "is_missing" || node.op == "bin" || node.op == "binarize")
      small[i] = true;
    else if (node.op == "cast" || node.op == "check" || node.op == "guard" || node.op == "select")
      small[i] = small[static_cast<size_t>(node.inputs[0])];
    else if (node.op == "table")
      small[i] = holds_small(program.constant(node, "values")) &&
                 (!node.constants.contains("default") || holds_small(program.constant(node, "default")));
    else small[i] = node.type.dtype == DType::i32;
  }
  return small;
}

// Words of a set of codes, in which code c is category c + 1.
int64_t words_of(CodeRange codes) { return (int64_t{codes.last} + 2 + 31) / 32; }

// -- building nodes -----------------------------------------------------------------------------------------

template <class T>
int32_t add_constant(Program& out, DType type, const std::vector<T>& values) {
  out.constants.emplace_back(type, std::vector<int64_t>{static_cast<int64_t>(values.size())},
                             std::as_bytes(std::span(values)));
  return static_cast<int32_t>(out.constants.size()) - 1;
}

// Numbers as floats of `type`, which holds them exactly.
int32_t add_floats(Program& out, DType type, const std::vector<double>& values) {
  if (type == DType::f64) return add_constant(out, type, values);
  return add_constant(out, type, std::vector<float>(values.begin(), values.end()));
}

int32_t add_node(Program& out, Node node) {
  out.nodes.push_back(std::move(node));
  return static_cast<int32_t>(out.nodes.size()) - 1;
}

int32_t concat(Program& out, const std::string& path, const std::vector<int32_t>& parts) {
  if (parts.size() == 1) return parts[0];
  return add_node(out, {"concat", path, parts, {}, {}, {}});
}

int32_t cast(Program& out, const std::string& path, int32_t value, DType type) {
  return add_node(out, {"cast", path, {value}, {{"dtype", std::string(name_of(type))}}, {}, {}});
}

// -- one block of features and the forests that read it ----------------------------------------------------

struct Feature {
  std::optional<ColumnChain> chain;
  std::vector<SplitKey> keys;  // ascending
  std::vector<FoldedSplit> splits;
  int32_t column = -1;  // of the new block
};

struct Numbers {  // a column of floats that the new block holds
  double low = -kInfinity, high = kInfinity;
  bool missing = true;
  int32_t column = -1;
};

struct Codes {
  CodeRange range;
  bool cuts = true;  // every split is a cut between codes
  int32_t column = -1;
};

class Group {
 public:
  // `small`: per node, see small_values.
  Group(const Program& program, const std::vector<bool>& small, int32_t value, Budget& budget,
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

bool Group::prepare() {
  for (int32_t forest : forests_) specs_.push_back(read_forest(NodeReader(program_, node(forest))));
  std::string reason;
  try {
    reason = look();
  } catch (const Error& error) {
    reason = error.what();  // a step that refuses some code, as it would in a row
  }
  if (!reason.empty()) {
    for (int32_t forest : forests_)
      notes_.push_back({node(forest).path, "all", "", "", "not folded: " + reason, -1, {}});
    return false;
  }
  number_columns();
  describe();
  return true;
}

// Empty, or why the forests stay as they are.
std::string Group::look() {
  const auto nodes = static_cast<int64_t>(program_.nodes.size());
  budget_.spend(nodes * static_cast<int64_t>(program_.outputs.size() + forests_.size() + 4));
  if (budget_.spent()) return "it would take too long to load";
  std::string reason = obstacle();
  if (!reason.empty()) return reason;
  trace();
  if (pays()) list_splits();
  if (!pays()) return "no step worth saving lies between the columns and the forest";
  find_splits();
  read_checks();
  return budget_.spent() ? "it would take too long to load" : "";
}

// A later step that reads the features keeps them from being saved.
std::string Group::obstacle() const {
  for (const ForestSpec& spec : specs_) {
    if (!spec.linear_offsets.empty()) return "the leaves are linear models of the features";
    if (spec.strict != specs_[0].strict) return "its forests compare in two ways";
    if (spec.strict && std::ranges::any_of(spec.missing, [](uint8_t m) { return m >= 4; }))
      return "zero counts as missing in strict comparisons";
  }
  const std::vector<bool> before = program_.ancestors({{value_}});
  std::vector<int32_t> outputs;  // that need a forest; others are computed apart
  for (const OutputSpec& output : program_.outputs) {
    const std::vector<bool> needed = program_.ancestors({{output.value}});
    if (std::ranges::any_of(forests_, [&](int32_t forest) { return needed[static_cast<size_t>(forest)]; }))
      outputs.push_back(output.value);
  }
  const std::vector<bool> needed = program_.ancestors(outputs);
  for (size_t i = 0; i < program_.nodes.size(); ++i) {
    if (!needed[i] || before[i] || std::ranges::count(forests_, static_cast<int32_t>(i)) > 0) continue;
    for (int32_t input : program_.nodes[i].inputs)
      if (before[static_cast<size_t>(input)] && node(input).op != "column" && node(input).op != "encode")
        return "op " + program_.nodes[i].op + " of " + program_.nodes[i].path + " reads the features too";
  }
  return {};
}

// Finds where each feature that some split reads comes from.
void Group::trace() {
  for (const ForestSpec& spec : specs_)
    for (const int32_t column : spec.feature)
      if (column >= 0) features_.try_emplace(column);
  for (auto& [column, feature] : features_)
    feature.chain.emplace(program_, ColumnRef{value_, column}, Reach::codes, budget_);
}

// Lists the kinds of splits of each feature. Splits that are no cuts can only be said of the feature itself,
// or of codes.
void Group::list_splits() {
  for (size_t f = 0; f < specs_.size(); ++f) {
    const ForestSpec& spec = specs_[f];
    for (size_t i = 0; i < spec.feature.size(); ++i)
      if (spec.feature[i] >= 0)
        features_.at(spec.feature[i])
            .keys.push_back(key_of(spec, static_cast<int32_t>(f), static_cast<int32_t>(i)));
  }
  for (auto& [column, feature] : features_) {
    auto& keys = feature.keys;
    std::ranges::sort(keys);
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    if (!std::ranges::all_of(keys, is_cut) && !feature.chain->from_codes())
      feature.chain.emplace(program_, ColumnRef{value_, column}, Reach::same, budget_);
  }
}

bool Group::pays() const {
  const auto saves_steps = [](const auto& entry) {
    const ColumnChain& chain = *entry.second.chain;
    return chain.from_codes() || (!chain.is_same() && chain.text() != "cast");
  };
  const auto is_narrow = [](const auto& entry) { return entry.second.chain->origin_type() == DType::f32; };
  if (std::ranges::any_of(features_, saves_steps)) return true;
  // float32 numbers that were only widened for the forest: keys of half the size
  return specs_[0].block == DType::f64 && !features_.empty() && std::ranges::all_of(features_, is_narrow);
}

void Group::find_splits() {
  for (auto& [column, feature] : features_) find_splits(feature);
  settle_codes();
  for (const auto& [column, feature] : features_) {
    if (budget_.spent()) return;
    const ColumnChain& chain = *feature.chain;
    if (chain.from_codes()) continue;
    Numbers& numbers = numbers_[chain.origin()];
    for (const FoldedSplit& split : feature.splits)
      if (split.below_all)
        numbers.low = chain.origin_type() == DType::f64
                          ? std::numeric_limits<double>::lowest()
                          : static_cast<double>(std::numeric_limits<float>::lowest());
  }
}

void Group::find_splits(Feature& feature) {
  const ColumnChain& chain = *feature.chain;
  const int64_t values = chain.from_codes() ? chain.codes().last + 2 : 64;
  if (budget_.spend(values * static_cast<int64_t>((feature.keys.size() + 1) * (chain.steps() + 1))))
    feature.splits = fold_splits(specs_, chain, feature.keys);
}

// Sets of codes that all are beginnings or ends of the codes become cuts: a rank is cheaper than sets, and
// needs no memory for many codes. Where sets would take much memory, the steps from codes to floats stay.
void Group::settle_codes() {
  if (budget_.spent()) return;
  for (const auto& [column, feature] : features_) {
    if (!feature.chain->from_codes()) continue;
    Codes& codes = codes_.try_emplace(feature.chain->origin(), Codes{feature.chain->codes()}).first->second;
    for (const FoldedSplit& split : feature.splits) {
      int changes = 0;
      for (size_t i = 1; i < split.left_codes.size(); ++i)
        changes += split.left_codes[i] != split.left_codes[i - 1] ? 1 : 0;
      codes.cuts = codes.cuts && changes <= 1;
    }
  }
  int64_t all_words = 0;
  for (const ForestSpec& spec : specs_) {
    for (const int32_t column : spec.feature) {
      const auto found = features_.find(column);
      if (found == features_.end() || !found->second.chain->from_codes()) continue;
      const Codes& codes = codes_.at(found->second.chain->origin());
      if (!codes.cuts) all_words += words_of(codes.range) * (spec.rule == CategoryRule::sklearn ? 2 : 1);
    }
  }
  for (auto& [column, feature] : features_) {
    if (!feature.chain->from_codes()) continue;
    const Codes& codes = codes_.at(feature.chain->origin());
    const bool numbers = std::ranges::all_of(feature.keys, is_cut);
    const bool large = all_words > kMaxSetWords ||
                       (codes.range.last > kFewCodes && !feature.chain->single_code() && numbers);
    if (codes.cuts || !large) continue;
    feature.chain.emplace(program_, ColumnRef{value_, column}, numbers ? Reach::floats : Reach::same,
                          budget_);
    find_splits(feature);
  }
  std::erase_if(codes_, [&](const auto& entry) {
    return std::ranges::none_of(features_, [&](const auto& feature) {
      return feature.second.chain->from_codes() && feature.second.chain->origin() == entry.first;
    });
  });
}

// What the steps before the forests refuse, they must go on refusing.
void Group::read_checks() {
  const std::vector<bool> before = program_.ancestors({{value_}});
  for (size_t i = 0; i < before.size() && !budget_.spent(); ++i) {
    if (!before[i]) continue;
    const Node& one = program_.nodes[i];
    if (one.op == "check" && is_float(one.type.dtype)) read_check(one, static_cast<int32_t>(i));
    else if (may_refuse(one)) guards_.push_back(static_cast<int32_t>(i));
  }
  std::vector<int32_t> origins;
  for (const auto& [origin, numbers] : numbers_) origins.push_back(origin.value);
  for (const auto& [origin, codes] : codes_) origins.push_back(origin.value);
  const std::vector<bool> run = program_.ancestors(origins);
  std::erase_if(guards_, [&](int32_t id) { return run[static_cast<size_t>(id)]; });
}

// Columns of a block that may hold what a check refuses.
std::vector<int64_t> Group::unsafe_columns(int32_t value) const {
  std::vector<int64_t> out;
  std::vector<ColumnRef> open{{value, 0}};  // blocks, and where they begin in this one
  while (!open.empty() && budget_.spend(16)) {
    const auto [at, first] = open.back();
    open.pop_back();
    const Node& block = node(at);
    if (small_[static_cast<size_t>(at)]) continue;
    if (block.op == "cast" || block.op == "check" || block.op == "guard") {
      open.push_back({block.inputs[0], first});
    } else if (block.op == "concat") {
      int64_t begin = first;
      for (int32_t input : block.inputs) {
        open.push_back({input, begin});
        begin += node(input).type.width;
      }
    } else {
      for (int64_t column = 0; column < block.type.width; ++column) out.push_back(first + column);
    }
  }
  return out;
}

// The numbers of the origins that pass.
void Group::read_check(const Node& check, int32_t id) {
  const NodeReader reader(program_, check);
  const bool nan = reader.choice("nan", {"allow", "forbid"}) == "forbid";
  const bool inf = reader.choice("inf", {"allow", "forbid"}) == "forbid";
  const auto refused = [&](double y) { return (nan && y != y) || (inf && std::isinf(y)); };
  for (const int64_t column : unsafe_columns(check.inputs[0])) {
    const ColumnChain chain(program_, {check.inputs[0], column}, Reach::codes, budget_);
    const int64_t values = chain.from_codes() ? chain.codes().last + 2 : 128;
    if (!budget_.spend(values * static_cast<int64_t>(chain.steps() + 1))) return;
    if (chain.from_codes()) {
      std::vector<double> codes;
      for (int32_t code = chain.codes().first; code <= chain.codes().last; ++code) codes.push_back(code);
      if (!std::ranges::any_of(chain.values(codes), refused)) continue;
      guards_.push_back(id);
      return;
    }
    Numbers& numbers = numbers_[chain.origin()];
    if (refused(chain.values({std::numeric_limits<double>::quiet_NaN()})[0])) numbers.missing = false;
    if (!inf) continue;
    const Interval finite = finite_interval(chain);
    numbers.low = std::max(numbers.low, finite.low);
    numbers.high = std::min(numbers.high, finite.high);
  }
}

// Whether a node may refuse a row, a check of numbers aside.
bool Group::may_refuse(const Node& one) const {
  const NodeReader reader(program_, one);
  if (one.op == "check" || one.op == "vote") return true;
  if (one.op == "encode") return reader.choice("unknown", {"code", "error"}) == "error";
  if (one.op != "one_hot" && one.op != "table") return false;
  const ColumnChain codes(program_, {one.inputs[0], 0}, Reach::codes, budget_);
  if (!codes.from_codes() || !codes.is_same()) return true;
  if (one.op == "one_hot") return codes.codes().last >= one.type.width;
  return codes.codes().last >= program_.constant(one, "values").shape()[0] ||
         (codes.codes().first < 0 && !reader.has_constant("default"));
}

// In the order of the program, so that columns which lie side by side in a table are read together: float64
// origins, float32 origins, codes.
void Group::number_columns() {
  if (std::ranges::any_of(numbers_,
                          [&](const auto& one) { return node(one.first.value).type.dtype == DType::f64; }))
    dtype_ = DType::f64;
  int32_t next = 0;
  for (const DType type : {DType::f64, DType::f32})
    for (auto& [origin, numbers] : numbers_)
      if (node(origin.value).type.dtype == type) numbers.column = next++;
  for (auto& [origin, codes] : codes_) codes.column = next++;
  for (auto& [column, feature] : features_)
    feature.column = feature.chain->from_codes() ? codes_.at(feature.chain->origin()).column
                                                 : numbers_.at(feature.chain->origin()).column;
}

void Group::describe() const {
  for (const auto& [column, feature] : features_) {
    const ColumnChain& chain = *feature.chain;
    const std::string count = text(static_cast<int64_t>(feature.keys.size()));
    std::string outcome = count + (feature.keys.size() == 1 ? " cut" : " cuts");
    if (chain.from_codes() && !codes_.at(chain.origin()).cuts)
      outcome = count + (feature.keys.size() == 1 ? " set" : " sets") + " of " +
                text(static_cast<int64_t>(chain.codes().last) + 1) + " codes";
    else if (chain.is_same()) outcome += ", as they were";
    FoldNote note{node(forests_[0]).path,
                  "x" + text(int64_t{column}),
                  chain.text(),
                  origin_text(program_, chain.origin()),
                  outcome,
                  -1,
                  {}};
    const Node& origin = node(chain.origin().value);
    if (origin.op == "column")
      note.column = static_cast<int32_t>(NodeReader(program_, origin).integer("column"));
    for (const FoldedSplit& split : feature.splits)
      if (split.kind == FoldedSplit::Kind::cut) note.cuts.push_back(split.cut);
    notes_.push_back(std::move(note));
  }
}

int32_t Group::emit_block(Program& out, const std::vector<int32_t>& moved) const {
  const std::string& path = node(forests_[0]).path;
  // runs of columns of one value
  const auto columns_of = [&](const auto& origins, const auto& wanted) {
    std::vector<int32_t> parts;
    for (auto at = origins.begin(); at != origins.end();) {
      const int32_t value = at->first.value;
      std::vector<int64_t> indices;
      for (; at != origins.end() && at->first.value == value; ++at) indices.push_back(at->first.column);
      if (!wanted(node(value).type.dtype)) continue;
      const int32_t from = moved[static_cast<size_t>(value)];
      const bool whole = indices.size() == static_cast<size_t>(node(value).type.width);
      parts.push_back(
          whole
              ? from
              : add_node(
                    out,
                    {"select", path, {from}, {}, {{"indices", add_constant(out, DType::i64, indices)}}, {}}));
    }
    return parts;
  };
  std::vector<int32_t> parts = columns_of(numbers_, [&](DType type) { return type == dtype_; });
  if (dtype_ == DType::f64) {
    const auto narrow = columns_of(numbers_, [](DType type) { return type == DType::f32; });
    if (!narrow.empty()) parts.push_back(cast(out, path, concat(out, path, narrow), dtype_));
  }
  std::vector<int32_t> blocks;
  if (!parts.empty()) blocks.push_back(concat(out, path, parts));
  std::vector<double> low(numbers_.size()), high(numbers_.size());
  std::vector<uint8_t> missing(numbers_.size());
  bool bounded = false;
  for (const auto& [origin, numbers] : numbers_) {
    const auto at = static_cast<size_t>(numbers.column);
    low[at] = numbers.low;
    high[at] = numbers.high;
    missing[at] = numbers.missing ? 1 : 0;
    bounded |= numbers.low > -kInfinity || numbers.high < kInfinity || !numbers.missing;
  }
  if (bounded)
    blocks[0] = add_node(out, {"range",
                               path,
                               {blocks[0]},
                               {},
                               {{"low", add_floats(out, dtype_, low)},
                                {"high", add_floats(out, dtype_, high)},
                                {"missing", add_constant(out, DType::u8, missing)}},
                               {}});
  const auto codes = columns_of(codes_, [](DType) { return true; });
  if (!codes.empty()) {
    const int32_t floats = cast(out, path, concat(out, path, codes), dtype_);
    blocks.push_back(add_node(out, {"arith",
                                    path,
                                    {floats},
                                    {{"fn", std::string("add")}},
                                    {{"value", add_floats(out, dtype_, {1.0})}},
                                    {}}));
  }
  const int32_t block = concat(out, path, blocks);
  if (guards_.empty()) return block;
  std::vector<int32_t> inputs{block};
  for (int32_t guard : guards_) inputs.push_back(moved[static_cast<size_t>(guard)]);
  return add_node(out, {"guard", path, inputs, {}, {}, {}});
}

int32_t Group::emit_forest(Program& out, int32_t id, int32_t block) const {
  const auto f = static_cast<int32_t>(std::ranges::find(forests_, id) - forests_.begin());
  const ForestSpec& spec = specs_[static_cast<size_t>(f)];
  const size_t count = spec.feature.size();
  std::vector<int32_t> feature(spec.feature.begin(), spec.feature.end());
  std::vector<int32_t> left(spec.left.begin(), spec.left.end());
  std::vector<int32_t> right(spec.right.begin(), spec.right.end());
  std::vector<double> threshold(count);
  std::vector<uint8_t> missing(count);
  std::vector<int32_t> offset(count), words(count);
  std::vector<uint32_t> bits;
  const CategoryRule rule = spec.rule == CategoryRule::none ? CategoryRule::xgboost : spec.rule;
  const auto append_set = [&](size_t i, const std::vector<bool>& left_codes, CodeRange codes) {
    const auto size = static_cast<size_t>(words_of(codes));
    offset[i] = static_cast<int32_t>(bits.size());
    words[i] = static_cast<int32_t>(size);
    bits.resize(bits.size() + size);
    uint32_t* set = bits.data() + offset[i];
    for (size_t k = 0; k < left_codes.size(); ++k) {
      const size_t category = k + static_cast<size_t>(codes.first + 1);
      if (left_codes[k] != (rule == CategoryRule::xgboost))
        set[category / 32] |= uint32_t{1} << (category % 32);
    }
    if (rule != CategoryRule::sklearn) return;
    bits.resize(bits.size() + size, ~uint32_t{0});  // all are known
    words[i] *= 2;
  };
  for (size_t i = 0; i < count; ++i) {
    if (feature[i] < 0) continue;
    const Feature& from = features_.at(feature[i]);
    const SplitKey key = key_of(spec, f, static_cast<int32_t>(i));
    const FoldedSplit& split =
        from.splits[static_cast<size_t>(std::ranges::lower_bound(from.keys, key) - from.keys.begin())];
    feature[i] = from.column;
    bool swapped = split.swapped;
    if (split.kind == FoldedSplit::Kind::cut) {
      threshold[i] = split.cut;
      missing[i] = split.missing_left ? 1 : 0;
    } else if (split.kind == FoldedSplit::Kind::unchanged) {
      threshold[i] = key.threshold;
      missing[i] = spec.missing[i];
      if (key.forest >= 0) {
        const auto set = spec.category_bits.subspan(static_cast<size_t>(spec.category_offset[i]),
                                                    static_cast<size_t>(spec.category_words[i]));
        offset[i] = static_cast<int32_t>(bits.size());
        words[i] = static_cast<int32_t>(set.size());
        bits.insert(bits.end(), set.begin(), set.end());
      }
    } else if (codes_.at(from.chain->origin()).cuts) {
      // left are the codes up to some one, or those above it
      const auto& codes = split.left_codes;
      const auto change = static_cast<double>(std::ranges::find(codes, !codes[0]) - codes.begin());
      swapped = !codes[0];
      threshold[i] = from.chain->codes().first + change;  // one below in codes, one above in the block
    } else {
      append_set(i, split.left_codes, from.chain->codes());
    }
    if (swapped) std::swap(left[i], right[i]);
  }
  Node node = this->node(id);
  node.inputs = {block};
  node.attributes["compare"] = std::string("le");
  node.constants["feature"] = add_constant(out, DType::i32, feature);
  node.constants["left"] = add_constant(out, DType::i32, left);
  node.constants["right"] = add_constant(out, DType::i32, right);
  node.constants["threshold"] = add_constant(out, DType::f64, threshold);
  node.constants["missing"] = add_constant(out, DType::u8, missing);
  for (const char* name : {"category_rule", "categories"}) node.attributes.erase(name);
  for (const char* name : {"category_offset", "category_words", "category_bits"}) node.constants.erase(name);
  if (!bits.empty()) {
    node.attributes["category_rule"] = std::string(rule == CategoryRule::xgboost    ? "xgboost"
                                                   : rule == CategoryRule::lightgbm ? "lightgbm"
                                                                                    : "sklearn");
    node.attributes["categories"] = std::string(rule == CategoryRule::xgboost ? "right" : "left");
    node.constants["category_offset"] = add_constant(out, DType::i32, offset);
    node.constants["category_words"] = add_constant(out, DType::i32, words);
    node.constants["category_bits"] = add_constant(out, DType::u32, bits);
  }
  return add_node(out, std::move(node));
}

// Whether a node reads a column of float32 as float64.
bool widens(const Program& program, const Node& node) {
  if (node.op != "column" || node.type.dtype != DType::f64) return false;
  const int64_t column = NodeReader(program, node).integer("column");
  return program.schema[static_cast<size_t>(column)].type.kind == Kind::float32;
}

// Such columns as a float32 column and a cast: the same numbers.
Program with_casts(const Program& program) {
  ProgramCopy copy(program);
  for (const Node& original : program.nodes) {
    Node node = original;
    const bool cast_after = widens(program, original);
    if (cast_after) node.attributes["dtype"] = std::string("f32");
    const int32_t value = copy.add_moved(std::move(node));
    copy.next_is(cast_after ? cast(copy.program(), original.path, value, DType::f64) : value);
  }
  return copy.finish();
}

Fold fold_forests(const Program& program) {
  const FpEnvironment environment;  // the steps must compute here what they compute in a run
  Fold out;
  Budget budget(kMaxWork);
  const std::vector<bool> small = small_values(program);
  std::map<int32_t, Group> groups;  // by the value that the forests read
  for (size_t i = 0; i < program.nodes.size(); ++i) {
    if (program.nodes[i].op != "trees") continue;
    const int32_t value = program.nodes[i].inputs[0];
    groups.try_emplace(value, program, small, value, budget, out.notes)
        .first->second.add(static_cast<int32_t>(i));
  }
  for (auto group = groups.begin(); group != groups.end();)
    group = group->second.prepare() ? std::next(group) : groups.erase(group);
  out.changed = !groups.empty();
  if (!out.changed) return out;

  ProgramCopy copy(program);
  std::map<int32_t, int32_t> blocks;
  for (size_t i = 0; i < program.nodes.size(); ++i) {
    const Node& node = program.nodes[i];
    const auto group = node.op == "trees" ? groups.find(node.inputs[0]) : groups.end();
    if (group == groups.end()) {
      copy.next_is(copy.add_moved(node));
      continue;
    }
    if (!blocks.contains(group->first))
      blocks[group->first] = group->second.emit_block(copy.program(), copy.moved());
    copy.next_is(group->second.emit_forest(copy.program(), static_cast<int32_t>(i), blocks[group->first]));
  }
  out.program = copy.finish();
  return out;
}

}  // namespace

Fold fold(const Program& program) {
  const auto is_forest = [](const Node& node) { return node.op == "trees"; };
  const auto is_wide = [&](const Node& node) { return widens(program, node); };
  Fold out;
  if (std::ranges::any_of(program.nodes, is_forest)) {
    if (std::ranges::any_of(program.nodes, is_wide)) out = fold_forests(with_casts(program));
    else out = fold_forests(program);
  }
  if (auto dots = fold_dots(out.changed ? out.program : program, out.notes)) {
    out.program = std::move(*dots);
    out.changed = true;
  }
  return out;
}

}  // namespace mlcore

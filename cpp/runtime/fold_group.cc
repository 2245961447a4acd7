#include "runtime/fold_group.h"

#include <algorithm>
#include <cmath>

namespace mlcore {
namespace {

constexpr int64_t kMaxSetWords = int64_t{1} << 22;  // of all category sets of a forest, in 32 bits
// Codes up to which sets of them are small beside the nodes of a forest.
constexpr int32_t kFewCodes = 255;
using Reach = ColumnChain::Reach;

bool is_float(DType type) { return type == DType::f64 || type == DType::f32; }

}  // namespace

bool FoldGroup::prepare() {
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
std::string FoldGroup::look() {
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
std::string FoldGroup::obstacle() const {
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
void FoldGroup::trace() {
  for (const ForestSpec& spec : specs_)
    for (const int32_t column : spec.feature)
      if (column >= 0) features_.try_emplace(column);
  for (auto& [column, feature] : features_)
    feature.chain.emplace(program_, ColumnRef{value_, column}, Reach::codes, budget_);
}

// Lists the kinds of splits of each feature. Splits that are no cuts can only be said of the feature itself,
// or of codes.
void FoldGroup::list_splits() {
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

bool FoldGroup::pays() const {
  const auto saves_steps = [](const auto& entry) {
    const ColumnChain& chain = *entry.second.chain;
    return chain.from_codes() || (!chain.is_same() && chain.text() != "cast");
  };
  const auto is_narrow = [](const auto& entry) { return entry.second.chain->origin_type() == DType::f32; };
  if (std::ranges::any_of(features_, saves_steps)) return true;
  // float32 numbers that were only widened for the forest: keys of half the size
  return specs_[0].block == DType::f64 && !features_.empty() && std::ranges::all_of(features_, is_narrow);
}

void FoldGroup::find_splits() {
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

void FoldGroup::find_splits(Feature& feature) {
  const ColumnChain& chain = *feature.chain;
  const int64_t values = chain.from_codes() ? chain.codes().last + 2 : 64;
  if (budget_.spend(values * static_cast<int64_t>((feature.keys.size() + 1) * (chain.steps() + 1))))
    feature.splits = fold_splits(specs_, chain, feature.keys);
}

// Sets of codes that all are beginnings or ends of the codes become cuts: a rank is cheaper than sets, and
// needs no memory for many codes. Where sets would take much memory, the steps from codes to floats stay.
void FoldGroup::settle_codes() {
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
void FoldGroup::read_checks() {
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
std::vector<int64_t> FoldGroup::unsafe_columns(int32_t value) const {
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
void FoldGroup::read_check(const Node& check, int32_t id) {
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
bool FoldGroup::may_refuse(const Node& one) const {
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
void FoldGroup::number_columns() {
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

void FoldGroup::describe() const {
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

}  // namespace mlcore

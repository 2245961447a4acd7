// What a group of forests becomes: a block of raw numbers and codes, and forests that split on it.
#include <algorithm>
#include <limits>

#include "runtime/fold_group.h"
#include "runtime/fold_nodes.h"

namespace mlcore {

int32_t FoldGroup::emit_block(Program& out, const std::vector<int32_t>& moved) const {
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
    bounded |= numbers.low > -std::numeric_limits<double>::infinity() ||
               numbers.high < std::numeric_limits<double>::infinity() || !numbers.missing;
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

int32_t FoldGroup::emit_forest(Program& out, int32_t id, int32_t block) const {
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

}  // namespace mlcore

#include "ops/trees_spec.h"

#include <vector>

namespace mlcore {
namespace {

constexpr int64_t kMaxNodes = int64_t{1}
                              << 30;  // and words in bitsets: the evaluator's indices are 32 bits wide

template <class T>
std::span<const T> read(const NodeReader& reader, std::string_view name, DType type, int64_t size) {
  return reader.constant(name, type, size).as<T>();
}

CategoryRule category_rule(const NodeReader& reader) {
  if (!reader.has_attribute("category_rule")) return CategoryRule::none;
  const std::string& name = reader.choice("category_rule", {"none", "xgboost", "lightgbm", "sklearn"});
  if (name == "xgboost") return CategoryRule::xgboost;
  if (name == "lightgbm") return CategoryRule::lightgbm;
  return name == "sklearn" ? CategoryRule::sklearn : CategoryRule::none;
}

// The rule says which side a set bit names; the attribute must agree, so that a file means what it says.
void check_category_side(const NodeReader& reader, CategoryRule rule) {
  const std::string_view expected = rule == CategoryRule::none      ? "none"
                                    : rule == CategoryRule::xgboost ? "right"
                                                                    : "left";
  std::string_view found = "none";
  if (reader.has_attribute("categories")) found = reader.choice("categories", {"none", "left", "right"});
  reader.expect(found == expected, "expected attribute 'categories' to be '", expected,
                "' under its category rule but found '", found, "'");
}

template <class... Parts>
void expect_node(const NodeReader& reader, bool condition, size_t tree, size_t node, const Parts&... parts) {
  reader.expect(condition, "tree ", tree, ", node ", node, ": ", parts...);
}

void check_leaf(const NodeReader& reader, const ForestSpec& spec, size_t tree, size_t node, size_t local) {
  expect_node(reader, spec.left[node] == -1 && spec.right[node] == -1, tree, local,
              "expected children -1 and -1 of a leaf but found ", spec.left[node], " and ", spec.right[node]);
  expect_node(reader, spec.leaf_row[node] >= 0 && spec.leaf_row[node] < spec.leaf_rows, tree, local,
              "expected a row of 'leaf_values' below ", spec.leaf_rows, " but found ", spec.leaf_row[node]);
}

// Returns the words of the node's bitset.
int64_t check_category_split(const NodeReader& reader, const ForestSpec& spec, size_t tree, size_t node,
                             size_t local) {
  const int64_t words = spec.category_words[node];
  const int64_t offset = spec.category_offset[node];
  const auto pool = static_cast<int64_t>(spec.category_bits.size());
  expect_node(reader, spec.rule != CategoryRule::none, tree, local,
              "found a category split without a category rule");
  const int64_t sets = spec.rule == CategoryRule::sklearn ? 2 : 1;
  expect_node(reader, words % sets == 0 && words / sets <= kMaxCategory / 32, tree, local,
              "expected at most ", kMaxCategory, " categories in whole words but found ", words, " words");
  expect_node(reader, offset >= 0 && words <= pool && offset <= pool - words, tree, local, "expected ", words,
              " words within the ", pool, " of 'category_bits' but found them at ", offset);
  if (spec.rule != CategoryRule::lightgbm)
    expect_node(reader, spec.missing[node] <= 1, tree, local,
                "expected missing 0 or 1 of a category split but found ",
                static_cast<int>(spec.missing[node]));
  return words;
}

void check_split(const NodeReader& reader, const ForestSpec& spec, size_t tree, size_t node, size_t local,
                 size_t count, std::vector<int32_t>& depth) {
  const int64_t width = reader.input(0).width;
  expect_node(reader, spec.feature[node] < width, tree, local, "expected a feature below ", width,
              " but found ", spec.feature[node]);
  const uint8_t missing = spec.missing[node];
  expect_node(reader, missing <= 2 || missing == 4 || missing == 5, tree, local,
              "expected missing 0, 1, 2, 4 or 5 but found ", static_cast<int>(missing));
  const double threshold =
      spec.threshold_f64.empty() ? static_cast<double>(spec.threshold_f32[node]) : spec.threshold_f64[node];
  expect_node(reader, threshold == threshold, tree, local,
              "expected a threshold that is a number but found nan");
  for (const int32_t child : {spec.left[node], spec.right[node]}) {
    expect_node(reader, child > static_cast<int64_t>(local) && child < static_cast<int64_t>(count), tree,
                local, "expected a child above the node and below ", count, " but found ", child);
    int32_t& child_depth = depth[static_cast<size_t>(child)];
    expect_node(reader, child_depth < 0, tree, local,
                "expected one parent of each node but found a second of node ", child);
    child_depth = depth[local] + 1;
    expect_node(reader, child_depth <= kMaxTreeDepth, tree, local, "expected a depth of at most ",
                kMaxTreeDepth, " but found more");
  }
}

// Children are larger than their parent and nodes are met in order, so a node that no earlier node named has
// no path from the root.
int64_t check_tree(const NodeReader& reader, const ForestSpec& spec, size_t tree,
                   std::vector<int32_t>& depth) {
  const auto first = static_cast<size_t>(spec.tree_offsets[tree]);
  const auto count = static_cast<size_t>(spec.tree_offsets[tree + 1]) - first;
  depth.assign(count, -1);
  depth[0] = 0;
  int64_t words = 0;
  for (size_t local = 0; local < count; ++local) {
    const size_t node = first + local;
    expect_node(reader, depth[local] >= 0, tree, local, "expected one parent of each node but found none");
    expect_node(reader, spec.feature[node] >= -1, tree, local, "expected a feature of -1 or more but found ",
                spec.feature[node]);
    const bool category = !spec.category_words.empty() && spec.category_words[node] != 0;
    if (spec.feature[node] < 0) {
      expect_node(reader, !category, tree, local, "found category words in a leaf");
      check_leaf(reader, spec, tree, node, local);
      continue;
    }
    check_split(reader, spec, tree, node, local, count, depth);
    if (category) {
      expect_node(reader, spec.category_words[node] > 0, tree, local,
                  "expected category words of 0 or more but found ", spec.category_words[node]);
      words += check_category_split(reader, spec, tree, node, local);
    }
  }
  return words;
}

void check_linear(const NodeReader& reader, const ForestSpec& spec) {
  if (spec.linear_offsets.empty()) return;
  const auto terms = static_cast<int64_t>(spec.linear_feature.size());
  reader.expect(spec.linear_offsets.front() == 0 && spec.linear_offsets.back() == terms,
                "expected 'linear_offsets' from 0 to ", terms, " but found ", spec.linear_offsets.front(),
                " to ", spec.linear_offsets.back());
  for (size_t i = 1; i < spec.linear_offsets.size(); ++i)
    reader.expect(spec.linear_offsets[i - 1] <= spec.linear_offsets[i],
                  "expected ascending 'linear_offsets' but found ", spec.linear_offsets[i], " after ",
                  spec.linear_offsets[i - 1]);
  const int64_t width = reader.input(0).width;
  for (const int32_t feature : spec.linear_feature)
    reader.expect(feature >= 0 && feature < width, "expected features of 'linear_feature' in [0, ", width,
                  ") but found ", feature);
}

void read_linear(const NodeReader& reader, ForestSpec& spec) {
  if (!reader.has_constant("linear_offsets")) return;
  reader.expect(spec.leaf == DType::f64 && !spec.vector_leaf,
                "expected f64 scalar 'leaf_values' beside linear leaves but found others");
  if (reader.has_attribute("linear_tiny"))
    spec.linear_drops_tiny = reader.choice("linear_tiny", {"zero", "keep"}) == "zero";
  spec.linear_offsets = read<int64_t>(reader, "linear_offsets", DType::i64, spec.leaf_rows + 1);
  spec.linear_const = read<double>(reader, "linear_const", DType::f64, spec.leaf_rows);
  spec.linear_feature = read<int32_t>(reader, "linear_feature", DType::i32, -1);
  spec.linear_coef =
      read<double>(reader, "linear_coef", DType::f64, static_cast<int64_t>(spec.linear_feature.size()));
}

void read_nodes(const NodeReader& reader, ForestSpec& spec) {
  spec.feature = read<int32_t>(reader, "feature", DType::i32, -1);
  const auto nodes = static_cast<int64_t>(spec.feature.size());
  reader.expect(nodes <= kMaxNodes, "expected at most ", kMaxNodes, " nodes but found ", nodes);
  const Constant& threshold = reader.constant_of("threshold", {spec.block, DType::f64}, nodes);
  if (threshold.type() == DType::f64) spec.threshold_f64 = threshold.as<double>();
  else spec.threshold_f32 = threshold.as<float>();
  spec.left = read<int32_t>(reader, "left", DType::i32, nodes);
  spec.right = read<int32_t>(reader, "right", DType::i32, nodes);
  spec.missing = read<uint8_t>(reader, "missing", DType::u8, nodes);
  spec.leaf_row = read<int32_t>(reader, "leaf", DType::i32, nodes);
  if (reader.has_constant("leaf_id")) spec.leaf_id = read<int32_t>(reader, "leaf_id", DType::i32, nodes);
  const bool categories = reader.has_constant("category_words");
  if (categories) {
    spec.category_words = read<int32_t>(reader, "category_words", DType::i32, nodes);
    spec.category_offset = read<int32_t>(reader, "category_offset", DType::i32, nodes);
    spec.category_bits = read<uint32_t>(reader, "category_bits", DType::u32, -1);
    reader.expect(static_cast<int64_t>(spec.category_bits.size()) <= kMaxNodes, "expected at most ",
                  kMaxNodes, " words in constant 'category_bits' but found ", spec.category_bits.size());
  }
}

void read_leaves(const NodeReader& reader, ForestSpec& spec) {
  const Constant& values = reader.constant_of("leaf_values", {DType::f64, DType::f32});
  spec.leaf = values.type();
  spec.leaf_values = values.bytes().data();
  spec.leaf_rows = values.shape().empty() ? 1 : values.shape()[0];
  if (spec.vector_leaf)
    reader.expect(values.shape().size() == 2 && values.shape()[1] == spec.outputs,
                  "expected constant 'leaf_values' of shape [n, ", spec.outputs, "] but found ",
                  values.shape().size(), " axes and ", values.size(), " elements");
  else
    reader.expect(values.shape().size() == 1, "expected constant 'leaf_values' with 1 axis but found ",
                  values.shape().size());
  spec.base = reader.constant("base", spec.leaf, spec.outputs).bytes().data();
  if (reader.has_constant("divisor")) spec.divisor = reader.constant("divisor", spec.leaf, 1).bytes().data();
}

}  // namespace

ForestSpec read_forest(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::f64, DType::f32});
  ForestSpec spec;
  spec.block = reader.input(0).dtype;
  spec.outputs = reader.integer("outputs");
  reader.expect(spec.outputs >= 1, "expected at least 1 output but found ", spec.outputs);
  spec.strict = reader.choice("compare", {"lt", "le"}) == "lt";
  spec.vector_leaf = reader.flag_or("vector_leaf", false);
  spec.leaf_ids = reader.has_attribute("result") && reader.choice("result", {"sum", "leaf"}) == "leaf";
  spec.rule = category_rule(reader);
  check_category_side(reader, spec.rule);
  spec.tree_offsets = read<int64_t>(reader, "tree_offsets", DType::i64, -1);
  reader.expect(!spec.tree_offsets.empty(),
                "expected at least 1 element in constant 'tree_offsets' but found 0");
  const auto trees = static_cast<int64_t>(spec.tree_offsets.size()) - 1;
  if (!spec.vector_leaf || reader.has_constant("tree_output"))
    spec.tree_output = read<int32_t>(reader, "tree_output", DType::i32, trees);
  read_nodes(reader, spec);
  read_leaves(reader, spec);
  read_linear(reader, spec);
  return spec;
}

void check_forest(const NodeReader& reader, const ForestSpec& spec) {
  const auto nodes = static_cast<int64_t>(spec.feature.size());
  reader.expect(spec.tree_offsets.front() == 0 && spec.tree_offsets.back() == nodes,
                "expected 'tree_offsets' from 0 to ", nodes, " but found ", spec.tree_offsets.front(), " to ",
                spec.tree_offsets.back());
  for (size_t tree = 0; tree + 1 < spec.tree_offsets.size(); ++tree)
    reader.expect(spec.tree_offsets[tree] < spec.tree_offsets[tree + 1],
                  "expected ascending 'tree_offsets' but found ", spec.tree_offsets[tree + 1], " after ",
                  spec.tree_offsets[tree]);
  for (const int32_t output : spec.tree_output)
    reader.expect(output >= 0 && output < spec.outputs, "expected 'tree_output' in [0, ", spec.outputs,
                  ") but found ", output);
  std::vector<int32_t> depth;
  int64_t words = 0;
  for (size_t tree = 0; tree + 1 < spec.tree_offsets.size(); ++tree)
    words += check_tree(reader, spec, tree, depth);
  reader.expect(words <= static_cast<int64_t>(spec.category_bits.size()),
                "expected bitsets of their own in the ", spec.category_bits.size(),
                " words of 'category_bits' but found ", words, " words in use");
  check_linear(reader, spec);
}

}  // namespace mlcore

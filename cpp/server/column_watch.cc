#include "server/column_watch.h"

#include <algorithm>
#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <limits>

#include "base/status.h"
#include "runtime/decode.h"
#include "server/json.h"

namespace mlcore::server {
namespace {

constexpr int64_t kPiece = 64;          // rows at a time
constexpr int64_t kPieces = 4;          // of a request that are looked at
constexpr int64_t kMostKeys = 1 << 16;  // a set of more would be much of the model's own size
constexpr std::string_view kRanges = "ranges";
constexpr size_t kRangesDepth = 4;

void add_keys(const Constant& keys, ColumnWatch::Column& column) {
  if (keys.size() > kMostKeys) return;
  column.has_keys = true;
  for (int64_t key = 0; key < keys.size(); ++key) {
    if (keys.type() == DType::str) column.texts.insert(keys.string_at(key));
    else if (keys.type() == DType::i64)
      column.numbers.insert(static_cast<double>(keys.as<int64_t>()[static_cast<size_t>(key)]));
    else column.numbers.insert(keys.as<double>()[static_cast<size_t>(key)] + 0.0);
  }
}

}  // namespace

ColumnWatch::ColumnWatch(const Model& model) : model_(model) {
  for (size_t i = 0; i < model.used_columns().size(); ++i)
    if (model.used_columns()[i]) columns_.emplace_back().index = i;
  read_keys();
  read_ranges();
}

const std::string& ColumnWatch::name_of(const Column& column) const {
  return model_.program().schema[column.index].name;
}

// The keys of the encoders that read a column, directly or with its gaps filled.
void ColumnWatch::read_keys() {
  const Program& program = model_.program();
  std::vector<Column*> by_index(program.schema.size());
  for (Column& column : columns_) by_index[column.index] = &column;
  std::vector<Column*> of(program.nodes.size());  // what a node has the values of
  for (size_t i = 0; i < program.nodes.size(); ++i) {
    const Node& node = program.nodes[i];
    if (node.op == "column")
      of[i] = by_index[static_cast<size_t>(std::get<int64_t>(node.attributes.at("column")))];
    Column* const column = node.inputs.size() == 1 ? of[static_cast<size_t>(node.inputs.front())] : nullptr;
    if (!column) continue;
    if (node.op == "fill") of[i] = column;
    if (node.op == "encode") add_keys(program.constant(node, "keys"), *column);
  }
}

// {"column": [least, most], ...}
void ColumnWatch::read_ranges() {
  const auto& provenance = model_.program().provenance;
  const auto found = provenance.find(std::string(kRanges));
  if (found == provenance.end()) return;
  try {
    Json json(kRangesDepth);
    boost::unordered_flat_map<std::string_view, Column*> by_name;
    for (Column& column : columns_) by_name.emplace(name_of(column), &column);
    const JsonRef ranges = json.parse(found->second);
    require(ranges.is(JsonKind::object), ErrorCode::artifact, "another form");
    for_members(ranges, [&](std::string_view name, JsonRef range) {
      std::array<double, 2> ends{};
      require(range.is(JsonKind::array) && range->size == ends.size(), ErrorCode::artifact, "another form");
      for_elements(range, [&](uint32_t i, JsonRef end) {
        require(end.is(JsonKind::number), ErrorCode::artifact, "another form");
        ends[i] = end->number;
      });
      const auto column = by_name.find(name);
      if (column == by_name.end()) return;
      column->second->has_range = true;
      column->second->least = ends[0];
      column->second->most = ends[1];
    });
  } catch (const std::exception&) {
    fail(ErrorCode::artifact,
         "expected ranges of columns as {\"name\": [least, most]} but found another form");
  }
}

void ColumnWatch::look(const Batch& batch) {
  const int64_t rows = batch.rows();
  const int64_t pieces = std::min(kPieces, (rows + kPiece - 1) / kPiece);
  int64_t seen = 0;
  for (int64_t piece = 0; piece < pieces; ++piece) {
    const int64_t first = rows * piece / pieces;
    const int64_t count = std::min(kPiece, rows * (piece + 1) / pieces - first);
    seen += count;
    for (Column& column : columns_) {
      try {
        look(column, batch.column(column.index), first, count);
      } catch (const Error&) {
        // what the outputs that were asked for do not read may be what the model refuses
      }
    }
  }
  rows_.fetch_add(static_cast<uint64_t>(seen), std::memory_order_relaxed);
}

void ColumnWatch::look(Column& column, const ColumnView& values, int64_t first, int64_t count) const {
  const ColumnSpec& spec = model_.program().schema[column.index];
  uint64_t missing = 0, unseen = 0, outside = 0;
  if (spec.type.kind == Kind::string) {
    std::array<StringRef, kPiece> texts;
    decode(spec, values, first, count, DType::str, texts.data());
    for (const StringRef& text : std::span(texts).first(static_cast<size_t>(count))) {
      if (!text.data) ++missing;
      else if (column.has_keys && !column.texts.contains({text.data, static_cast<size_t>(text.size)}))
        ++unseen;
    }
  } else {
    std::array<double, kPiece> numbers;
    decode(spec, values, first, count, DType::f64, numbers.data());
    for (const double number : std::span(numbers).first(static_cast<size_t>(count))) {
      if (number != number) {
        ++missing;
        continue;
      }
      if (column.has_keys && !column.numbers.contains(number + 0.0)) ++unseen;
      if (column.has_range && !(number >= column.least && number <= column.most)) ++outside;
    }
  }
  // mostly nothing: loops that count share these
  if (missing) column.missing.fetch_add(missing, std::memory_order_relaxed);
  if (unseen) column.unseen.fetch_add(unseen, std::memory_order_relaxed);
  if (outside) column.outside.fetch_add(outside, std::memory_order_relaxed);
}

}  // namespace mlcore::server

#include "server/column_watch.h"

#include <algorithm>
#include <array>
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

}  // namespace

ColumnWatch::ColumnWatch(const Model& model) : model_(model) {
  const Program& program = model.program();
  for (size_t i = 0; i < program.schema.size(); ++i) {
    if (!model.used_columns()[i]) continue;
    Column& column = columns_.emplace_back();
    column.index = i;
    for (size_t node = 0; node < program.nodes.size(); ++node) {
      const Node& one = program.nodes[node];
      if (one.op == "column" && std::get<int64_t>(one.attributes.at("column")) == static_cast<int64_t>(i))
        read_keys(node, column);
    }
  }
  read_ranges();
}

const std::string& ColumnWatch::name_of(const Column& column) const {
  return model_.program().schema[column.index].name;
}

// The keys of the encoders that read `node`, directly or with its gaps filled.
void ColumnWatch::read_keys(size_t node, Column& column) const {
  const Program& program = model_.program();
  for (size_t i = node + 1; i < program.nodes.size(); ++i) {
    const Node& reader = program.nodes[i];
    if (reader.inputs.size() != 1 || reader.inputs.front() != static_cast<int32_t>(node)) continue;
    if (reader.op == "fill") read_keys(i, column);
    if (reader.op != "encode") continue;
    const Constant& keys = program.constant(reader, "keys");
    if (keys.size() > kMostKeys) continue;
    column.has_keys = true;
    for (int64_t key = 0; key < keys.size(); ++key) {
      if (keys.type() == DType::str) column.texts.insert(keys.string_at(key));
      else if (keys.type() == DType::i64)
        column.numbers.insert(static_cast<double>(keys.as<int64_t>()[static_cast<size_t>(key)]));
      else column.numbers.insert(keys.as<double>()[static_cast<size_t>(key)] + 0.0);
    }
  }
}

// {"column": [least, most], ...}
void ColumnWatch::read_ranges() {
  const auto& provenance = model_.program().provenance;
  const auto found = provenance.find(std::string(kRanges));
  if (found == provenance.end()) return;
  try {
    Json json(kRangesDepth);
    const JsonRef ranges = json.parse(found->second);
    for (Column& column : columns_) {
      const JsonRef range = find(ranges, name_of(column));
      if (!range) continue;
      std::array<double, 2> ends{};
      require(range.is(JsonKind::array) && range->size == ends.size(), ErrorCode::artifact, "another form");
      for_elements(range, [&](uint32_t i, JsonRef end) {
        require(end.is(JsonKind::number), ErrorCode::artifact, "another form");
        ends[i] = end->number;
      });
      column.has_range = true;
      column.least = ends[0];
      column.most = ends[1];
    }
  } catch (const std::exception&) {
    fail(ErrorCode::artifact,
         "expected ranges of columns as {\"name\": [least, most]} but found another form");
  }
}

void ColumnWatch::look(const Batch& batch) {
  const std::vector<ColumnSpec>& schema = model_.program().schema;
  const int64_t rows = batch.rows();
  const int64_t pieces = std::min(kPieces, (rows + kPiece - 1) / kPiece);
  int64_t seen = 0;
  for (int64_t piece = 0; piece < pieces; ++piece) {
    const int64_t first = rows * piece / pieces;
    const int64_t count = std::min(kPiece, rows * (piece + 1) / pieces - first);
    seen += count;
    for (Column& column : columns_) {
      const std::string& name = schema[column.index].name;
      size_t at = column.index;  // where most batches have it
      if (at >= batch.column_count() || batch.names()[at] != name)
        at = static_cast<size_t>(std::ranges::find(batch.names(), name) - batch.names().begin());
      if (at < batch.column_count()) look(column, batch.column(at), first, count);
    }
  }
  rows_.fetch_add(static_cast<uint64_t>(seen), std::memory_order_relaxed);
}

void ColumnWatch::look(Column& column, const ColumnView& values, int64_t first, int64_t count) {
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

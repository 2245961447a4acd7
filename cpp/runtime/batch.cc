#include "runtime/batch.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace mlcore {

std::string text(const ColumnName& column) { return "column " + quoted(column.name); }

std::string found_type(const ColumnView& column) {
  if (column.storage == Storage::unsupported) return column.problem;
  std::string name;
  if (column.storage == Storage::decimal) {
    name =
        "decimal" + text(8 * column.width) + "(" + text(column.precision) + ", " + text(column.scale) + ")";
  } else if (column.storage == Storage::none) {
    name = "null";
  } else {
    name = name_of(column.type);
  }
  if (!column.dictionary) return name;
  // a dictionary of decimals keeps its width and scale in the values
  return "dictionary of " +
         (column.dictionary->storage == Storage::decimal ? found_type(*column.dictionary) : name);
}

ColumnView slice(const ColumnView& column, int64_t first, int64_t length) {
  require(first >= 0 && length >= 0 && first <= column.length - length, ErrorCode::input,
          "expected a slice of ", column.length, " rows but found rows ", first, " to ", first + length);
  ColumnView out = column;
  out.offset += first;
  out.first_row += first;
  out.length = length;
  return out;
}

Batch::Batch(int64_t rows, Names names, std::vector<ColumnView> columns, std::vector<KeepAlive> keep_alive)
    : rows_(rows),
      names_(std::move(names)),
      columns_(std::move(columns)),
      keep_alive_(std::move(keep_alive)) {
  require(rows_ >= 0, ErrorCode::input, "expected a row count of at least 0 but found ", rows_);
  require(names_ && names_->size() == columns_.size(), ErrorCode::input, "expected a name for each of ",
          columns_.size(), " columns but found ", names_ ? names_->size() : 0);
  for (size_t i = 0; i < columns_.size(); ++i)
    require(columns_[i].length == rows_, ErrorCode::input, ColumnName{(*names_)[i]}, ": expected ", rows_,
            " rows but found ", columns_[i].length);
}

std::vector<Batch> align_chunks(std::vector<ChunkedColumn> columns, int64_t rows) {
  std::vector<std::string> names;
  std::vector<KeepAlive> keep_alive;
  std::vector<int64_t> cuts;  // rows at which some column starts a new piece, and the end
  for (ChunkedColumn& column : columns) {
    int64_t length = 0;
    for (const ColumnView& chunk : column.chunks) {
      length += chunk.length;
      cuts.push_back(length);
    }
    if (rows < 0) rows = length;
    require(length == rows, ErrorCode::input, ColumnName{column.name}, ": expected ", rows,
            " rows but found ", length);
    // an empty column without pieces still has a type to be checked, which only its producer knows
    require(!column.chunks.empty(), ErrorCode::input, ColumnName{column.name},
            ": expected at least one piece but found none");
    names.push_back(std::move(column.name));
    keep_alive.insert(keep_alive.end(), std::make_move_iterator(column.keep_alive.begin()),
                      std::make_move_iterator(column.keep_alive.end()));
  }
  rows = std::max<int64_t>(rows, 0);
  if (columns.empty()) cuts.push_back(rows);
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  if (cuts.size() > 1 && cuts.front() == 0) cuts.erase(cuts.begin());

  const auto shared_names = std::make_shared<const std::vector<std::string>>(std::move(names));
  std::vector<Batch> out;
  std::vector<size_t> piece(columns.size());      // per column: the piece that holds row `start`
  std::vector<int64_t> consumed(columns.size());  // rows of that piece already handed out
  int64_t start = 0;
  for (int64_t end : cuts) {
    std::vector<ColumnView> views;
    for (size_t i = 0; i < columns.size(); ++i) {
      const std::vector<ColumnView>& chunks = columns[i].chunks;
      while (piece[i] + 1 < chunks.size() && consumed[i] == chunks[piece[i]].length) {
        ++piece[i];
        consumed[i] = 0;
      }
      views.push_back(slice(chunks[piece[i]], consumed[i], end - start));
      views.back().first_row = start;
      consumed[i] += end - start;
    }
    out.emplace_back(end - start, shared_names, std::move(views), keep_alive);
    start = end;
  }
  return out;
}

}  // namespace mlcore

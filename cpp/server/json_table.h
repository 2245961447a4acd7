// Rows and columns of JSON as a table for a model. The one place that says which JSON value a column takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/batch.h"
#include "server/json.h"
#include "server/served.h"

namespace mlcore::server {

// A JSON value in the plain layout of a type at `out`; for text, a StringRef into the document. Gives 0 for
// what is there, else 1 + MissingKind; nothing when the type does not take the value.
std::optional<uint8_t> put_json(const JsonValue& value, const ColumnSpec& spec, std::byte* out);

class JsonTable {
 public:
  // The texts of a table stay in the document it was read from. All throw ErrorCode::input, which names row
  // and column, what was expected and the kind of what was found, and HttpError for too many rows.
  //
  // `records`: a list of objects, keyed by column. `columns`: an object of lists of one length. `split`: a
  // list of names, and a list of lists of values. `instances`: objects, or lists of values in the order of
  // the schema, or bare values of the only column.
  Batch records(const Served& served, JsonRef list, int64_t max_rows);
  Batch columns(const Served& served, JsonRef object, int64_t max_rows);
  Batch split(const Served& served, JsonRef names, JsonRef data, int64_t max_rows);
  Batch instances(const Served& served, JsonRef list, int64_t max_rows);

  // Gives back what is more than an ordinary table needs.
  void trim();

 private:
  struct Column {
    std::vector<std::byte> values;
    std::vector<uint8_t> kinds;
    uint32_t width = 0;
    uint32_t sent = 0;  // row in which it was seen last, from 1 on
    bool gaps = false;
  };

  void begin(const Served& served);
  void need(int64_t rows);
  uint32_t column_named(std::string_view name, uint32_t hint) const;
  void put(uint32_t column, int64_t row, const JsonValue& value);
  void record(int64_t row, JsonRef object);
  void positions(int64_t row, JsonRef list, const std::vector<uint32_t>& order);
  void refuse_unsent(std::string_view what, const std::vector<bool>& sent) const;
  Batch finish(int64_t rows);

  const Served* served_ = nullptr;
  std::vector<Column> columns_;
  int64_t room_ = 0;   // rows that the columns have memory for
  size_t needed_ = 0;  // columns that the model reads
};

}  // namespace mlcore::server

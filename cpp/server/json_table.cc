#include "server/json_table.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>

#include "base/release.h"
#include "base/status.h"
#include "runtime/row.h"
#include "server/http.h"
#include "server/iso_time.h"

namespace mlcore::server {
namespace {

constexpr uint32_t kNoColumn = std::numeric_limits<uint32_t>::max();
constexpr int64_t kKeptRows = 1024;
constexpr double kWhole = 9007199254740992;  // 2^53: up to here a number says which integer it means

template <class T>
void store(std::byte* out, T value) {
  std::memcpy(out, &value, sizeof value);
}

bool is_float(Kind kind) { return kind == Kind::float64 || kind == Kind::float32 || kind == Kind::float16; }
bool is_time(Kind kind) { return kind == Kind::date32 || kind == Kind::date64 || kind == Kind::timestamp; }

std::optional<double> number_word(std::string_view word) {
  if (word == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (word == "Infinity") return std::numeric_limits<double>::infinity();
  if (word == "-Infinity") return -std::numeric_limits<double>::infinity();
  return {};
}

// Whoever reads without asking for kinds finds NaN, zero or no text.
uint8_t missing(MissingKind kind, Kind type, std::byte* out) {
  put_missing(kind, type, out);
  return static_cast<uint8_t>(1 + kind);
}

std::optional<uint8_t> put_double(double number, Kind kind, std::byte* out) {
  if (!is_float(kind)) {
    const bool whole = number == std::floor(number) && std::abs(number) <= kWhole;
    return whole && put_number(static_cast<int64_t>(number), kind, out) ? std::optional<uint8_t>(0)
                                                                        : std::nullopt;
  }
  if (std::isnan(number)) return missing(kNaN, kind, out);
  if (kind == Kind::float32) {  // the nearest; a decimal has no type of its own
    const auto nearest = static_cast<float>(number);
    if (std::isinf(nearest) && !std::isinf(number)) return {};
    store(out, nearest);
    return 0;
  }
  return put_number(number, kind, out) ? std::optional<uint8_t>(0) : std::nullopt;
}

std::optional<uint8_t> put_text(std::string_view text, const LogicalType& type, std::byte* out) {
  if (type.kind == Kind::string) {
    store(out, StringRef{text.data(), static_cast<int64_t>(text.size())});
    return 0;
  }
  if (is_float(type.kind)) {
    const std::optional<double> number = number_word(text);
    return number ? put_double(*number, type.kind, out) : std::nullopt;
  }
  if (!is_time(type.kind)) return {};
  const std::optional<int64_t> ticks = ticks_of(text, type);
  if (!ticks) return {};
  if (type.kind != Kind::date32) store(out, *ticks);
  else store(out, static_cast<int32_t>(*ticks));
  return 0;
}

// What a client may send, in words.
std::string wanted(const LogicalType& type) {
  if (type.kind == Kind::date32 || type.kind == Kind::date64) return name_of(type) + " as \"2024-05-01\"";
  if (type.kind == Kind::timestamp)
    return name_of(type) + " as \"2024-05-01T12:30:00" + (type.timezone.empty() ? "\"" : "+02:00\"");
  return name_of(type);
}

}  // namespace

std::optional<uint8_t> put_json(const JsonValue& value, const ColumnSpec& spec, std::byte* out) {
  const Kind kind = spec.type.kind;
  const bool numbers = kind != Kind::string && kind != Kind::boolean && !is_time(kind);
  const auto taken = [](bool fits) { return fits ? std::optional<uint8_t>(0) : std::nullopt; };
  switch (value.kind) {
    case JsonKind::null: return missing(spec.distinguishes_missing ? kNone : kNull, kind, out);
    case JsonKind::boolean:
      if (kind == Kind::boolean) store(out, static_cast<uint8_t>(value.boolean));
      return taken(kind == Kind::boolean);
    case JsonKind::integer: return taken(numbers && put_number(value.integer, kind, out));
    case JsonKind::unsigned_integer: return taken(numbers && put_number(value.unsigned_integer, kind, out));
    case JsonKind::number: return numbers ? put_double(value.number, kind, out) : std::nullopt;
    case JsonKind::string: return put_text(value.text(), spec.type, out);
    case JsonKind::array:
    case JsonKind::object: break;
  }
  return {};
}

void JsonTable::begin(const Served& served) {
  served_ = &served;
  needed_ = static_cast<size_t>(std::ranges::count(served.model->used_columns(), true));
  const std::vector<ColumnSpec>& schema = served.model->program().schema;
  columns_.resize(schema.size());
  for (size_t i = 0; i < schema.size(); ++i) {
    Column& column = columns_[i];
    column.width = plain_layout(schema[i].type.kind).width;
    column.sent = 0;
    column.gaps = false;
  }
  room_ = 0;
}

// Grows with the rows that are there, never ahead of them: what a body announces costs nothing.
void JsonTable::need(int64_t rows) {
  if (rows <= room_) return;
  room_ = std::max<int64_t>(rows, 2 * room_);
  for (Column& column : columns_) {
    column.values.resize(static_cast<size_t>(room_) * column.width);
    column.kinds.resize(static_cast<size_t>(room_));
  }
}

uint32_t JsonTable::column_named(std::string_view name, uint32_t hint) const {
  const std::vector<ColumnSpec>& schema = served_->model->program().schema;
  if (hint < schema.size() && schema[hint].name == name) return hint;
  const auto found = served_->columns.find(name);
  return found == served_->columns.end() ? kNoColumn : found->second;
}

void JsonTable::put(uint32_t index, int64_t row, const JsonValue& value) {
  Column& column = columns_[index];
  column.sent = static_cast<uint32_t>(row) + 1;
  const ColumnSpec& spec = served_->model->program().schema[index];
  if (!served_->model->used_columns()[index]) return;
  const std::optional<uint8_t> kind =
      put_json(value, spec, column.values.data() + static_cast<size_t>(row) * column.width);
  if (!kind)
    fail(ErrorCode::input, "row ", row, ", column ", quoted(spec.name), ": expected ", wanted(spec.type),
         " but found ", name_of(value.kind),
         value.kind == JsonKind::array || value.kind == JsonKind::object ? "" : " that it does not hold");
  column.kinds[static_cast<size_t>(row)] = *kind;
  column.gaps |= *kind != 0;
}

// Names every column that the model reads and `sent` does not have.
void JsonTable::refuse_unsent(std::string_view what, const std::vector<bool>& sent) const {
  const std::vector<ColumnSpec>& schema = served_->model->program().schema;
  std::string names;
  for (size_t i = 0; i < schema.size(); ++i)
    if (served_->model->used_columns()[i] && !sent[i])
      names += (names.empty() ? "" : ", ") + quoted(schema[i].name);
  require(names.empty(), ErrorCode::input, what, ": expected values, or null, for column ", names,
          " but found none");
}

void JsonTable::record(int64_t row, JsonRef object) {
  require(object.is(JsonKind::object), ErrorCode::input, "row ", row,
          ": expected an object of column to value but found ", name_of(object->kind));
  uint32_t hint = 0;
  size_t used = 0;
  for_members(object, [&](std::string_view name, JsonRef value) {
    const uint32_t column = column_named(name, hint);
    if (column == kNoColumn)  // no message before it is needed: this runs for every value
      fail(ErrorCode::input, "row ", row, ": expected a column of the model but found ", quoted(name));
    put(column, row, *value);
    used += served_->model->used_columns()[column] ? 1 : 0;
    hint = column + 1;
  });
  if (used != needed_) {
    std::vector<bool> sent;
    for (const Column& column : columns_) sent.push_back(column.sent == static_cast<uint32_t>(row) + 1);
    refuse_unsent("row " + text(row), sent);
  }
}

void JsonTable::positions(int64_t row, JsonRef list, const std::vector<uint32_t>& order) {
  require(list.is(JsonKind::array) && list->size == order.size(), ErrorCode::input, "row ", row,
          ": expected a list of ", order.size(), " values but found ",
          list.is(JsonKind::array) ? text(size_t{list->size}) : std::string(name_of(list->kind)));
  for_elements(list, [&](uint32_t i, JsonRef value) { put(order[i], row, *value); });
}

namespace {

int64_t rows_of(JsonRef list, int64_t max_rows, std::string_view what) {
  require(list.is(JsonKind::array), ErrorCode::input, what, ": expected a list but found ",
          name_of(list->kind));
  if (list->size > max_rows)
    throw HttpError(413, std::string(what) + ": expected at most " + text(max_rows) + " rows but found " +
                             text(size_t{list->size}));
  return list->size;
}

}  // namespace

Batch JsonTable::records(const Served& served, JsonRef list, int64_t max_rows) {
  begin(served);
  const int64_t rows = rows_of(list, max_rows, "rows");
  for_elements(list, [&](uint32_t row, JsonRef object) {
    need(int64_t{row} + 1);
    record(row, object);
  });
  return finish(rows);
}

Batch JsonTable::columns(const Served& served, JsonRef object, int64_t max_rows) {
  begin(served);
  require(object.is(JsonKind::object), ErrorCode::input,
          "inputs: expected an object of column to list but found ", name_of(object->kind));
  int64_t rows = -1;
  std::vector<bool> sent(columns_.size());
  for_members(object, [&](std::string_view name, JsonRef values) {
    const uint32_t column = column_named(name, 0);
    require(column != kNoColumn, ErrorCode::input, "inputs: expected a column of the model but found ",
            quoted(name));
    const int64_t count = rows_of(values, max_rows, "inputs, column " + quoted(name));
    if (rows < 0) rows = count;
    require(rows == count, ErrorCode::input, "inputs, column ", quoted(name), ": expected ", rows,
            " values, as in the first column, but found ", count);
    // memory for one column at a time; `need` is for all
    room_ = std::max(room_, rows);
    Column& memory = columns_[column];
    memory.values.resize(static_cast<size_t>(rows) * memory.width);
    memory.kinds.resize(static_cast<size_t>(rows));
    sent[column] = true;
    for_elements(values, [&](uint32_t row, JsonRef value) { put(column, row, *value); });
  });
  refuse_unsent("inputs", sent);
  return finish(std::max<int64_t>(rows, 0));
}

Batch JsonTable::split(const Served& served, JsonRef names, JsonRef data, int64_t max_rows) {
  begin(served);
  rows_of(names, std::numeric_limits<int64_t>::max(), "columns");
  std::vector<uint32_t> order;
  std::vector<bool> sent(columns_.size());
  for_elements(names, [&](uint32_t, JsonRef name) {
    require(name.is(JsonKind::string), ErrorCode::input, "columns: expected names but found ",
            name_of(name->kind));
    const uint32_t column = column_named(name->text(), static_cast<uint32_t>(order.size()));
    require(column != kNoColumn && !sent[column], ErrorCode::input,
            "columns: expected a column of the model, once, but found ", quoted(name->text()));
    sent[column] = true;
    order.push_back(column);
  });
  refuse_unsent("columns", sent);
  const int64_t rows = rows_of(data, max_rows, "data");
  for_elements(data, [&](uint32_t row, JsonRef values) {
    need(int64_t{row} + 1);
    positions(row, values, order);
  });
  return finish(rows);
}

Batch JsonTable::instances(const Served& served, JsonRef list, int64_t max_rows) {
  const int64_t rows = rows_of(list, max_rows, "instances");
  if (rows == 0 || list.first().is(JsonKind::object)) return records(served, list, max_rows);
  begin(served);
  std::vector<uint32_t> order(columns_.size());
  std::iota(order.begin(), order.end(), 0u);
  for_elements(list, [&](uint32_t row, JsonRef values) {
    need(int64_t{row} + 1);
    if (order.size() == 1 && !values.is(JsonKind::array)) put(0, row, *values);
    else positions(row, values, order);
  });
  return finish(rows);
}

Batch JsonTable::finish(int64_t rows) {
  const Program& program = served_->model->program();
  std::vector<ColumnView> views(columns_.size());
  for (size_t i = 0; i < columns_.size(); ++i) {
    views[i].length = rows;
    if (!served_->model->used_columns()[i]) continue;
    const PlainLayout layout = plain_layout(program.schema[i].type.kind);
    views[i].storage = layout.storage;
    views[i].type = program.schema[i].type;
    views[i].stride = layout.width;
    views[i].data = columns_[i].values.data();
    views[i].trusted = true;  // the parser has looked at the UTF-8
    if (columns_[i].gaps) views[i].kinds = columns_[i].kinds.data();
  }
  return Batch(rows, served_->column_names, std::move(views), {});
}

void JsonTable::trim() {
  if (room_ <= kKeptRows) return;
  release(columns_);
}

}  // namespace mlcore::server

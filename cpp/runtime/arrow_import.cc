#include "runtime/arrow_import.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/status.h"
#include "runtime/arrow_layout.h"

namespace mlcore {
namespace {

// Owners: moved out of the caller's struct, released exactly once.
struct OwnedSchema {
  ArrowSchema value{};
  explicit OwnedSchema(ArrowSchema* source) : value(*source) { source->release = nullptr; }
  OwnedSchema() = default;
  OwnedSchema(OwnedSchema&& other) noexcept : value(other.value) { other.value.release = nullptr; }
  OwnedSchema& operator=(OwnedSchema&&) = delete;
  ~OwnedSchema() {
    if (value.release) value.release(&value);
  }
};

struct OwnedArray {
  ArrowArray value{};
  explicit OwnedArray(ArrowArray* source) : value(*source) { source->release = nullptr; }
  OwnedArray() = default;
  OwnedArray(OwnedArray&& other) noexcept : value(other.value) { other.value.release = nullptr; }
  OwnedArray& operator=(OwnedArray&&) = delete;
  ~OwnedArray() {
    if (value.release) value.release(&value);
  }
};

struct OwnedStream {
  ArrowArrayStream value{};
  explicit OwnedStream(ArrowArrayStream* source) : value(*source) { source->release = nullptr; }
  OwnedStream(const OwnedStream&) = delete;
  OwnedStream& operator=(const OwnedStream&) = delete;
  ~OwnedStream() {
    if (value.release) value.release(&value);
  }

  void check(int code, std::string_view action) {
    if (code == 0) return;
    const char* detail = value.get_last_error ? value.get_last_error(&value) : nullptr;
    fail(ErrorCode::input, "Arrow stream: expected ", action,
         " but the producer failed: ", detail ? std::string(detail) : std::string(std::strerror(code)));
  }

  OwnedSchema schema() {
    require(value.release && value.get_schema && value.get_next, ErrorCode::input,
            "Arrow stream: expected an open stream but found a released one");
    OwnedSchema out;
    check(value.get_schema(&value, &out.value), "a schema");
    require(out.value.release != nullptr, ErrorCode::input, "Arrow stream: expected a schema but found none");
    return out;
  }

  OwnedArray next() {
    OwnedArray out;
    check(value.get_next(&value, &out.value), "a batch");
    return out;
  }
};

// The columns of a table's schema. Owns the schema, whose strings the layouts borrow.
struct TableLayout {
  OwnedSchema schema;
  Names names;
  std::vector<ArrowLayout> columns;

  explicit TableLayout(OwnedSchema source) : schema(std::move(source)) {
    const ArrowSchema& top = schema.value;
    const std::string_view format = top.format ? top.format : "";
    require(format == "+s", ErrorCode::input, "Arrow: expected a table (struct) but found ",
            top.format ? arrow_type_name(format) : std::string("no format"));
    require(top.n_children >= 0 && (top.n_children == 0 || top.children), ErrorCode::input,
            "Arrow: expected the columns of a table but found ", top.n_children, " with a null pointer");
    std::vector<std::string> list;
    for (int64_t i = 0; i < top.n_children; ++i) {
      const ArrowSchema* child = top.children[i];
      require(child && child->release, ErrorCode::input, "Arrow: expected column ", i,
              " but found a released schema");
      list.emplace_back(child->name ? child->name : "");
      columns.push_back(arrow_layout(*child, list.back()));
    }
    names = std::make_shared<const std::vector<std::string>>(std::move(list));
  }

  Batch batch(OwnedArray source, Validation level, int64_t first_row) const {
    auto owner = std::make_shared<const OwnedArray>(std::move(source));
    const ArrowArray& top = owner->value;
    check_lengths(top, "table");
    require(top.n_buffers == 1 && top.buffers, ErrorCode::input, "Arrow table: expected 1 buffer but found ",
            top.n_buffers);
    require(top.n_children == static_cast<int64_t>(columns.size()) && (columns.empty() || top.children),
            ErrorCode::input, "Arrow table: expected ", columns.size(), " columns but found ",
            top.n_children);
    const auto* validity = static_cast<const uint8_t*>(top.buffers[0]);
    require(top.null_count <= 0 || validity, ErrorCode::input, "Arrow table: expected a bitmap for ",
            top.null_count, " nulls but found none");
    require(level != Validation::elsewhere || !validity || top.null_count == 0, ErrorCode::input,
            "Arrow table: expected no bitmap of whole rows in a device's memory but found one");
    if (validity && top.null_count != 0)
      for (int64_t i = 0; i < top.length; ++i)
        require(((validity[(top.offset + i) >> 3] >> ((top.offset + i) & 7)) & 1) != 0, ErrorCode::input,
                "Arrow table: expected rows but found that row ", i, " is null as a whole");
    std::vector<ColumnView> views;
    std::vector<KeepAlive> keep_alive{owner};
    for (size_t i = 0; i < columns.size(); ++i) {
      const ArrowArray* child = top.children[i];
      require(child && child->release, ErrorCode::input, "Arrow: expected an array for ",
              ColumnName{(*names)[i]}, " but found a released one");
      const ColumnView view = arrow_view(columns[i], *child, (*names)[i], level, keep_alive);
      require(view.length >= top.offset + top.length, ErrorCode::input, ColumnName{(*names)[i]},
              ": expected ", top.offset + top.length, " rows but found ", view.length);
      views.push_back(slice(view, top.offset, top.length));
      views.back().first_row = first_row;
    }
    return Batch(top.length, names, std::move(views), std::move(keep_alive));
  }

  Batch empty() const {
    std::vector<ColumnView> views;
    std::vector<KeepAlive> keep_alive;
    for (const ArrowLayout& column : columns) views.push_back(empty_view(column, keep_alive));
    return Batch(0, names, std::move(views), std::move(keep_alive));
  }
};

void add_chunk(ChunkedColumn& column, const ArrowLayout& layout, OwnedArray array, MissingKind missing_kind,
               Validation level) {
  auto owner = std::make_shared<const OwnedArray>(std::move(array));
  column.keep_alive.push_back(owner);
  column.chunks.push_back(arrow_view(layout, owner->value, column.name, level, column.keep_alive));
  column.chunks.back().missing_kind = missing_kind;
}

}  // namespace

std::optional<Validation> validation_named(std::string_view name) {
  if (name == "none") return Validation::none;
  if (name == "default") return Validation::standard;
  if (name == "full") return Validation::full;
  return std::nullopt;
}

Batch import_batch(ArrowSchema* schema, ArrowArray* array, Validation level, int64_t first_row) {
  OwnedSchema owned_schema(schema);
  OwnedArray owned_array(array);
  require(owned_schema.value.release && owned_array.value.release, ErrorCode::input,
          "Arrow: expected a schema and an array but found released ones");
  return TableLayout(std::move(owned_schema)).batch(std::move(owned_array), level, first_row);
}

Batch empty_batch(ArrowSchema* schema) {
  OwnedSchema owned(schema);
  require(owned.value.release, ErrorCode::input, "Arrow: expected a schema but found a released one");
  return TableLayout(std::move(owned)).empty();
}

struct ArrowReader::State {
  OwnedStream stream;
  Validation level;
  TableLayout layout;
  int64_t rows = 0;  // handed out so far
  bool ended = false;

  State(ArrowArrayStream* source, Validation validation)
      : stream(source), level(validation), layout(stream.schema()) {}
};

ArrowReader::ArrowReader(ArrowArrayStream* stream, Validation level)
    : state_(std::make_unique<State>(stream, level)) {}
ArrowReader::~ArrowReader() = default;
ArrowReader::ArrowReader(ArrowReader&&) noexcept = default;
ArrowReader& ArrowReader::operator=(ArrowReader&&) noexcept = default;

std::span<const std::string> ArrowReader::names() const { return *state_->layout.names; }

std::optional<Batch> ArrowReader::next() {
  if (state_->ended) return std::nullopt;
  OwnedArray array = state_->stream.next();
  if (!array.value.release) {
    state_->ended = true;
    return std::nullopt;
  }
  Batch batch = state_->layout.batch(std::move(array), state_->level, state_->rows);
  state_->rows += batch.rows();
  return batch;
}

Batch ArrowReader::empty() const { return state_->layout.empty(); }

ChunkedColumn import_column(std::string name, ArrowArrayStream* stream, MissingKind missing_kind,
                            Validation level) {
  OwnedStream owned(stream);
  const OwnedSchema schema = owned.schema();
  const ArrowLayout layout = arrow_layout(schema.value, name);
  ChunkedColumn out{std::move(name), {}, {}};
  for (;;) {
    OwnedArray array = owned.next();
    if (!array.value.release) break;
    add_chunk(out, layout, std::move(array), missing_kind, level);
  }
  if (out.chunks.empty()) out.chunks.push_back(empty_view(layout, out.keep_alive));
  return out;
}

ChunkedColumn import_column(std::string name, ArrowSchema* schema, ArrowArray* array,
                            MissingKind missing_kind, Validation level) {
  const OwnedSchema owned_schema(schema);
  OwnedArray owned_array(array);
  require(owned_schema.value.release && owned_array.value.release, ErrorCode::input,
          "Arrow: expected a schema and an array but found released ones");
  const ArrowLayout layout = arrow_layout(owned_schema.value, name);
  ChunkedColumn out{std::move(name), {}, {}};
  add_chunk(out, layout, std::move(owned_array), missing_kind, level);
  return out;
}

}  // namespace mlcore

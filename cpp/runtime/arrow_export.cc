#include "runtime/arrow_export.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "base/status.h"
#include "runtime/batch.h"

namespace mlcore {
namespace {

constexpr size_t kAlign = 64;

// Zeroed, aligned memory; the padding up to the next 64 bytes is part of it.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes) {
    const size_t padded = (bytes + kAlign - 1) / kAlign * kAlign;
    data_.reset(static_cast<std::byte*>(::operator new(padded + kAlign, std::align_val_t{kAlign})));
    std::memset(data_.get(), 0, padded + kAlign);
  }
  std::byte* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(std::byte* pointer) const { ::operator delete(pointer, std::align_val_t{kAlign}); }
  };
  std::unique_ptr<std::byte, Free> data_;
};

struct Column {
  std::string name;
  std::string format;
  int64_t nulls = 0;
  std::vector<Buffer> buffers;  // validity first; one without memory is exported as null
};

std::string format_of(const LogicalType& type) {
  switch (type.kind) {
    case Kind::boolean: return "b";
    case Kind::int8: return "c";
    case Kind::int16: return "s";
    case Kind::int32: return "i";
    case Kind::int64: return "l";
    case Kind::uint8: return "C";
    case Kind::uint16: return "S";
    case Kind::uint32: return "I";
    case Kind::uint64: return "L";
    case Kind::float16: return "e";
    case Kind::float32: return "f";
    case Kind::float64: return "g";
    case Kind::string: return "U";
    case Kind::date32: return "tdD";
    case Kind::date64: return "tdm";
    case Kind::timestamp: break;
  }
  constexpr std::array<const char*, 4> kUnits{"tss:", "tsm:", "tsu:", "tsn:"};
  return kUnits[static_cast<size_t>(type.unit)] + type.timezone;
}

void set_bit(std::byte* bits, size_t index) { bits[index / 8] |= std::byte{1} << (index % 8); }

}  // namespace

struct ArrowTable::Data {
  int64_t rows = 0;
  std::vector<Column> columns;
};

namespace {

using Shared = std::shared_ptr<const void>;

// Release callbacks free what they own and mark the struct released, as the specification asks of producers.
struct SchemaOwner {
  std::string name;
  std::string format;
  std::vector<ArrowSchema> children;
  std::vector<ArrowSchema*> pointers;

  ~SchemaOwner() {
    for (ArrowSchema& child : children)
      if (child.release) child.release(&child);
  }
};

void release_schema(ArrowSchema* schema) {
  const std::unique_ptr<SchemaOwner> owner(static_cast<SchemaOwner*>(schema->private_data));
  schema->release = nullptr;
}

void fill_schema(ArrowSchema* out, std::unique_ptr<SchemaOwner> owner) {
  for (ArrowSchema& child : owner->children) owner->pointers.push_back(&child);
  *out = {};
  out->format = owner->format.c_str();
  out->name = owner->name.c_str();
  out->flags = kArrowNullable;
  out->n_children = static_cast<int64_t>(owner->children.size());
  out->children = owner->pointers.data();
  out->release = &release_schema;
  out->private_data = owner.release();
}

struct ArrayOwner {
  Shared table;
  std::vector<const void*> buffers;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> pointers;

  ~ArrayOwner() {
    // a consumer may have moved a child out; its release is then null here
    for (ArrowArray& child : children)
      if (child.release) child.release(&child);
  }
};

void release_array(ArrowArray* array) {
  const std::unique_ptr<ArrayOwner> owner(static_cast<ArrayOwner*>(array->private_data));
  array->release = nullptr;
}

void fill_array(ArrowArray* out, int64_t length, int64_t nulls, std::unique_ptr<ArrayOwner> owner) {
  for (ArrowArray& child : owner->children) owner->pointers.push_back(&child);
  *out = {};
  out->length = length;
  out->null_count = nulls;
  out->n_buffers = static_cast<int64_t>(owner->buffers.size());
  out->n_children = static_cast<int64_t>(owner->children.size());
  out->buffers = owner->buffers.data();
  out->children = owner->pointers.data();
  out->release = &release_array;
  out->private_data = owner.release();
}

struct StreamOwner {
  ArrowTable table{0};
  bool done = false;
  std::string error;
};

// Stream callbacks are called from C: no exception may leave them.
template <class Action>
int guarded(ArrowArrayStream* stream, const Action& action) {
  auto* owner = static_cast<StreamOwner*>(stream->private_data);
  try {
    action(*owner);
    return 0;
  } catch (const std::exception& error) {
    owner->error = error.what();
    return ENOMEM;
  }
}

}  // namespace

ArrowTable::ArrowTable(int64_t rows) : data_(std::make_shared<Data>()) {
  require(rows >= 0, ErrorCode::input, "Arrow export: expected a row count of at least 0 but found ", rows);
  data_->rows = rows;
}
ArrowTable::~ArrowTable() = default;
ArrowTable::ArrowTable(ArrowTable&&) noexcept = default;
ArrowTable& ArrowTable::operator=(ArrowTable&&) noexcept = default;

int64_t ArrowTable::rows() const { return data_->rows; }

void ArrowTable::add(std::string name, const LogicalType& type, std::span<const std::byte> values) {
  const auto rows = static_cast<size_t>(data_->rows);
  const auto width = static_cast<size_t>(bytes_of(type.kind));
  require(width != 0, ErrorCode::input, "Arrow export: ", ColumnName{name},
          ": expected a fixed-width type but found ", name_of(type));
  require(values.size() == rows * width, ErrorCode::input, "Arrow export: ", ColumnName{name}, ": expected ",
          rows * width, " bytes but found ", values.size());
  Column column{std::move(name), format_of(type), 0, {}};
  column.buffers.emplace_back();
  if (type.kind == Kind::boolean) {
    Buffer bits((rows + 7) / 8);
    for (size_t i = 0; i < rows; ++i)
      if (values[i] != std::byte{0}) set_bit(bits.data(), i);
    column.buffers.push_back(std::move(bits));
  } else {
    Buffer copy(values.size());
    if (!values.empty()) std::memcpy(copy.data(), values.data(), values.size());
    column.buffers.push_back(std::move(copy));
  }
  data_->columns.push_back(std::move(column));
}

void ArrowTable::add(std::string name, std::span<const StringRef> values) {
  const auto rows = static_cast<size_t>(data_->rows);
  require(values.size() == rows, ErrorCode::input, "Arrow export: ", ColumnName{name}, ": expected ", rows,
          " strings but found ", values.size());
  Column column{std::move(name), format_of({Kind::string, TimeUnit::nano, {}}), 0, {}};
  size_t bytes = 0;
  for (const StringRef& value : values) {
    if (value.data) bytes += static_cast<size_t>(value.size);
    else ++column.nulls;
  }
  Buffer validity = column.nulls > 0 ? Buffer((rows + 7) / 8) : Buffer();
  Buffer offsets((rows + 1) * sizeof(int64_t));
  Buffer text_bytes(bytes);
  int64_t at = 0;
  for (size_t i = 0; i < rows; ++i) {
    if (values[i].data) {
      if (values[i].size > 0)
        std::memcpy(text_bytes.data() + at, values[i].data, static_cast<size_t>(values[i].size));
      at += values[i].size;
      if (column.nulls > 0) set_bit(validity.data(), i);
    }
    std::memcpy(offsets.data() + (i + 1) * sizeof at, &at, sizeof at);
  }
  column.buffers.push_back(std::move(validity));
  column.buffers.push_back(std::move(offsets));
  column.buffers.push_back(std::move(text_bytes));
  data_->columns.push_back(std::move(column));
}

void ArrowTable::export_schema(ArrowSchema* out) const {
  auto owner = std::make_unique<SchemaOwner>();
  owner->format = "+s";
  owner->children.resize(data_->columns.size());
  for (size_t i = 0; i < data_->columns.size(); ++i) {
    auto child = std::make_unique<SchemaOwner>();
    child->name = data_->columns[i].name;
    child->format = data_->columns[i].format;
    fill_schema(&owner->children[i], std::move(child));
  }
  fill_schema(out, std::move(owner));
}

void ArrowTable::export_array(ArrowArray* out) const {
  auto owner = std::make_unique<ArrayOwner>();
  owner->buffers.push_back(nullptr);
  owner->children.resize(data_->columns.size());
  for (size_t i = 0; i < data_->columns.size(); ++i) {
    auto child = std::make_unique<ArrayOwner>();
    child->table = data_;
    for (const Buffer& buffer : data_->columns[i].buffers) child->buffers.push_back(buffer.data());
    fill_array(&owner->children[i], data_->rows, data_->columns[i].nulls, std::move(child));
  }
  fill_array(out, data_->rows, 0, std::move(owner));
}

void ArrowTable::export_stream(ArrowArrayStream* out) const {
  ArrowTable table(0);
  table.data_ = data_;
  auto owner = std::make_unique<StreamOwner>();
  owner->table = std::move(table);
  *out = {};
  out->get_schema = [](ArrowArrayStream* stream, ArrowSchema* schema) {
    return guarded(stream, [&](StreamOwner& state) { state.table.export_schema(schema); });
  };
  out->get_next = [](ArrowArrayStream* stream, ArrowArray* array) {
    return guarded(stream, [&](StreamOwner& state) {
      *array = {};
      if (!std::exchange(state.done, true)) state.table.export_array(array);
    });
  };
  out->get_last_error = [](ArrowArrayStream* stream) -> const char* {
    const auto* state = static_cast<StreamOwner*>(stream->private_data);
    return state->error.empty() ? nullptr : state->error.c_str();
  };
  out->release = [](ArrowArrayStream* stream) {
    const std::unique_ptr<StreamOwner> state(static_cast<StreamOwner*>(stream->private_data));
    stream->release = nullptr;
  };
  out->private_data = owner.release();
}

}  // namespace mlcore

#include "runtime/row.h"

#include <limits>
#include <utility>

#include "base/status.h"
#include "runtime/decode.h"
#include "runtime/exact_number.h"

namespace mlcore {
namespace {

constexpr size_t kKeptText = size_t{1} << 16;  // bytes of text memory a column keeps for the next row

template <class T>
void store(void* out, T value) {
  std::memcpy(out, &value, sizeof value);
}

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

bool is_float(Kind kind) { return kind == Kind::float64 || kind == Kind::float32 || kind == Kind::float16; }

// float16 columns keep their values as float32: every half is one
void put_float(double value, Kind kind, std::byte* out) {
  if (kind == Kind::float64) store(out, value);
  else store(out, static_cast<float>(value));
}

template <class T, class Int>
bool put_integer(Int value, std::byte* out) {
  if (!std::in_range<T>(value)) return false;
  store(out, static_cast<T>(value));
  return true;
}

template <class Int>
bool put_any_integer(Int number, Kind kind, std::byte* out) {
  switch (kind) {
    case Kind::int8: return put_integer<int8_t>(number, out);
    case Kind::int16: return put_integer<int16_t>(number, out);
    case Kind::int32: return put_integer<int32_t>(number, out);
    case Kind::int64: return put_integer<int64_t>(number, out);
    case Kind::uint8: return put_integer<uint8_t>(number, out);
    case Kind::uint16: return put_integer<uint16_t>(number, out);
    case Kind::uint32: return put_integer<uint32_t>(number, out);
    case Kind::uint64: return put_integer<uint64_t>(number, out);
    case Kind::float16:
    case Kind::float32:
    case Kind::float64:
      if (!exact_in_float(number, kind)) return false;
      put_float(static_cast<double>(number), kind, out);
      return true;
    default: return false;
  }
}

}  // namespace

PlainLayout plain_layout(Kind kind) {
  switch (kind) {
    case Kind::boolean: return {Storage::bytes, 1};
    case Kind::int8: return {Storage::int8, 1};
    case Kind::int16: return {Storage::int16, 2};
    case Kind::int32:
    case Kind::date32: return {Storage::int32, 4};
    case Kind::int64:
    case Kind::date64:
    case Kind::timestamp: return {Storage::int64, 8};
    case Kind::uint8: return {Storage::uint8, 1};
    case Kind::uint16: return {Storage::uint16, 2};
    case Kind::uint32: return {Storage::uint32, 4};
    case Kind::uint64: return {Storage::uint64, 8};
    case Kind::float16:
    case Kind::float32: return {Storage::float32, 4};
    case Kind::float64: return {Storage::float64, 8};
    case Kind::string: return {Storage::refs, sizeof(StringRef)};
  }
  return {Storage::none, 0};
}

bool put_number(int64_t number, Kind kind, std::byte* out) { return put_any_integer(number, kind, out); }
bool put_number(uint64_t number, Kind kind, std::byte* out) { return put_any_integer(number, kind, out); }
bool put_number(double number, Kind kind, std::byte* out) {
  if (!is_float(kind) || !exact_in_float(number, kind)) return false;
  put_float(number, kind, out);
  return true;
}

void put_missing(MissingKind kind, Kind type, std::byte* out) {
  if (type == Kind::string) store(out, StringRef{nullptr, kind});
  else if (is_float(type)) put_float(std::numeric_limits<double>::quiet_NaN(), type, out);
  else std::memset(out, 0, plain_layout(type).width);
}

Row::Row(std::vector<ColumnSpec> schema) : schema_(std::move(schema)) {
  const size_t count = schema_.size();
  slots_.resize(count);
  texts_.resize(count);
  std::vector<std::string> names;
  std::vector<ColumnView> views;
  for (size_t i = 0; i < count; ++i) {
    const ColumnSpec& spec = schema_[i];
    Slot& slot = slots_[i];
    const PlainLayout layout = plain_layout(spec.type.kind);
    slot.type = spec.type.kind;
    slot.form = Form::other;
    if (layout.storage == Storage::int64) slot.form = Form::i64;
    if (spec.nullable && spec.type.kind == Kind::float64) slot.form = Form::f64;
    if (spec.nullable && spec.type.kind == Kind::float32) slot.form = Form::f32;
    if (spec.nullable && !spec.distinguishes_missing && spec.type.kind == Kind::string)
      slot.form = Form::text;
    names.push_back(spec.name);
    ColumnView& view = views.emplace_back();
    view.storage = layout.storage;
    view.type = spec.type;
    view.length = 1;
    view.stride = layout.width;
    view.data = slot.value;
    view.kinds = &slot.kind;
    view.trusted = true;
    set_missing(i, kNull);
  }
  batch_ = Batch(1, std::make_shared<const std::vector<std::string>>(std::move(names)), std::move(views), {});
}

void Row::set_text(size_t column, std::string_view text) {
  std::string& kept = texts_[column];
  if (kept.capacity() > kKeptText && text.size() <= kKeptText) [[unlikely]]
    kept = std::string();
  kept.assign(text);
  store(slots_[column].value, StringRef{kept.data(), static_cast<int64_t>(kept.size())});
  slots_[column].kind = 0;
}

// So that no value of an earlier row is left.
void Row::set_missing(size_t column, MissingKind kind) {
  Slot& slot = slots_[column];
  slot.kind = static_cast<uint8_t>(1 + kind);
  put_missing(kind, slot.type, slot.value);
}

void Row::read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const {
  const auto index = static_cast<size_t>(column);
  const Slot& slot = slots_[index];
  switch (slot.form) {
    case Form::f64:
      if (dtype == DType::f64) return store(out, load<double>(slot.value));
      if (dtype == DType::f32) return store(out, static_cast<float>(load<double>(slot.value)));
      break;
    case Form::f32:
      if (dtype == DType::f32) return store(out, load<float>(slot.value));
      if (dtype == DType::f64) return store(out, static_cast<double>(load<float>(slot.value)));
      break;
    case Form::i64:
      if (slot.kind != 0) break;
      if (dtype == DType::f64) return store(out, static_cast<double>(load<int64_t>(slot.value)));
      if (dtype == DType::f32) return store(out, static_cast<float>(load<int64_t>(slot.value)));
      break;
    case Form::text:
      if (dtype == DType::str) return store(out, load<StringRef>(slot.value));
      break;
    case Form::other: break;
  }
  decode(schema_[index], batch_.column(index), first, n, dtype, out);
}

void Row::read_columns(std::span<const int32_t> columns, int64_t first, int64_t n, DType dtype,
                       std::byte* out) const {
  const size_t bytes = size_of(dtype);
  for (int32_t column : columns) {
    Row::read(column, first, n, dtype, out);
    out += bytes;
  }
}

RowCall::RowCall(std::shared_ptr<const Model> model, std::vector<int32_t> outputs)
    : model_(std::move(model)), outputs_(std::move(outputs)) {
  constexpr size_t kAlign = 16;
  const Program& program = model_->program();
  std::vector<size_t> starts;
  size_t bytes = 0;
  for (int32_t output : outputs_) {
    require(output >= 0 && static_cast<size_t>(output) < program.outputs.size(), ErrorCode::program,
            "expected an output below ", program.outputs.size(), " but found ", output);
    const auto value = static_cast<size_t>(program.outputs[static_cast<size_t>(output)].value);
    types_.push_back(program.nodes[value].type);
    starts.push_back(bytes);
    const size_t size = size_of(types_.back().dtype) * static_cast<size_t>(types_.back().width);
    bytes += (size + kAlign - 1) / kAlign * kAlign;
  }
  memory_.resize(bytes);
  for (size_t start : starts) destinations_.push_back(memory_.data() + start);
}

}  // namespace mlcore

#include "runtime/tensor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstring>
#include <limits>

#include "base/status.h"
#include "runtime/decode.h"

namespace mlcore {
namespace {

constexpr std::array<TensorType, 13> kTypes{{
    {"BOOL", "bool", Kind::boolean, Storage::bytes, 1},
    {"UINT8", "uint8", Kind::uint8, Storage::uint8, 1},
    {"UINT16", "uint16", Kind::uint16, Storage::uint16, 2},
    {"UINT32", "uint32", Kind::uint32, Storage::uint32, 4},
    {"UINT64", "uint64", Kind::uint64, Storage::uint64, 8},
    {"INT8", "int8", Kind::int8, Storage::int8, 1},
    {"INT16", "int16", Kind::int16, Storage::int16, 2},
    {"INT32", "int32", Kind::int32, Storage::int32, 4},
    {"INT64", "int64", Kind::int64, Storage::int64, 8},
    {"FP16", "float16", Kind::float16, Storage::float16, 2},
    {"FP32", "float32", Kind::float32, Storage::float32, 4},
    {"FP64", "float64", Kind::float64, Storage::float64, 8},
    {"BYTES", "object", Kind::string, Storage::large_utf8, 0},
}};

const TensorType& type_of(Kind kind) {
  // dates and timestamps travel as the integers behind them
  if (kind == Kind::date32) kind = Kind::int32;
  if (kind == Kind::date64 || kind == Kind::timestamp) kind = Kind::int64;
  return *std::ranges::find(kTypes, kind, &TensorType::kind);
}

// The type of an array that Python returns with this dtype, or with "object" for values of type `values`.
const TensorType* type_of(std::string_view dtype, DType values) {
  if (values == DType::str) return &type_of(Kind::string);
  if (dtype == "object")
    dtype = values == DType::f64 ? "float64" : values == DType::f32 ? "float32" : "int64";
  const auto found = std::ranges::find(kTypes, dtype, &TensorType::numpy);
  const bool writable = found != kTypes.end() && found->kind != Kind::float16;
  return writable ? &*found : nullptr;
}

template <class T>
T load(const std::byte* from, int64_t index) {
  T value;
  std::memcpy(&value, from + index * static_cast<int64_t>(sizeof value), sizeof value);
  return value;
}

// As NumPy's astype where that is defined; the program's own values always are.
template <class To, class From>
To converted(From value) {
  if constexpr (std::same_as<To, bool>) {
    return value != From{};
  } else {
    if constexpr (std::floating_point<From> && std::integral<To>)
      require(value >= static_cast<From>(std::numeric_limits<To>::min()) &&
                  value < std::ldexp(From{1}, std::numeric_limits<To>::digits),
              ErrorCode::input, "expected an integer of the output's type but found ", value);
    return static_cast<To>(value);
  }
}

template <class From, class To>
void convert(const std::byte* from, int64_t count, std::byte* out) {
  if constexpr (std::same_as<From, To>) {
    if (count > 0) std::memcpy(out, from, static_cast<size_t>(count) * sizeof(To));  // no rows may be at null
  } else {
    for (int64_t i = 0; i < count; ++i) {
      const To value = converted<To>(load<From>(from, i));
      std::memcpy(out + i * static_cast<int64_t>(sizeof value), &value, sizeof value);
    }
  }
}

template <class From>
void convert_to(Kind to, const std::byte* from, int64_t count, std::byte* out) {
  switch (to) {
    case Kind::boolean: return convert<From, bool>(from, count, out);
    case Kind::int8: return convert<From, int8_t>(from, count, out);
    case Kind::int16: return convert<From, int16_t>(from, count, out);
    case Kind::int32: return convert<From, int32_t>(from, count, out);
    case Kind::int64: return convert<From, int64_t>(from, count, out);
    case Kind::uint8: return convert<From, uint8_t>(from, count, out);
    case Kind::uint16: return convert<From, uint16_t>(from, count, out);
    case Kind::uint32: return convert<From, uint32_t>(from, count, out);
    case Kind::uint64: return convert<From, uint64_t>(from, count, out);
    case Kind::float32: return convert<From, float>(from, count, out);
    case Kind::float64: return convert<From, double>(from, count, out);
    default: fail(ErrorCode::program, "expected an output of numbers but found another kind");
  }
}

void convert_numbers(DType from, const std::byte* values, Kind to, int64_t count, std::byte* out) {
  switch (from) {
    case DType::f64: return convert_to<double>(to, values, count, out);
    case DType::f32: return convert_to<float>(to, values, count, out);
    case DType::i64: return convert_to<int64_t>(to, values, count, out);
    case DType::i32: return convert_to<int32_t>(to, values, count, out);
    case DType::u32: return convert_to<uint32_t>(to, values, count, out);
    case DType::u8: return convert_to<uint8_t>(to, values, count, out);
    case DType::str: fail(ErrorCode::program, "expected an output of numbers but found text");
  }
}

}  // namespace

std::span<const TensorType> tensor_types() { return kTypes; }

const TensorType* tensor_type_named(std::string_view name) {
  const auto found = std::ranges::find(kTypes, name, &TensorType::name);
  return found == kTypes.end() ? nullptr : &*found;
}

void expect_values(std::string_view input, const TensorType& type, int64_t values, size_t bytes) {
  const bool whole =
      type.bytes == 0 || (bytes % type.bytes == 0 && static_cast<int64_t>(bytes / type.bytes) == values);
  require(whole, ErrorCode::input, "input ", quoted(input), ": expected ", values, " values but found ",
          bytes, " bytes");
}

TensorInput tensor_of(const ColumnSpec& column, size_t index) {
  return {column.name, "", &type_of(column.type.kind), column.type, index, 1, false};
}

std::optional<TensorInput> matrix_of(const Program& program) {
  const std::vector<ColumnSpec>& schema = program.schema;
  if (schema.empty()) return {};
  const LogicalType& type = schema.front().type;
  for (const ColumnSpec& column : schema)
    if (column.name == kMatrix || !(column.type == type)) return {};
  if (type.kind == Kind::string || type.kind > Kind::float64) return {};
  return TensorInput{
      std::string(kMatrix), "", &type_of(type.kind), type, 0, static_cast<int64_t>(schema.size()), true};
}

std::optional<TensorInput> find_tensor_input(const Program& program, std::string_view name) {
  for (size_t i = 0; i < program.schema.size(); ++i)
    if (program.schema[i].name == name) return tensor_of(program.schema[i], i);
  if (name == kMatrix) return matrix_of(program);
  return {};
}

std::optional<TensorInput> find_masked_input(const Program& program, std::string_view name) {
  if (!name.ends_with(kValidSuffix) || find_tensor_input(program, name)) return {};
  return find_tensor_input(program, name.substr(0, name.size() - kValidSuffix.size()));
}

std::vector<TensorInput> default_inputs(const Model& model) {
  const Program& program = model.program();
  bool is_bare = true;
  for (size_t i = 0; i < program.schema.size(); ++i) is_bare &= program.schema[i].name == "x" + text(i);
  std::vector<TensorInput> inputs;
  std::optional<TensorInput> matrix = matrix_of(program);
  if (is_bare && matrix) inputs.push_back(std::move(*matrix));
  else
    for (size_t i = 0; i < program.schema.size(); ++i)
      if (model.used_columns()[i]) inputs.push_back(tensor_of(program.schema[i], i));
  for (TensorInput& input : inputs) {
    const std::string valid = input.name + std::string(kValidSuffix);
    if (program.schema[input.column].nullable && !find_tensor_input(program, valid)) input.valid = valid;
  }
  return inputs;
}

std::vector<std::string> column_problems(const Model& model, std::span<const TensorInput> inputs) {
  const std::vector<ColumnSpec>& schema = model.program().schema;
  std::vector<int> sent(schema.size());
  for (const TensorInput& input : inputs)
    for (size_t i = 0; i < static_cast<size_t>(input.width); ++i) ++sent[input.column + i];
  std::vector<std::string> problems;
  for (size_t i = 0; i < schema.size(); ++i) {
    if (sent[i] == 1 || (sent[i] == 0 && !model.used_columns()[i])) continue;
    problems.push_back("column " + quoted(schema[i].name) +
                       (sent[i] == 0 ? ": expected an input but found none"
                                     : ": expected one input but found " + text(sent[i])));
  }
  return problems;
}

bool retype(TensorInput& input, const TensorType& type, const ColumnSpec& column) {
  if (input.type == &type) return true;
  if (column.type.kind > Kind::string) return false;  // an integer of another width is no date
  ColumnView sent;
  sent.storage = type.storage;
  sent.type.kind = type.kind;
  if (!accepts(column, sent)) return false;
  input.type = &type;
  input.logical = sent.type;
  return true;
}

TensorOutput::TensorOutput(const Program& program, int32_t index) : index_(index) {
  const OutputSpec& spec = program.outputs[static_cast<size_t>(index)];
  block_ = program.nodes[static_cast<size_t>(spec.value)].type;
  vector_ = spec.vector;
  const std::string part = spec.index < 0 ? "" : "_" + text(spec.index);
  name_ = (spec.method == "decision_function" ? "margin" : spec.method) + part;
  alias_ = spec.method + part;
  if (spec.labels >= 0) labels_ = &program.constants[static_cast<size_t>(spec.labels)];
  type_ = type_of(spec.dtype, labels_ ? labels_->type() : block_.dtype);
  require(type_, ErrorCode::input, "output ", quoted(name_), ": expected a type of a tensor but found ",
          spec.dtype);
  if (labels_ && type_->bytes > 0) {
    label_values_.resize(static_cast<size_t>(labels_->size()) * type_->bytes);
    convert_numbers(labels_->type(), labels_->bytes().data(), type_->kind, labels_->size(),
                    label_values_.data());
  }
}

std::string_view TensorOutput::text_at(const std::byte* block, int64_t index) const {
  if (labels_) return labels_->string_at(load<int64_t>(block, index));
  const auto found = load<StringRef>(block, index);
  require(found.data, ErrorCode::input, "output ", quoted(name_),
          ": expected text but found a missing value, which a BYTES tensor cannot hold");
  return {found.data, static_cast<size_t>(found.size)};
}

size_t TensorOutput::bytes(const std::byte* block, int64_t count) const {
  if (type_->bytes > 0) return static_cast<size_t>(count) * type_->bytes;
  size_t total = 0;
  for (int64_t i = 0; i < count; ++i) total += sizeof(uint32_t) + text_at(block, i).size();
  return total;
}

void TensorOutput::write(const std::byte* block, int64_t count, std::byte* out) const {
  if (type_->bytes == 0) {
    for (int64_t i = 0; i < count; ++i) {
      const std::string_view found = text_at(block, i);
      const auto size = static_cast<uint32_t>(found.size());
      std::memcpy(out, &size, sizeof size);
      if (size > 0) std::memcpy(out + sizeof size, found.data(), size);
      out += sizeof size + size;
    }
  } else if (labels_) {
    for (int64_t i = 0; i < count; ++i)  // inside the labels: proved when the program was validated
      std::memcpy(out + static_cast<size_t>(i) * type_->bytes,
                  label_values_.data() + static_cast<size_t>(load<int64_t>(block, i)) * type_->bytes,
                  type_->bytes);
  } else {
    convert_numbers(block_.dtype, block, type_->kind, count, out);
  }
}

TensorFacts facts_of(const TensorInput& input) {
  return {input.name, input.type, input.width, !input.matrix};
}

TensorFacts mask_facts_of(const TensorInput& input) {
  return {input.name + std::string(kValidSuffix), &type_of(Kind::boolean), input.width, !input.matrix, true};
}

TensorFacts facts_of(const TensorOutput& output) {
  return {output.name(), &output.type(), output.width(), output.is_vector()};
}

std::vector<TensorFacts> default_facts(const Model& model) {
  std::vector<TensorFacts> out, masks;
  for (const TensorInput& input : default_inputs(model)) {
    out.push_back(facts_of(input));
    if (!input.valid.empty()) masks.push_back(mask_facts_of(input));
  }
  out.insert(out.end(), masks.begin(), masks.end());
  return out;
}

std::vector<TensorOutput> tensor_outputs(const Program& program) {
  std::vector<TensorOutput> out;
  for (size_t i = 0; i < program.outputs.size(); ++i) out.emplace_back(program, static_cast<int32_t>(i));
  return out;
}

std::optional<size_t> find_tensor_output(std::span<const TensorOutput> outputs, std::string_view name) {
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].is_called(name)) return i;
  return {};
}

std::string names_of(std::span<const TensorOutput> outputs) {
  std::string out;
  for (const TensorOutput& output : outputs) out += (out.empty() ? "" : ", ") + quoted(output.name());
  return out;
}

}  // namespace mlcore

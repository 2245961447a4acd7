#include "runtime/golden.h"

#include <cmath>
#include <cstring>

namespace mlcore {
namespace {

template <class From, class To>
void convert(std::span<const From> values, int64_t first, int64_t n, To* out) {
  for (int64_t row = 0; row < n; ++row) out[row] = static_cast<To>(values[static_cast<size_t>(first + row)]);
}

template <class From>
void convert_to(std::span<const From> values, int64_t first, int64_t n, DType dtype, void* out) {
  switch (dtype) {
    case DType::f64: return convert(values, first, n, static_cast<double*>(out));
    case DType::f32: return convert(values, first, n, static_cast<float*>(out));
    case DType::i64: return convert(values, first, n, static_cast<int64_t*>(out));
    default:
      fail(ErrorCode::artifact, "golden rows: expected a numeric column but found dtype ", name_of(dtype));
  }
}

bool is_float(Kind kind) { return kind == Kind::float16 || kind == Kind::float32 || kind == Kind::float64; }

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

int32_t append(Program& program, Constant constant) {
  program.constants.push_back(std::move(constant));
  return static_cast<int32_t>(program.constants.size() - 1);
}

// A string column is stored as text plus a byte per row that says which missing it is.
void store_strings(Program& program, const std::vector<StringRef>& values) {
  std::vector<std::string_view> texts;
  std::vector<uint8_t> missing;
  bool any = false;
  for (const StringRef& value : values) {
    texts.push_back(value.data ? std::string_view(value.data, static_cast<size_t>(value.size))
                               : std::string_view());
    missing.push_back(value.data ? uint8_t{0} : static_cast<uint8_t>(1 + value.size));
    any |= value.data == nullptr;
  }
  program.golden.columns.push_back(append(program, Constant::strings(texts)));
  const auto rows = static_cast<int64_t>(values.size());
  program.golden.missing.push_back(any ? append(program, Constant(DType::u8, {rows}, bytes_of(missing)))
                                       : -1);
}

void store_numbers(Program& program, int32_t column, const Source& source, int64_t rows) {
  const auto count = static_cast<size_t>(rows);
  program.golden.missing.push_back(-1);
  if (!is_float(program.schema[static_cast<size_t>(column)].type.kind)) {
    std::vector<int64_t> values(count);
    try {
      source.read(column, 0, rows, DType::i64, values.data());
      program.golden.columns.push_back(append(program, Constant(DType::i64, {rows}, bytes_of(values))));
      return;
    } catch (const Error&) {
      // a missing value: kept as NaN in double below
    }
  }
  std::vector<double> values(count);
  source.read(column, 0, rows, DType::f64, values.data());
  program.golden.columns.push_back(append(program, Constant(DType::f64, {rows}, bytes_of(values))));
}

}  // namespace

void GoldenSource::read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const {
  const auto index = static_cast<size_t>(column);
  const int32_t id = program_.golden.columns[index];
  require(id >= 0, ErrorCode::artifact, "golden rows: expected values of column ",
          quoted(program_.schema[index].name), " but found none");
  const Constant& stored = program_.constants[static_cast<size_t>(id)];
  if (dtype == DType::str) {
    require(stored.type() == DType::str, ErrorCode::artifact, "golden rows: expected strings in column ",
            quoted(program_.schema[index].name), " but found ", name_of(stored.type()));
    const int32_t missing = program_.golden.missing[index];
    for (int64_t row = 0; row < n; ++row) {
      const std::string_view value = stored.string_at(first + row);
      auto& target = static_cast<StringRef*>(out)[row];
      const uint8_t kind = missing < 0 ? uint8_t{0}
                                       : program_.constants[static_cast<size_t>(missing)]
                                             .as<uint8_t>()[static_cast<size_t>(first + row)];
      // an empty view may carry a null pointer, which would read as missing
      target = kind == 0 ? StringRef{value.empty() ? "" : value.data(), static_cast<int64_t>(value.size())}
                         : StringRef{nullptr, kind - 1};
    }
  } else if (stored.type() == DType::i64) {
    convert_to(stored.as<int64_t>(), first, n, dtype, out);
  } else {
    require(stored.type() == DType::f64 && dtype != DType::i64, ErrorCode::artifact, "golden rows: expected ",
            name_of(dtype), " values in column ", quoted(program_.schema[index].name), " but found ",
            name_of(stored.type()));
    convert_to(stored.as<double>(), first, n, dtype, out);
  }
}

void store_golden(Program& program, const std::vector<bool>& used_columns, const Source& source, int64_t rows,
                  const std::vector<std::vector<std::byte>>& expected) {
  program.golden = {};
  program.golden.rows = rows;
  for (size_t i = 0; i < program.schema.size(); ++i) {
    if (!used_columns[i]) {
      program.golden.columns.push_back(-1);
      program.golden.missing.push_back(-1);
    } else if (program.schema[i].type.kind == Kind::string) {
      std::vector<StringRef> values(static_cast<size_t>(rows));
      source.read(static_cast<int32_t>(i), 0, rows, DType::str, values.data());
      store_strings(program, values);
    } else {
      store_numbers(program, static_cast<int32_t>(i), source, rows);
    }
  }
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    const ValueType type = program.nodes[static_cast<size_t>(program.outputs[i].value)].type;
    if (type.dtype == DType::str) {
      std::vector<std::string_view> texts;
      const auto* refs = reinterpret_cast<const StringRef*>(expected[i].data());
      for (int64_t k = 0; k < rows * type.width; ++k)
        texts.push_back(refs[k].data ? std::string_view(refs[k].data, static_cast<size_t>(refs[k].size))
                                     : "");
      program.golden.expected.push_back(append(program, Constant::strings(texts)));
    } else {
      program.golden.expected.push_back(
          append(program, Constant(type.dtype, {rows, type.width}, expected[i])));
    }
  }
}

bool same_bytes(const Constant& expected, std::span<const std::byte> found) {
  if (expected.type() != DType::str) {
    return expected.bytes().size() == found.size() &&
           (found.empty() || std::memcmp(expected.bytes().data(), found.data(), found.size()) == 0);
  }
  if (found.size() != static_cast<size_t>(expected.size()) * sizeof(StringRef)) return false;
  const auto* refs = reinterpret_cast<const StringRef*>(found.data());
  for (int64_t i = 0; i < expected.size(); ++i) {
    const std::string_view text =
        refs[i].data ? std::string_view(refs[i].data, static_cast<size_t>(refs[i].size)) : std::string_view();
    if (text != expected.string_at(i)) return false;
  }
  return true;
}

}  // namespace mlcore

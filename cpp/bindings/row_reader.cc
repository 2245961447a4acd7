#include "bindings/row_reader.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <string_view>

#include "base/status.h"
#include "runtime/decode.h"
#include "runtime/fp_environment.h"

namespace py = pybind11;

namespace mlcore {
namespace {

py::object dict_item(PyObject* dict, PyObject* key) {
#if PY_VERSION_HEX >= 0x030d0000
  PyObject* found = nullptr;
  if (PyDict_GetItemRef(dict, key, &found) < 0) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(found);
#else
  PyObject* found = PyDict_GetItemWithError(dict, key);
  if (!found && PyErr_Occurred()) throw py::error_already_set();
  return py::reinterpret_borrow<py::object>(found);
#endif
}

// A dict as it is, anything else with keys (a Mapping, a pandas Series) as a copy.
py::object as_dict(py::handle mapping) {
  if (PyDict_Check(mapping.ptr())) return py::reinterpret_borrow<py::object>(mapping);
  py::object out = py::reinterpret_steal<py::object>(PyDict_New());
  if (!out) throw py::error_already_set();
  if (!py::hasattr(mapping, "keys") || PyDict_Update(out.ptr(), mapping.ptr()) != 0) {
    PyErr_Clear();
    fail(ErrorCode::input, "expected a row as a mapping of column to value but found ",
         describe_value(mapping.ptr()));
  }
  return out;
}

// A tuple of the values of a sequence; text and bytes are sequences too, but no rows.
py::object as_tuple(py::handle sequence) {
  PyObject* object = sequence.ptr();
  if (PyTuple_Check(object)) return py::reinterpret_borrow<py::object>(sequence);
  const bool is_row = PySequence_Check(object) != 0 && !PyUnicode_Check(object) && !PyBytes_Check(object) &&
                      !PyByteArray_Check(object);
  py::object out = is_row ? py::reinterpret_steal<py::object>(PySequence_Tuple(object)) : py::object();
  if (!out) {
    PyErr_Clear();
    fail(ErrorCode::input, "expected a row as a sequence of values but found ", describe_value(object));
  }
  return out;
}

// An array and no subclass of it, whose elements may mean more (a mask).
bool is_plain_array(py::handle value) {
  return Py_TYPE(value.ptr()) == py::detail::npy_api::get().PyArray_Type_;
}

bool is_native(const py::dtype& dtype) {
  constexpr char kForeign = std::endian::native == std::endian::little ? '>' : '<';
  return dtype.byteorder() != kForeign;
}

template <class T>
T load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

RowReader::RowReader(std::vector<ColumnSpec> schema, std::vector<bool> used, std::vector<int32_t> order)
    : schema_(std::move(schema)), order_(std::move(order)) {
  used_.assign(used.begin(), used.end());
  used_.resize(schema_.size(), 1);
  for (const ColumnSpec& spec : schema_) {
    PyObject* key = PyUnicode_FromStringAndSize(spec.name.data(), static_cast<Py_ssize_t>(spec.name.size()));
    if (!key) throw py::error_already_set();
    PyUnicode_InternInPlace(&key);
    keys_.push_back(py::reinterpret_steal<py::object>(key));
  }
}

RowReader::~RowReader() = default;

// The values of nearly all rows: a float, int or str of exactly that type, or None. No Python code runs, so
// that `value` may be borrowed. False: look closer.
bool RowReader::put_plain(PyObject* value, size_t column, Row& row) const {
  const ColumnSpec& spec = schema_[column];
  if (value == Py_None) {
    row.set_missing(column, spec.distinguishes_missing ? kNone : kNull);
    return true;
  }
  switch (spec.type.kind) {
    case Kind::float64:
    case Kind::float32: {
      if (!PyFloat_CheckExact(value)) return false;
      const double number = PyFloat_AS_DOUBLE(value);
      if (std::isnan(number)) row.set_missing(column, kNaN);
      else if (put_number(number, spec.type.kind, row.value(column))) row.set_present(column);
      else return false;
      return true;
    }
    case Kind::int64: {
      if (!PyLong_CheckExact(value)) return false;
      int overflow = 0;
      const int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow);
      if (overflow != 0) return false;
      row.set(column, number);
      return true;
    }
    case Kind::string:
      if (!PyUnicode_CheckExact(value) || !PyUnicode_IS_COMPACT_ASCII(value)) return false;
      row.set_text(column, {static_cast<const char*>(PyUnicode_DATA(value)),
                            static_cast<size_t>(PyUnicode_GET_LENGTH(value))});
      return true;
    default: return false;
  }
}

// Any value. Python code may run (a Decimal's methods), so the caller holds `value`.
ValueResult RowReader::put(PyObject* value, size_t column, Row& row) const {
  const ColumnSpec& spec = schema_[column];
  ValueResult result;
  if (spec.type.kind == Kind::string) {
    std::string_view found;
    result = read_text(value, found);
    if (result.state == ValueState::present) row.set_text(column, found);
  } else {
    result = read_value(value, spec.type, row.value(column));
    row.set_present(column);
  }
  // None is how plain Python says null: whichever missing value the step learned, unless it learned both
  const bool is_null = result.missing == kNone && !spec.distinguishes_missing;
  if (result.state == ValueState::missing) row.set_missing(column, is_null ? kNull : result.missing);
  return result;
}

std::string RowReader::wrong(size_t column, PyObject* value, const ValueResult& result) const {
  const ColumnSpec& spec = schema_[column];
  return "column " + quoted(spec.name) + ": expected " + name_of(spec.type) + " but found " +
         describe_wrong(value, result, spec.type);
}

// Second pass over a row that does not fit, to name everything that is wrong with it.
void RowReader::explain(PyObject* dict, Row& row) const {
  std::vector<std::string> problems;
  for (size_t i = 0; i < schema_.size(); ++i) {
    if (!used_[i]) continue;
    const py::object value = dict_item(dict, keys_[i].ptr());
    if (!value) {
      problems.push_back("column " + quoted(schema_[i].name) + ": expected " + name_of(schema_[i].type) +
                         " but found no such key");
      continue;
    }
    const ValueResult result = put(value.ptr(), i, row);
    if (result.state == ValueState::wrong) problems.push_back(wrong(i, value.ptr(), result));
  }
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  Py_ssize_t position = 0;
  while (PyDict_Next(dict, &position, &key, &value)) {
    bool known = false;
    for (const py::object& expected : keys_) {
      const int same = PyObject_RichCompareBool(expected.ptr(), key, Py_EQ);
      if (same < 0) PyErr_Clear();
      known |= same > 0;
    }
    if (!known)
      problems.push_back("key " + describe_value(key) + ": expected no such key but found " +
                         describe_value(value));
  }
  if (problems.empty())
    problems.emplace_back("expected a row that stays the same but it changed while it was read");
  fail(ErrorCode::input, list_problems("row", problems));
}

void RowReader::read(py::handle mapping, Row& row) const {
  const FpEnvironment environment;
  const py::object dict = as_dict(mapping);
  Py_ssize_t found = 0;
  bool fits = true;
  for (size_t i = 0; i < schema_.size() && fits; ++i) {
    const py::object value = dict_item(dict.ptr(), keys_[i].ptr());
    found += value ? 1 : 0;
    if (!used_[i]) continue;
    fits = value && (put_plain(value.ptr(), i, row) || put(value.ptr(), i, row).state != ValueState::wrong);
  }
  if (!fits || found != PyDict_GET_SIZE(dict.ptr())) explain(dict.ptr(), row);
}

void RowReader::read_positional(py::handle sequence, Row& row) const {
  const FpEnvironment environment;
  if (is_plain_array(sequence)) return read_array(py::reinterpret_borrow<py::array>(sequence), row);
  const py::object values = as_tuple(sequence);
  const auto count = static_cast<size_t>(PyTuple_GET_SIZE(values.ptr()));
  require(count == order_.size(), ErrorCode::input, "expected a row of ", order_.size(), " values but found ",
          count);
  std::vector<std::string> problems;
  for (size_t i = 0; i < count; ++i) {
    const auto column = static_cast<size_t>(order_[i]);
    if (!used_[column]) continue;
    PyObject* value = PyTuple_GET_ITEM(values.ptr(), static_cast<Py_ssize_t>(i));
    if (put_plain(value, column, row)) continue;
    const ValueResult result = put(value, column, row);
    if (result.state == ValueState::wrong) problems.push_back(wrong(column, value, result));
  }
  if (!problems.empty()) fail(ErrorCode::input, list_problems("row", problems));
}

// Elements of type T without an object for each; false where one does not fit its column.
template <class T>
bool RowReader::put_elements(const py::array& values, Row& row) const {
  const auto* data = static_cast<const char*>(values.data());
  const py::ssize_t stride = values.strides(0);
  for (size_t i = 0; i < order_.size(); ++i, data += stride) {
    const auto column = static_cast<size_t>(order_[i]);
    if (!used_[column]) continue;
    const T number = load<T>(data);
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(number)) {
        row.set_missing(column, kNaN);
        continue;
      }
    }
    using Wide = std::conditional_t<std::is_floating_point_v<T>, double,
                                    std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>;
    if (!put_number(static_cast<Wide>(number), schema_[column].type.kind, row.value(column))) return false;
    row.set_present(column);
  }
  return true;
}

void RowReader::read_array(const py::array& values, Row& row) const {
  require(values.ndim() == 1, ErrorCode::input,
          "expected a row as an array of one dimension but found one of ", values.ndim());
  require(static_cast<size_t>(values.shape(0)) == order_.size(), ErrorCode::input, "expected a row of ",
          order_.size(), " values but found ", values.shape(0));
  const py::dtype dtype = values.dtype();
  if (is_native(dtype)) {
    const char kind = dtype.kind();
    const py::ssize_t width = dtype.itemsize();
    if (kind == 'f' && width == 8 && put_elements<double>(values, row)) return;
    if (kind == 'f' && width == 4 && put_elements<float>(values, row)) return;
    if (kind == 'i' && width == 8 && put_elements<int64_t>(values, row)) return;
    if (kind == 'i' && width == 4 && put_elements<int32_t>(values, row)) return;
    if (kind == 'u' && width == 8 && put_elements<uint64_t>(values, row)) return;
  }
  // other types, and everything that does not fit: as NumPy's scalars, whose errors say what was found
  const py::object scalars = py::reinterpret_steal<py::object>(PySequence_Tuple(values.ptr()));
  if (!scalars) throw py::error_already_set();
  read_positional(scalars, row);
}

ArrayRow::ArrayRow(const RowReader& reader) : reader_(reader), position_(reader.schema_.size(), -1) {
  for (size_t i = 0; i < reader.schema_.size(); ++i) {
    if (!reader.used_[i]) continue;
    const ColumnSpec& spec = reader.schema_[i];
    all_double_ &= spec.nullable && spec.type.kind == Kind::float64;
    all_float_ &= spec.nullable && (spec.type.kind == Kind::float64 || spec.type.kind == Kind::float32);
  }
  for (size_t i = 0; i < reader.order_.size(); ++i)
    position_[static_cast<size_t>(reader.order_[i])] = static_cast<int32_t>(i);
}

bool ArrayRow::take(py::handle values) {
  if (!all_float_ || !is_plain_array(values)) return false;
  const auto* array = py::detail::array_proxy(values.ptr());
  if (array->nd != 1 || static_cast<size_t>(array->dimensions[0]) != reader_.order_.size()) return false;
  const auto dtype = py::reinterpret_borrow<py::dtype>(array->descr);
  const int number = dtype.num();
  is_double_ = number == py::detail::npy_api::NPY_DOUBLE_;
  if (!is_double_ && number != py::detail::npy_api::NPY_FLOAT_) return false;
  if ((is_double_ && !all_double_) || !is_native(dtype)) return false;
  data_ = array->data;
  stride_ = array->strides[0];
  return true;
}

template <class From, class To>
void ArrayRow::copy(std::span<const int32_t> columns, std::byte* out) const {
  if constexpr (std::is_same_v<From, To>) {
    const int32_t start = position_[static_cast<size_t>(columns[0])];
    bool adjacent = stride_ == static_cast<int64_t>(sizeof(From));
    for (size_t i = 0; i < columns.size(); ++i)
      adjacent &= position_[static_cast<size_t>(columns[i])] == start + static_cast<int32_t>(i);
    if (adjacent) {
      std::memcpy(out, data_ + start * stride_, columns.size() * sizeof(From));
      return;
    }
  }
  for (int32_t column : columns) {
    const auto value = static_cast<To>(load<From>(data_ + position_[static_cast<size_t>(column)] * stride_));
    std::memcpy(out, &value, sizeof value);
    out += sizeof value;
  }
}

void ArrayRow::read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const {
  ArrayRow::read_columns({&column, 1}, first, n, dtype, static_cast<std::byte*>(out));
}

void ArrayRow::read_columns(std::span<const int32_t> columns, int64_t first, int64_t n, DType dtype,
                            std::byte* out) const {
  if (dtype == DType::f32)
    return is_double_ ? copy<double, float>(columns, out) : copy<float, float>(columns, out);
  if (dtype == DType::f64)
    return is_double_ ? copy<double, double>(columns, out) : copy<float, double>(columns, out);
  for (int32_t column : columns) {
    const auto index = static_cast<size_t>(column);
    ColumnView view;
    view.storage = is_double_ ? Storage::float64 : Storage::float32;
    view.type.kind = is_double_ ? Kind::float64 : Kind::float32;
    view.length = 1;
    view.data = data_ + position_[index] * stride_;
    decode(reader_.schema_[index], view, first, n, dtype, out);
    out += size_of(dtype);
  }
}

}  // namespace mlcore

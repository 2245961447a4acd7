#include "bindings/py_value.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/status.h"
#include "bindings/py_time.h"

namespace py = pybind11;

namespace mlcore {
namespace {

constexpr const char* kInexact = "cannot hold exactly";
constexpr const char* kOutOfRange = "cannot hold";

// Scalar types that are no subclasses of Python's own; compared by identity.
struct NumpyScalars {
  std::array<PyTypeObject*, 10> integers{};
  PyTypeObject* float32 = nullptr;
  PyTypeObject* float16 = nullptr;
  PyTypeObject* boolean = nullptr;
};

const NumpyScalars& numpy_scalars() {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<NumpyScalars> storage;
  return storage
      .call_once_and_store_result([] {
        const py::module_ numpy = py::module_::import("numpy");
        const auto type = [&](const char* name) {
          return reinterpret_cast<PyTypeObject*>(py::object(numpy.attr(name)).release().ptr());
        };
        NumpyScalars out;
        constexpr std::array<const char*, 10> kNames{"int8",   "int16",  "int32",  "int64",    "uint8",
                                                     "uint16", "uint32", "uint64", "longlong", "ulonglong"};
        for (size_t i = 0; i < kNames.size(); ++i) out.integers[i] = type(kNames[i]);
        out.float32 = type("float32");
        out.float16 = type("float16");
        out.boolean = type("bool_");
        return out;
      })
      .get_stored();
}

bool is_numpy_integer(PyObject* value) {
  for (const PyTypeObject* type : numpy_scalars().integers)
    if (Py_TYPE(value) == type) return true;
  return false;
}

bool has_type_name(PyObject* value, std::string_view name) {
  const std::string_view found = Py_TYPE(value)->tp_name;
  return found == name || (found.ends_with(name) && found[found.size() - name.size() - 1] == '.');
}

bool is_temporal(Kind kind) {
  return kind == Kind::date32 || kind == Kind::date64 || kind == Kind::timestamp;
}

// float, numpy.float64 (a float), numpy.float32, numpy.float16
bool as_double(PyObject* value, double& out) {
  if (PyFloat_Check(value)) {
    out = PyFloat_AS_DOUBLE(value);
    return true;
  }
  if (Py_TYPE(value) != numpy_scalars().float32 && Py_TYPE(value) != numpy_scalars().float16) return false;
  out = PyFloat_AsDouble(value);
  if (out == -1.0 && PyErr_Occurred()) throw py::error_already_set();
  return true;
}

// int (no bool) and NumPy integers; a null object for anything else
py::object as_integer(PyObject* value) {
  if (PyLong_Check(value))
    return PyBool_Check(value) ? py::object() : py::reinterpret_borrow<py::object>(value);
  if (!is_numpy_integer(value)) return {};
  py::object out = py::reinterpret_steal<py::object>(PyNumber_Index(value));
  if (!out) throw py::error_already_set();
  return out;
}

template <class T>
void put(std::byte* out, T value) {
  std::memcpy(out, &value, sizeof value);
}

void put_missing(Kind kind, std::byte* out) {
  if (!put_number(std::numeric_limits<double>::quiet_NaN(), kind, out))
    std::memset(out, 0, plain_layout(kind).width);
}

// Why a kind of numbers does not take an integer.
const char* reason_against_integer(Kind kind) {
  if (kind == Kind::float64 || kind == Kind::float32 || kind == Kind::float16) return kInexact;
  return kind >= Kind::int8 && kind <= Kind::uint64 ? kOutOfRange : nullptr;
}

ValueResult put_large_integer(PyObject* value, Kind kind, std::byte* out) {
  if (kind == Kind::uint64) {
    const unsigned long long wide = PyLong_AsUnsignedLongLong(value);
    if (wide == std::numeric_limits<unsigned long long>::max() && PyErr_Occurred()) {
      PyErr_Clear();
      return ValueResult::refused(kOutOfRange);
    }
    put(out, static_cast<uint64_t>(wide));
    return {};
  }
  if (reason_against_integer(kind) != kInexact) return ValueResult::refused(reason_against_integer(kind));
  const double nearest = PyLong_AsDouble(value);
  if (nearest == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    return ValueResult::refused(kInexact);
  }
  const py::object back = py::reinterpret_steal<py::object>(PyLong_FromDouble(nearest));
  if (!back) throw py::error_already_set();
  const int same = PyObject_RichCompareBool(back.ptr(), value, Py_EQ);
  if (same < 0) throw py::error_already_set();
  return same != 0 && put_number(nearest, kind, out) ? ValueResult{} : ValueResult::refused(kInexact);
}

ValueResult read_integer(PyObject* value, Kind kind, std::byte* out) {
  int overflow = 0;
  const int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (number == -1 && overflow == 0 && PyErr_Occurred()) throw py::error_already_set();
  if (overflow != 0) return put_large_integer(value, kind, out);
  return put_number(number, kind, out) ? ValueResult{} : ValueResult::refused(reason_against_integer(kind));
}

// decimal.Decimal where a double equals it
ValueResult read_decimal(PyObject* value, Kind kind, std::byte* out) {
  const py::object nearest = py::reinterpret_steal<py::object>(PyNumber_Float(value));
  if (!nearest) {
    PyErr_Clear();  // a signalling NaN
    return ValueResult::refused();
  }
  const double number = PyFloat_AS_DOUBLE(nearest.ptr());
  if (std::isnan(number)) return ValueResult::absent(kNaN);
  const int same = PyObject_RichCompareBool(value, nearest.ptr(), Py_EQ);
  if (same < 0) throw py::error_already_set();
  return same != 0 && put_number(number, kind, out) ? ValueResult{} : ValueResult::refused(kInexact);
}

ValueResult missing_or_wrong(PyObject* value, Kind kind) {
  if (value == Py_None) return ValueResult::absent(kNone);
  double number = 0.0;
  if (as_double(value, number) && std::isnan(number)) return ValueResult::absent(kNaN);
  if (has_type_name(value, "NAType")) return ValueResult::absent(kNull);
  if (is_temporal(kind) && has_type_name(value, "NaTType")) return ValueResult::absent(kNull);
  return ValueResult::refused();
}

ValueResult read_present(PyObject* value, const LogicalType& type, std::byte* out) {
  const Kind kind = type.kind;
  if (kind == Kind::boolean) {
    if (value != Py_True && value != Py_False && Py_TYPE(value) != numpy_scalars().boolean)
      return ValueResult::refused();
    const int truth = PyObject_IsTrue(value);
    if (truth < 0) throw py::error_already_set();
    put(out, static_cast<uint8_t>(truth));
    return {};
  }
  if (is_temporal(kind)) {
    int64_t ticks = 0;
    const TimeResult result = read_time(value, type, ticks);
    if (result == TimeResult::missing) return ValueResult::absent(kNull);
    if (result == TimeResult::other_type) return ValueResult::refused();
    if (result == TimeResult::inexact) return ValueResult::refused(kInexact);
    if (kind == Kind::date32)
      return put_number(ticks, Kind::int32, out) ? ValueResult{} : ValueResult::refused(kOutOfRange);
    put(out, ticks);
    return {};
  }
  const bool is_float = kind == Kind::float64 || kind == Kind::float32 || kind == Kind::float16;
  double number = 0.0;
  if (is_float && as_double(value, number)) {
    if (std::isnan(number)) return ValueResult::absent(kNaN);
    return put_number(number, kind, out) ? ValueResult{} : ValueResult::refused(kInexact);
  }
  if (const py::object integer = as_integer(value)) return read_integer(integer.ptr(), kind, out);
  if (is_float && has_type_name(value, "decimal.Decimal")) return read_decimal(value, kind, out);
  return ValueResult::refused();
}

}  // namespace

ValueResult read_value(PyObject* value, const LogicalType& type, std::byte* out) {
  ValueResult result = read_present(value, type, out);
  if (result.state == ValueState::wrong && result.reason == nullptr)
    result = missing_or_wrong(value, type.kind);
  if (result.state != ValueState::present) put_missing(type.kind, out);
  return result;
}

ValueResult read_text(PyObject* value, std::string_view& out) {
  if (!PyUnicode_Check(value)) return missing_or_wrong(value, Kind::string);
  Py_ssize_t size = 0;
  const char* data = PyUnicode_AsUTF8AndSize(value, &size);
  if (!data) {
    PyErr_Clear();
    return ValueResult::refused("cannot hold: a lone surrogate is no Unicode text");
  }
  out = {data, static_cast<size_t>(size)};
  return {};
}

std::string describe_value(PyObject* value) {
  if (value == Py_None) return "None";
  const std::string type = Py_TYPE(value)->tp_name;
  constexpr Py_ssize_t kShown = 60;
  py::object shown;
  if (PyUnicode_Check(value) && PyUnicode_GET_LENGTH(value) > kShown) {
    shown = py::reinterpret_steal<py::object>(PyUnicode_Substring(value, 0, kShown));
    if (shown) shown = py::reinterpret_steal<py::object>(PyObject_Repr(shown.ptr()));
    if (shown) shown = py::str("{}...").format(shown);
  } else {
    shown = py::reinterpret_steal<py::object>(PyObject_Repr(value));
    if (shown && PyUnicode_GET_LENGTH(shown.ptr()) > kShown + 2)
      shown = py::str("{}...").format(
          py::reinterpret_steal<py::object>(PyUnicode_Substring(shown.ptr(), 0, kShown)));
  }
  const char* characters = shown ? PyUnicode_AsUTF8(shown.ptr()) : nullptr;
  if (!characters) {
    PyErr_Clear();  // a foreign __repr__ failed: the type must do
    return type;
  }
  return type + " (" + characters + ")";
}

std::string describe_wrong(PyObject* value, const ValueResult& result, const LogicalType& type) {
  std::string out = describe_value(value);
  if (result.reason) out += ", which " + name_of(type) + " " + result.reason;
  return out;
}

}  // namespace mlcore

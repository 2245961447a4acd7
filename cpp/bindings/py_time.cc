#include "bindings/py_time.h"

#include <datetime.h>

#include <limits>
#include <string>

namespace py = pybind11;

namespace mlcore {
namespace {

using Wide = __int128;

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kSecondsPerDay = 86'400;

// Days from 1970-01-01 in the proleptic Gregorian calendar.
int64_t days_from_civil(int64_t year, int64_t month, int64_t day) {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719'468;
}

Wide nanos_per_tick(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::second: return kNanosPerSecond;
    case TimeUnit::milli: return 1'000'000;
    case TimeUnit::micro: return 1'000;
    case TimeUnit::nano: break;
  }
  return 1;
}

TimeResult to_ticks(Wide nanos, Wide per_tick, int64_t& ticks) {
  if (nanos % per_tick != 0) return TimeResult::inexact;
  const Wide out = nanos / per_tick;
  if (out < std::numeric_limits<int64_t>::min() || out > std::numeric_limits<int64_t>::max())
    return TimeResult::inexact;
  ticks = static_cast<int64_t>(out);
  return TimeResult::present;
}

// 0 for units of no fixed length and units finer than a nanosecond
Wide nanos_of_numpy_unit(const std::string& unit) {
  if (unit == "ns") return 1;
  if (unit == "us") return 1'000;
  if (unit == "ms") return 1'000'000;
  if (unit == "s") return kNanosPerSecond;
  if (unit == "m") return Wide{60} * kNanosPerSecond;
  if (unit == "h") return Wide{3'600} * kNanosPerSecond;
  if (unit == "D") return Wide{kSecondsPerDay} * kNanosPerSecond;
  if (unit == "W") return Wide{7 * kSecondsPerDay} * kNanosPerSecond;
  return 0;
}

TimeResult read_datetime64(const py::object& value, const LogicalType& type, int64_t& ticks) {
  const py::tuple data = py::module_::import("numpy").attr("datetime_data")(value.attr("dtype"));
  const std::string unit = py::str(data[0]);
  const auto count = py::cast<int64_t>(data[1]);
  const auto raw = py::cast<int64_t>(value.attr("astype")("int64"));
  if (raw == std::numeric_limits<int64_t>::min()) return TimeResult::missing;
  const Wide per_unit = nanos_of_numpy_unit(unit);
  if (per_unit == 0) return TimeResult::other_type;
  const bool days = unit == "D" || unit == "W";
  if (type.kind != Kind::timestamp && !days) return TimeResult::other_type;
  Wide per_tick = nanos_per_tick(type.unit);
  if (type.kind == Kind::date32) per_tick = nanos_of_numpy_unit("D");
  if (type.kind == Kind::date64) per_tick = nanos_of_numpy_unit("ms");
  return to_ticks(Wide{raw} * count * per_unit, per_tick, ticks);
}

Wide nanos_of_datetime(PyObject* value) {
  const int64_t days =
      days_from_civil(PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value), PyDateTime_GET_DAY(value));
  const int64_t seconds = days * kSecondsPerDay + PyDateTime_DATE_GET_HOUR(value) * 3'600 +
                          PyDateTime_DATE_GET_MINUTE(value) * 60 + PyDateTime_DATE_GET_SECOND(value);
  return Wide{seconds} * kNanosPerSecond + Wide{PyDateTime_DATE_GET_MICROSECOND(value)} * 1'000;
}

}  // namespace

TimeResult read_time(PyObject* value, const LogicalType& type, int64_t& ticks) {
  if (!PyDateTimeAPI) {
    PyDateTime_IMPORT;
    if (!PyDateTimeAPI) throw py::error_already_set();
  }
  const auto object = py::reinterpret_borrow<py::object>(value);
  const std::string_view type_name = Py_TYPE(value)->tp_name;
  const bool zoned = type.kind == Kind::timestamp && !type.timezone.empty();
  if (type_name == "numpy.datetime64")
    return zoned ? TimeResult::other_type : read_datetime64(object, type, ticks);
  if (!PyDate_Check(value) || type_name.ends_with("NaTType")) return TimeResult::other_type;
  if (!PyDateTime_Check(value)) {
    const int64_t days =
        days_from_civil(PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value), PyDateTime_GET_DAY(value));
    if (type.kind == Kind::timestamp) return TimeResult::other_type;
    ticks = type.kind == Kind::date32 ? days : days * kSecondsPerDay * 1'000;
    return TimeResult::present;
  }
  if (type.kind != Kind::timestamp) return TimeResult::other_type;
  const py::object offset = object.attr("utcoffset")();
  if (offset.is_none() == zoned) return TimeResult::other_type;
  // pandas.Timestamp holds nanoseconds and years that datetime cannot; its asm8 is the instant in UTC
  if (!PyDateTime_CheckExact(value) && py::hasattr(object, "asm8")) {
    const LogicalType naive{Kind::timestamp, type.unit, {}};
    return read_datetime64(object.attr("asm8"), naive, ticks);
  }
  Wide nanos = nanos_of_datetime(value);
  if (zoned) {
    nanos -= (Wide{PyDateTime_DELTA_GET_DAYS(offset.ptr())} * kSecondsPerDay +
              PyDateTime_DELTA_GET_SECONDS(offset.ptr())) *
             kNanosPerSecond;
    nanos -= Wide{PyDateTime_DELTA_GET_MICROSECONDS(offset.ptr())} * 1'000;
  }
  return to_ticks(nanos, nanos_per_tick(type.unit), ticks);
}

}  // namespace mlcore

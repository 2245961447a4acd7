// Python dates and times as ticks of a schema's unit.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

#include "base/types.h"

namespace mlcore {

enum class TimeResult : uint8_t { present, missing, inexact, other_type };

// `type` is date32 (days), date64 (milliseconds) or timestamp. Dates come from datetime.date and
// datetime64[D]; timestamps from datetime.datetime, pandas.Timestamp and datetime64, with a zone exactly
// where the type has one.
TimeResult read_time(PyObject* value, const LogicalType& type, int64_t& ticks);

}  // namespace mlcore

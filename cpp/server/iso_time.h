// Dates and times as ISO 8601 writes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/types.h"

namespace mlcore::server {

// "2024-05-01" or "2024-05-01T12:30:00.25Z" (a space for the T; seconds may be absent; +02:00 for the Z) in
// ticks of a date32, date64 or timestamp; nothing when it is none, when the type cannot hold it exactly, or
// when one of the two has a zone and the other has not.
std::optional<int64_t> ticks_of(std::string_view text, const LogicalType& type);

}  // namespace mlcore::server

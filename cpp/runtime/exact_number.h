// When a number of one type is exactly a number of another. Integer arithmetic only, so that neither rounding
// mode nor flush-to-zero can change an answer.
#pragma once

#include <cstdint>
#include <string>

#include "base/types.h"
#include "kernels/exact_inl.h"

namespace mlcore {

// Whether a finite or non-finite double is a number of `kind`; NaN is one of each.
bool exact_in_float(double value, Kind kind);

// `width` bytes (4, 8, 16 or 32) of little-endian two's complement, times 10^-scale. False: no double equals
// it.
bool decimal_to_double(const void* bytes, int width, int32_t scale, double& out);
std::string decimal_text(const void* bytes, int width, int32_t scale);

}  // namespace mlcore

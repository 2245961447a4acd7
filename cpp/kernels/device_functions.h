// Names of what steps do, as the core and the kernels of a device both know them.
#pragma once

#include <cstdint>

namespace mlcore::device {

enum class Combination : uint8_t { add, sub, mul, div, min, max };
enum class Softmax : uint8_t { xgboost, lightgbm, sklearn };
enum class Norm : uint8_t { l1, l2, max };
enum class ZeroRows : uint8_t { keep, uniform, divide };
enum class DotOrder : uint8_t { blocked, sequential };

}  // namespace mlcore::device

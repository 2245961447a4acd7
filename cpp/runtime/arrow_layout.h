// One Arrow column: its schema parsed, and an array of that schema turned into a ColumnView.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/arrow_abi.h"
#include "runtime/arrow_import.h"
#include "runtime/batch.h"

namespace mlcore {

// What a column's ArrowSchema says.
struct ArrowLayout {
  Storage storage = Storage::unsupported;
  LogicalType type;
  uint8_t width = 0;  // decimal: bytes per value
  int32_t precision = 0;
  int32_t scale = 0;
  std::string problem;                            // unsupported: the type's name and why
  std::shared_ptr<const ArrowLayout> dictionary;  // then `storage` is of the indices
};

// "list", "binary", "float64": a type for messages, from an Arrow format string.
std::string arrow_type_name(std::string_view format);

// Throws ErrorCode::input on a schema that breaks the specification; a type that is only not supported gives
// Storage::unsupported, which matters when the column is bound.
ArrowLayout arrow_layout(const ArrowSchema& schema, std::string_view column);

// Bytes of an element that lies beside its neighbours; `width`: of a decimal.
int64_t element_bytes(Storage storage, uint8_t width);

void check_lengths(const ArrowArray& array, std::string_view column);

// Borrows from `array`. Throws ErrorCode::input where the array breaks the specification.
ColumnView arrow_view(const ArrowLayout& layout, const ArrowArray& array, std::string_view column,
                      Validation level, std::vector<KeepAlive>& keep_alive);

// A column of no rows.
ColumnView empty_view(const ArrowLayout& layout, std::vector<KeepAlive>& keep_alive);

}  // namespace mlcore

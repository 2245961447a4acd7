// Arrow C Data Interface out: a table of results as a struct array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/arrow_abi.h"
#include "base/types.h"

namespace mlcore {

// Columns are copied in once; every export shares the copy. Buffers are 64-byte aligned and every byte of
// them, padding included, is written. Column names may repeat, as Arrow allows.
class [[gnu::visibility("default")]] ArrowTable {
 public:
  explicit ArrowTable(int64_t rows);
  ~ArrowTable();
  ArrowTable(ArrowTable&&) noexcept;
  ArrowTable& operator=(ArrowTable&&) noexcept;

  int64_t rows() const;
  // A fixed-width column; `values` holds `rows` elements, booleans one byte each. Throws ErrorCode::input for
  // a kind without such a layout or a wrong byte count.
  void add(std::string name, const LogicalType& type, std::span<const std::byte> values);
  // A large_string column; a null `data` becomes a null.
  void add(std::string name, std::span<const StringRef> values);

  // The caller owns the result and calls its release.
  void export_schema(ArrowSchema* out) const;
  void export_array(ArrowArray* out) const;
  void export_stream(ArrowArrayStream* out) const;  // one struct array, then the end

 private:
  struct Data;
  std::shared_ptr<Data> data_;
};

}  // namespace mlcore

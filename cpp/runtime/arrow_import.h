// Arrow C Data Interface in, without libarrow. Every function takes ownership of what it is given, also when
// it throws: the source is marked moved-from, and each array, schema and stream is released exactly once.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/arrow_abi.h"
#include "runtime/batch.h"

namespace mlcore {

// How far the contents of imported buffers are trusted. Structure (formats, counts, null pointers, lengths)
// is always checked; that a buffer is as long as its length says cannot be checked through this interface.
enum class Validation : uint8_t {
  none,       // contents are what they claim: the producer is this program
  standard,   // offsets, dictionary indices, views and UTF-8 are checked as values are read
  full,       // all of them are checked at import, read or not
  elsewhere,  // they lie in another device's memory: none is read here
};
[[gnu::visibility("default")]] std::optional<Validation> validation_named(
    std::string_view name);  // "default": standard

// A struct array as a table, whose row 0 is called `first_row`. Throws ErrorCode::input.
[[gnu::visibility("default")]] Batch import_batch(ArrowSchema* schema, ArrowArray* array,
                                                  Validation level = Validation::standard,
                                                  int64_t first_row = 0);
// A table of no rows.
Batch empty_batch(ArrowSchema* schema);

// A stream of struct arrays, batch by batch.
class [[gnu::visibility("default")]] ArrowReader {
 public:
  explicit ArrowReader(ArrowArrayStream* stream, Validation level = Validation::standard);
  ~ArrowReader();
  ArrowReader(ArrowReader&&) noexcept;
  ArrowReader& operator=(ArrowReader&&) noexcept;

  std::span<const std::string> names() const;
  std::optional<Batch> next();  // empty at the end of the stream
  Batch empty() const;          // no rows, the stream's columns

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A stream, or one array, of any supported type as a column; `missing_kind` is what its nulls mean.
[[gnu::visibility("default")]] ChunkedColumn import_column(std::string name, ArrowArrayStream* stream,
                                                           MissingKind missing_kind, Validation level);
[[gnu::visibility("default")]] ChunkedColumn import_column(std::string name, ArrowSchema* schema,
                                                           ArrowArray* array, MissingKind missing_kind,
                                                           Validation level);

}  // namespace mlcore

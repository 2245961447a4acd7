// Tensors of several requests as one table for the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/batch.h"
#include "runtime/tensor.h"

namespace mlcore {

// What a missing value looks like in a tensor, besides a false in `<column>__valid`.
enum class NullPolicy : uint8_t {
  nan,           // NaN, and NaT (the smallest int64) in timestamps
  empty_string,  // and an empty text
  refuse,        // nothing is missing: NaN, NaT and `__valid` are errors
};
// The policy of this name; nothing: there is none.
std::optional<NullPolicy> null_policy_named(std::string_view name);

// The rows of one request. The bytes are whole: as many values as `rows` says, BYTES excepted, which are
// checked.
struct TensorRows {
  int64_t rows = 0;
  std::vector<int64_t> lead;                       // dimensions of the rows, as the first tensor has them
  std::vector<std::span<const std::byte>> values;  // by input
  std::vector<std::span<const std::byte>> valid;   // by input; empty: all are there

  // Holds the shape and size of a tensor, an input or with `type` BOOL what is there of it, to the tensors
  // before it. Throws ErrorCode::input.
  void expect(std::string_view name, const TensorInput& input, const TensorType& type,
              std::span<const int64_t> shape, size_t bytes);
};

class TensorTable {
 public:
  TensorTable(const Program& program, std::vector<TensorInput> inputs, NullPolicy nulls);

  // The rows of all, one after the other; valid until the next call and while their bytes are. Throws
  // ErrorCode::input for what is no column. Memory is reused from call to call.
  Batch of(std::span<const TensorRows* const> parts);

 private:
  struct Memory {
    std::vector<std::byte> values;  // or characters
    std::vector<int64_t> offsets;   // of text
    std::vector<uint8_t> missing;
  };

  void fill_values(size_t input, std::span<const TensorRows* const> parts, ColumnView& view);
  void fill_text(size_t input, std::span<const TensorRows* const> parts, int64_t rows, ColumnView& view);
  void fill_missing(size_t input, std::span<const TensorRows* const> parts, int64_t rows);
  void refuse_missing(const TensorInput& input, int64_t rows, const ColumnView& view) const;

  std::vector<TensorInput> inputs_;
  NullPolicy nulls_;
  Names names_;
  std::vector<Memory> memory_;  // by input
};

}  // namespace mlcore

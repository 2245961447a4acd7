#include "runtime/tensor_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"

namespace mlcore {
namespace {

int64_t product(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (const int64_t dim : shape)
    require(dim >= 0 && !__builtin_mul_overflow(count, dim, &count), ErrorCode::input,
            "expected a shape of numbers from 0 on but found ", dim);
  return count;
}

std::string shown(std::span<const int64_t> shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i > 0 ? "," : "") + text(shape[i]);
  return out + "]";
}

}  // namespace

std::optional<NullPolicy> null_policy_named(std::string_view name) {
  if (name == "nan") return NullPolicy::nan;
  if (name == "empty_string") return NullPolicy::empty_string;
  if (name == "refuse") return NullPolicy::refuse;
  return {};
}

void TensorRows::expect(std::string_view name, const TensorInput& input, const TensorType& type,
                        std::span<const int64_t> shape, size_t bytes) {
  const size_t own = input.matrix ? 1 : 0;  // dimensions that are not rows
  require(shape.size() > own && (own == 0 || shape.back() == input.width), ErrorCode::input, "input ",
          quoted(name), ": expected rows", own == 0 ? "" : " of " + text(input.width) + " values",
          " but found shape ", shown(shape));
  const std::span<const int64_t> found = shape.first(shape.size() - own);
  if (lead.empty()) {
    rows = product(found);
    lead.assign(found.begin(), found.end());
  }
  require(std::ranges::equal(found, lead), ErrorCode::input, "input ", quoted(name),
          ": expected rows of shape ", shown(lead), ", as in the first input, but found ", shown(found));
  expect_values(name, type, product(shape), bytes);
}

TensorTable::TensorTable(const Program& program, std::vector<TensorInput> inputs, NullPolicy nulls)
    : inputs_(std::move(inputs)), nulls_(nulls), memory_(inputs_.size()) {
  auto names = std::make_shared<std::vector<std::string>>();
  for (const ColumnSpec& column : program.schema) names->push_back(column.name);
  names_ = std::move(names);
}

Batch TensorTable::of(std::span<const TensorRows* const> parts) {
  int64_t rows = 0;
  for (const TensorRows* part : parts) rows += part->rows;
  std::vector<ColumnView> columns(names_->size());  // a column that is not used, and not sent, has nothing
  for (ColumnView& column : columns) column.length = rows;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const TensorInput& input = inputs_[i];
    ColumnView view;
    view.storage = input.type->storage;
    view.type = input.logical;
    view.length = rows;
    view.stride = static_cast<int64_t>(input.type->bytes) * input.width;
    view.sentinel = input.logical.kind == Kind::timestamp || input.logical.kind == Kind::date64;
    const auto values = static_cast<size_t>(rows * input.width);
    fill_missing(i, parts, rows * input.width);
    if (input.type->bytes == 0) fill_text(i, parts, rows, view);
    else fill_values(i, parts, view);
    if (nulls_ == NullPolicy::refuse) refuse_missing(input, rows, view);
    Memory& memory = memory_[i];
    const bool gaps = !memory.missing.empty();
    for (int64_t k = 0; k < input.width; ++k) {
      ColumnView& column = columns[input.column + static_cast<size_t>(k)] = view;
      if (input.type->bytes > 0 && values > 0)
        column.data = static_cast<const std::byte*>(view.data) + static_cast<size_t>(k) * input.type->bytes;
      if (gaps) column.mask = memory.missing.data() + k * rows;
    }
  }
  return Batch(rows, names_, std::move(columns), {});
}

void TensorTable::fill_values(size_t input, std::span<const TensorRows* const> parts, ColumnView& view) {
  view.data = parts.front()->values[input].data();
  if (parts.size() == 1) return;
  size_t size = 0;
  for (const TensorRows* part : parts) size += part->values[input].size();
  std::vector<std::byte>& values = memory_[input].values;
  values.resize(size);
  size_t done = 0;
  for (const TensorRows* part : parts) {
    const std::span<const std::byte> bytes = part->values[input];
    if (!bytes.empty()) std::memcpy(values.data() + done, bytes.data(), bytes.size());
    done += bytes.size();
  }
  view.data = values.data();
}

// BYTES: the length of each text, then the text. They are copied, so that the core checks them as a column.
void TensorTable::fill_text(size_t input, std::span<const TensorRows* const> parts, int64_t rows,
                            ColumnView& view) {
  Memory& memory = memory_[input];
  size_t size = 0;
  for (const TensorRows* part : parts) size += part->values[input].size();
  memory.values.resize(size);
  memory.offsets.resize(static_cast<size_t>(rows) + 1);
  std::byte* out = memory.values.data();
  size_t row = 0;
  for (const TensorRows* part : parts) {
    const std::span<const std::byte> bytes = part->values[input];
    size_t at = 0;
    for (int64_t i = 0; i < part->rows; ++i, ++row) {
      uint32_t length = 0;
      const size_t left = bytes.size() - at;
      if (left >= sizeof length) std::memcpy(&length, bytes.data() + at, sizeof length);
      require(left >= sizeof length && length <= left - sizeof length, ErrorCode::input, "input ",
              quoted(inputs_[input].name), ", row ", i, ": expected a text of 4 + ", size_t{length},
              " bytes but found ", left);
      at += sizeof length;
      if (length > 0) std::memcpy(out, bytes.data() + at, length);
      memory.offsets[row] = out - memory.values.data();
      out += length;
      at += length;
    }
    require(at == bytes.size(), ErrorCode::input, "input ", quoted(inputs_[input].name), ": expected ",
            part->rows, " texts but found ", bytes.size() - at, " bytes more");
  }
  memory.offsets[row] = out - memory.values.data();
  view.data = memory.values.data();
  view.offsets = memory.offsets.data();
  if (nulls_ == NullPolicy::empty_string) {
    for (size_t i = 0; i < row; ++i) {
      if (memory.offsets[i] != memory.offsets[i + 1]) continue;
      if (memory.missing.empty()) memory.missing.resize(row);
      memory.missing[i] = 1;
    }
  }
}

// From what the requests say is there, a byte for each value that is missing: column by column.
void TensorTable::fill_missing(size_t input, std::span<const TensorRows* const> parts, int64_t values) {
  std::vector<uint8_t>& missing = memory_[input].missing;
  missing.clear();
  const auto width = static_cast<size_t>(inputs_[input].width);
  const size_t rows = static_cast<size_t>(values) / width;
  size_t first = 0;
  for (const TensorRows* part : parts) {
    const auto count = static_cast<size_t>(part->rows);
    if (const std::span<const std::byte> valid = part->valid[input]; !valid.empty()) {
      if (missing.empty()) missing.resize(static_cast<size_t>(values));
      for (size_t i = 0; i < count * width; ++i)
        missing[(i % width) * rows + first + i / width] = valid[i] == std::byte{0};
    }
    first += count;
  }
}

void TensorTable::refuse_missing(const TensorInput& input, int64_t rows, const ColumnView& view) const {
  const auto count = static_cast<size_t>(rows * input.width);
  const auto at = [&]<class T>(size_t i, T) {
    T value;
    std::memcpy(&value, static_cast<const std::byte*>(view.data) + i * sizeof value, sizeof value);
    return value;
  };
  for (size_t i = 0; i < count; ++i) {
    const bool missing = view.sentinel ? at(i, int64_t{}) == std::numeric_limits<int64_t>::min()
                         : view.storage == Storage::float64 ? std::isnan(at(i, double{}))
                         : view.storage == Storage::float32 ? std::isnan(at(i, float{}))
                         : view.storage == Storage::float16 ? (at(i, uint16_t{}) & 0x7fff) > 0x7c00
                                                            : false;
    require(!missing, ErrorCode::input, "input ", quoted(input.name), ", row ",
            i / static_cast<size_t>(input.width),
            ": expected a value, as null_policy is 'refuse', but found a missing one");
  }
}

}  // namespace mlcore

#include "device/host_rows.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "runtime/arrow_layout.h"
#include "runtime/column_reader.h"

namespace mlcore {

HostColumn::HostColumn(const ColumnView& column, std::string_view name, int64_t first, int64_t rows,
                       const ColumnView* dictionary, const CopyToHost& copy)
    : view_(column) {
  view_.length = rows;
  view_.offset = 0;
  view_.first_row = column.first_row + first;
  view_.validity = nullptr;
  view_.data = view_.offsets = nullptr;
  view_.dictionary = dictionary;
  view_.trusted = false;
  if (rows == 0 || column.storage == Storage::unsupported || column.storage == Storage::none) return;
  const int64_t start = column.offset + first;
  if (column.validity) {
    missing_ = read_bits(column.validity, start, rows, copy);
    for (uint8_t& bit : missing_) bit ^= 1;
    view_.mask = missing_.data();
  }
  if (column.storage == Storage::utf8) read_text<int32_t>(column, name, start, copy);
  else if (column.storage == Storage::large_utf8) read_text<int64_t>(column, name, start, copy);
  else read_numbers(column, start, copy);
}

// A byte of 0 or 1 for each.
std::vector<uint8_t> HostColumn::read_bits(const void* bits, int64_t start, int64_t rows,
                                           const CopyToHost& copy) const {
  std::vector<uint8_t> packed(static_cast<size_t>((start % 8 + rows + 7) / 8));
  copy(packed.data(), static_cast<const std::byte*>(bits) + start / 8, packed.size());
  std::vector<uint8_t> out(static_cast<size_t>(rows));
  for (int64_t i = 0; i < rows; ++i) out[static_cast<size_t>(i)] = bit_at(packed.data(), start % 8 + i);
  return out;
}

void HostColumn::read_numbers(const ColumnView& column, int64_t start, const CopyToHost& copy) {
  if (column.storage == Storage::bits) {
    const std::vector<uint8_t> values = read_bits(column.data, start, view_.length, copy);
    const auto bytes = std::as_bytes(std::span(values));
    data_.assign(bytes.begin(), bytes.end());
    view_.storage = Storage::bytes;
    view_.stride = 1;
    view_.data = data_.data();
    return;
  }
  // from the lowest address on, whichever way the rows go
  const int64_t span = (view_.length - 1) * std::abs(column.stride), lowest = column.stride < 0 ? -span : 0;
  data_.resize(static_cast<size_t>(span + element_bytes(column.storage, column.width)));
  copy(data_.data(), static_cast<const std::byte*>(column.data) + start * column.stride + lowest,
       data_.size());
  view_.data = data_.data() - lowest;
}

template <class Offset>
void HostColumn::read_text(const ColumnView& column, std::string_view name, int64_t start,
                           const CopyToHost& copy) {
  const auto* const from = static_cast<const Offset*>(column.offsets);
  const auto rows = static_cast<size_t>(view_.length);
  std::vector<Offset> found(rows + 1), ends(2);
  copy(found.data(), from + start, sizeof(Offset) * found.size());
  copy(&ends[0], from + column.offset, sizeof(Offset));
  copy(&ends[1], from + column.offset + column.length, sizeof(Offset));
  const auto lowest = static_cast<int64_t>(ends[0]), highest = static_cast<int64_t>(ends[1]);
  const auto is_there = [&](size_t row) { return missing_.empty() || missing_[row] == 0; };
  int64_t begin = highest, end = lowest;  // of the text of the rows that are there
  for (size_t row = 0; row < rows; ++row) {
    if (!is_there(row)) continue;
    const auto low = static_cast<int64_t>(found[row]), high = static_cast<int64_t>(found[row + 1]);
    require(lowest >= 0 && low >= lowest && high >= low && high <= highest, ErrorCode::input,
            ColumnName{name}, ", row ", view_.first_row + static_cast<int64_t>(row),
            ": expected string offsets in order between ", lowest, " and ", highest, " but found ", low,
            " and ", high);
    require(high == low || column.data != nullptr, ErrorCode::input, ColumnName{name}, ", row ",
            view_.first_row + static_cast<int64_t>(row),
            ": expected characters but found a null data buffer");
    begin = std::min(begin, low);
    end = std::max(end, high);
  }
  begin = std::min(begin, end);
  data_.resize(static_cast<size_t>(end - begin));
  if (!data_.empty()) copy(data_.data(), static_cast<const std::byte*>(column.data) + begin, data_.size());
  // those that only missing rows have may be anything
  std::vector<int64_t> offsets(rows + 1);
  for (size_t i = 0; i <= rows; ++i)
    offsets[i] = std::clamp(static_cast<int64_t>(found[i]), begin, end) - begin;
  if (!is_there(0)) offsets.front() = 0;
  if (!is_there(rows - 1)) offsets.back() = end - begin;
  const auto bytes = std::as_bytes(std::span(offsets));
  offsets_.assign(bytes.begin(), bytes.end());
  view_.storage = Storage::large_utf8;
  view_.offsets = offsets_.data();
  view_.data = data_.data();
}

HostRows::HostRows(const std::vector<ColumnSpec>& schema, std::span<const ColumnView* const> columns,
                   std::span<const ColumnView* const> dictionaries, int64_t first, int64_t rows,
                   const CopyToHost& copy) {
  std::vector<std::string> names;
  std::vector<ColumnView> views;
  for (size_t i = 0; i < schema.size(); ++i) {
    if (columns[i] == nullptr) continue;
    columns_.emplace_back(*columns[i], schema[i].name, first, rows, dictionaries[i], copy);
    names.push_back(schema[i].name);
    views.push_back(columns_.back().view());
  }
  batch_ =
      Batch(rows, std::make_shared<const std::vector<std::string>>(std::move(names)), std::move(views), {});
}

}  // namespace mlcore

// How the values that cross to the device are read from a table that lies there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "device/column_feed.h"
#include "device/device_table.h"
#include "device/host_rows.h"

namespace mlcore {

// A crossing as numbers of a column, or as entries of a table, from row 0 on.
struct TableInput {
  std::optional<device::Strided> numbers;
  std::optional<device::Entries> entries;

  // From row `first` on.
  device::Strided numbers_from(int64_t first) const;
  device::Entries entries_from(int64_t first) const;
};

class TableInputs {
 public:
  // Matches the columns with the model's. Throws ErrorCode::input with the messages of a table of the host,
  // and where a column that one of `crossings` needs cannot be read on the device. `feeds`: by schema column,
  // null where nothing depends on it alone.
  TableInputs(const Model& model, const Cut& cut, std::span<const std::unique_ptr<ColumnFeed>> feeds,
              const DeviceTable& table, std::span<const int32_t> crossings);

  // Memory that the tables of the columns' dictionaries need, here and on the device.
  size_t bytes() const { return bytes_; }
  // Brings the dictionaries here and fills the tables in `host`, for a copy of them in `device`.
  void fill(std::byte* host, const std::byte* device, const CopyToHost& copy);

  const TableInput& of(int32_t crossing) const { return inputs_[static_cast<size_t>(crossing)]; }
  HostRows rows(int64_t first, int64_t count, const CopyToHost& copy);

 private:
  struct Dictionary {
    int32_t column;
    const ColumnFeed* feed;            // null: only rows that come to the host need it
    size_t place;                      // of its tables
    std::optional<HostColumn> values;  // when they are here
  };
  const ColumnView& values_of(Dictionary& dictionary, const CopyToHost& copy);
  TableInput read(int32_t crossing);

  const Model& model_;
  const Cut& cut_;
  std::span<const std::unique_ptr<ColumnFeed>> feeds_;
  std::vector<const ColumnView*> columns_;  // by schema column; null: the table has none
  std::vector<int32_t> crossings_;
  std::vector<TableInput> inputs_;  // by crossing
  std::vector<Dictionary> dictionaries_;
  size_t bytes_ = 0;
};

}  // namespace mlcore

// What the host makes of one column alone, as tables that a device looks rows up in: of every entry of a
// dictionary, or of every text that the steps tell from others. The host's own plan fills them, so that its
// checks are the CPU's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device/cut.h"
#include "device/library.h"
#include "runtime/model.h"

namespace mlcore {

class ColumnFeed {
 public:
  // `crossings`: those of `cut` that depend on schema column `column` and no other.
  ColumnFeed(const Cut& cut, int32_t column, std::vector<int32_t> crossings, const OpenDevice& device);
  ~ColumnFeed();
  ColumnFeed(const ColumnFeed&) = delete;
  ColumnFeed& operator=(const ColumnFeed&) = delete;

  // Memory for the tables of `entries` entries.
  size_t bytes(int64_t entries) const;
  // Fills them for a dictionary of the host; an entry that the host refuses is marked.
  void fill(const ColumnView& dictionary, std::byte* to) const;
  // What a crossing's rows are looked up in, where `tables` lie.
  device::Entries entries(int32_t crossing, int64_t count, const std::byte* tables) const;

  // The same for strings: built when first asked for. Empty where a step does more with text than telling it
  // from known ones.
  std::optional<device::Entries> text_entries(int32_t crossing) const;

 private:
  struct Text;
  const Model& model() const;
  void fill_rows(const Batch& batch, int32_t output, std::byte* values, std::byte* refused) const;
  size_t value_bytes(size_t index) const;
  std::optional<std::vector<std::string_view>> known_texts() const;
  std::unique_ptr<Text> build_text() const;

  const Cut& cut_;
  int32_t column_;
  std::vector<int32_t> crossings_;
  const OpenDevice& device_;
  mutable std::once_flag model_once_;
  mutable std::unique_ptr<Model> model_;  // outputs: the crossings
  mutable std::mutex mutex_;              // of the text
  mutable std::unique_ptr<Text> text_;
};

}  // namespace mlcore

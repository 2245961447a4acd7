// From text to the code of its category: an immutable hash map, read many values at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/types.h"

namespace mlcore {

// Open addressing at half load. A slot is half a cache line and holds a key of up to 16 bytes itself, as two
// words that are compared at once; longer keys are compared by hash and length, then in the text. The hash
// has a random seed, so that no file and no table can be made to collide; a seed that puts a key far from its
// home is replaced.
class StringMap {
 public:
  static constexpr int32_t kAbsent = -2;
  struct Seed {
    uint64_t first;
    uint64_t second;
  };
  static Seed random_seed();

  // Key i is text[offsets[i], offsets[i + 1]) and stands for codes[i], or for i when there are no codes; no
  // code is kAbsent. `text` must outlive the map.
  StringMap(std::span<const int64_t> offsets, const char* text, std::span<const int32_t> codes,
            Seed seed = random_seed());

  // The first key that equals one before it: the map is then of no use.
  std::optional<int64_t> repeated() const { return repeated_; }

  // The code of each of n values, kAbsent for those that are no key and those that are missing.
  void find(const StringRef* values, int64_t n, int32_t* codes) const;

 private:
  static constexpr int64_t kEmpty = -1;
  struct alignas(32) Slot {
    uint64_t first;  // the words of a short key; the hash and the place in the text of a long one
    uint64_t second;
    int64_t length = kEmpty;
    int32_t code;
  };
  struct Probe {
    uint64_t first;
    uint64_t second;
    uint64_t slot;
  };

  Probe probe_of(const char* key, int64_t length) const;
  const Slot* find_slot(const Probe& probe, const char* key, int64_t length) const;
  bool fill(std::span<const int64_t> offsets, std::span<const int32_t> codes);

  Seed seed_;
  const char* text_;
  uint64_t home_slots_;      // slots that a hash may point to; runs may go on behind them
  std::vector<Slot> slots_;  // the last one is always empty
  std::optional<int64_t> repeated_;
};

}  // namespace mlcore

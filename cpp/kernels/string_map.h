// From text to the code of its category: an immutable perfect hash map, read many values at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/types.h"
#include "kernels/text_seed.h"

namespace mlcore {

// Every key has a slot of its own, so that a look-up is one compare and never a search: keys fall into small
// buckets, and each bucket has a shift, a byte, under which none of its keys meets another in the slots
// ("hash and displace"). A slot is half a cache line and holds a key of up to 16 bytes itself, as two words;
// longer keys are compared by hash and length, then in the text. The hash has a random seed, so that no file
// and no table can be made to collide; a seed under which some bucket finds no shift is replaced.
class StringMap {
 public:
  static constexpr int32_t kAbsent = -2;
  static constexpr int64_t kGroup = 32;  // values that are looked up together
  using Seed = text_key::Seed;

  // Key i is text[offsets[i], offsets[i + 1]) and stands for codes[i], or for i when there are no codes; no
  // code is kAbsent. `text` must outlive the map.
  StringMap(std::span<const int64_t> offsets, const char* text, std::span<const int32_t> codes,
            Seed seed = text_key::random_seed());

  // The first key that equals one before it: the map is then of no use.
  std::optional<int64_t> repeated() const { return repeated_; }

  // The code of each of n <= kGroup values, kAbsent for those that are no key and those that are missing,
  // whose bits are set in what is returned.
  uint32_t find_group(const StringRef* values, int64_t n, int32_t* codes) const;
  // Of any number of values.
  void find(const StringRef* values, int64_t n, int32_t* codes) const;

 private:
  struct alignas(32) Slot {
    uint64_t first;  // the words of a short key; the hash and the place in the text of a long one
    uint64_t second;
    int64_t length = -1;  // of no value
    int32_t code = kAbsent;
  };
  struct Key;
  class Filler;

  uint64_t slot_of(uint64_t hash) const { return slot_of(hash, shifts_[hash >> bucket_shift_]); }
  uint64_t slot_of(uint64_t hash, uint64_t shift) const {
    return ((hash >> 24) + shift * (hash | 1)) & slot_mask_;  // an odd step: it comes to every slot
  }

  Seed seed_;
  const char* text_;
  int bucket_shift_;
  uint64_t slot_mask_;
  std::vector<uint8_t> shifts_;  // by bucket
  std::vector<Slot> slots_;
  std::optional<int64_t> repeated_;
};

}  // namespace mlcore

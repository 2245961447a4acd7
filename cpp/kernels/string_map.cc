#include "kernels/string_map.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/status.h"

namespace mlcore {
namespace {

using text_key::kShort, text_key::mix, text_key::with_length;

constexpr uint64_t kBucketKeys = 4;  // on average, at most
constexpr uint64_t kFewestSlots = 32;
constexpr uint64_t kMostShift = 255;  // of a bucket
constexpr int kMaxSeeds = 32;

template <class T>
uint64_t load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

uint64_t hash_long(const char* key, int64_t length, StringMap::Seed seed) {
  uint64_t hash = seed.second;
  for (int64_t at = 0; at + kShort < length; at += kShort)
    hash = mix(load<uint64_t>(key + at) ^ seed.first, load<uint64_t>(key + at + 8) ^ hash);
  const char* tail = key + length - kShort;
  return with_length(mix(load<uint64_t>(tail) ^ seed.first, load<uint64_t>(tail + 8) ^ hash), length);
}

// A value as it is compared: up to 16 bytes as two words, which the bytes and their number determine and
// which determine the bytes; of longer ones the hash.
struct Words {
  uint64_t first;
  uint64_t second;
  uint64_t hash;
};

// Pieces overlap rather than go beyond either end.
inline Words words_of(const char* key, int64_t length, StringMap::Seed seed) {
  uint64_t first, second = 0;
  if (length >= 4 && length <= kShort) [[likely]] {
    // pieces of four bytes from either end: no branch on the length, which varies from value to value
    const char* const last = key + length - 4;
    const int64_t step = (length >> 3) * 4;
    first = load<uint32_t>(key) | load<uint32_t>(key + step) << 32;
    second = load<uint32_t>(last) | load<uint32_t>(last - step) << 32;
  } else if (length > kShort) {
    const uint64_t hash = hash_long(key, length, seed);
    return {hash, 0, hash};
  } else if (length > 0) {
    first = load<uint8_t>(key) | load<uint8_t>(key + length / 2) << 8 | load<uint8_t>(key + length - 1) << 16;
  } else {
    first = 0;
  }
  return {first, second, with_length(mix(first ^ seed.first, second ^ seed.second), length)};
}

}  // namespace

// A key on its way into a slot.
struct StringMap::Key {
  uint64_t hash;
  int64_t index;
};

class StringMap::Filler {
 public:
  Filler(StringMap& map, std::span<const int64_t> offsets, std::span<const int32_t> codes)
      : map_(map), offsets_(offsets), codes_(codes), taken_(map.slots_.size(), false) {}

  // False when some bucket finds no shift.
  bool fill() {
    sort_into_buckets();
    if (has_repeated()) return true;
    // the largest first, while there is room for them
    std::array<std::vector<size_t>, kLarge + 1> by_size;
    for (size_t bucket = 0; bucket < map_.shifts_.size(); ++bucket)
      by_size[std::min(keys_of(bucket).size(), kLarge)].push_back(bucket);
    for (size_t size = kLarge; size > 0; --size)
      for (size_t bucket : by_size[size])
        if (!place(bucket)) return false;
    return true;
  }

 private:
  static constexpr size_t kLarge = 64;  // far more than a bucket under a good seed has

  std::string_view text_of(int64_t key) const {
    const auto i = static_cast<size_t>(key);
    return {map_.text_ + offsets_[i], static_cast<size_t>(offsets_[i + 1] - offsets_[i])};
  }
  Words words_of_key(int64_t key) const {
    const std::string_view text = text_of(key);
    return words_of(text.data(), static_cast<int64_t>(text.size()), map_.seed_);
  }
  std::span<const Key> keys_of(size_t bucket) const {
    return std::span(keys_).subspan(first_[bucket], first_[bucket + 1] - first_[bucket]);
  }

  void sort_into_buckets() {
    const size_t count = offsets_.size() - 1;
    std::vector<uint64_t> hashes(count);
    first_.assign(map_.shifts_.size() + 1, 0);
    for (size_t i = 0; i < count; ++i) {
      hashes[i] = words_of_key(static_cast<int64_t>(i)).hash;
      ++first_[(hashes[i] >> map_.bucket_shift_) + 1];
    }
    for (size_t bucket = 0; bucket < map_.shifts_.size(); ++bucket) first_[bucket + 1] += first_[bucket];
    std::vector<size_t> next(first_.begin(), first_.end() - 1);
    keys_.resize(count);
    for (size_t i = 0; i < count; ++i)
      keys_[next[hashes[i] >> map_.bucket_shift_]++] = {hashes[i], static_cast<int64_t>(i)};
  }

  // Equal keys have one hash, so they lie in one bucket.
  bool has_repeated() {
    for (size_t bucket = 0; bucket < map_.shifts_.size(); ++bucket) {
      const std::span<Key> keys =
          std::span(keys_).subspan(first_[bucket], first_[bucket + 1] - first_[bucket]);
      std::ranges::sort(keys, [&](const Key& a, const Key& b) {
        if (a.hash != b.hash) return a.hash < b.hash;
        const int order = text_of(a.index).compare(text_of(b.index));
        return order != 0 ? order < 0 : a.index < b.index;
      });
      for (size_t i = 1; i < keys.size(); ++i)
        if (keys[i].hash == keys[i - 1].hash && text_of(keys[i].index) == text_of(keys[i - 1].index))
          if (!map_.repeated_ || keys[i].index < *map_.repeated_) map_.repeated_ = keys[i].index;
    }
    return map_.repeated_.has_value();
  }

  bool place(size_t bucket) {
    const std::span<const Key> keys = keys_of(bucket);
    for (uint64_t shift = 0; shift <= kMostShift; ++shift) {
      size_t placed = 0;
      for (; placed < keys.size(); ++placed) {
        const uint64_t slot = map_.slot_of(keys[placed].hash, shift);
        if (taken_[slot]) break;
        taken_[slot] = true;
      }
      if (placed == keys.size()) {
        map_.shifts_[bucket] = static_cast<uint8_t>(shift);
        for (const Key& key : keys) set(map_.slots_[map_.slot_of(key.hash, shift)], key.index);
        return true;
      }
      while (placed-- > 0) taken_[map_.slot_of(keys[placed].hash, shift)] = false;
    }
    return false;
  }

  void set(Slot& slot, int64_t key) const {
    const auto i = static_cast<size_t>(key);
    const Words words = words_of_key(key);
    slot.first = words.first;
    slot.length = offsets_[i + 1] - offsets_[i];
    slot.second = slot.length <= kShort ? words.second : static_cast<uint64_t>(offsets_[i]);
    slot.code = codes_.empty() ? static_cast<int32_t>(i) : codes_[i];
  }

  StringMap& map_;
  std::span<const int64_t> offsets_;
  std::span<const int32_t> codes_;
  std::vector<Key> keys_;      // by bucket
  std::vector<size_t> first_;  // of a bucket's keys, and behind the last
  std::vector<bool> taken_;
};

StringMap::StringMap(std::span<const int64_t> offsets, const char* text, std::span<const int32_t> codes,
                     Seed seed)
    : seed_(seed), text_(text) {
  const uint64_t count = offsets.size() - 1;
  const uint64_t buckets = std::bit_ceil(std::max<uint64_t>(count / kBucketKeys, 2));
  const uint64_t slots = std::bit_ceil(std::max(count + count / 2, kFewestSlots));
  bucket_shift_ = 64 - std::countr_zero(buckets);
  slot_mask_ = slots - 1;
  for (int tries = 0;; ++tries) {
    shifts_.assign(buckets, 0);
    slots_.assign(slots, Slot{});
    if (Filler(*this, offsets, codes).fill()) return;
    require(tries < kMaxSeeds, ErrorCode::program, "expected keys that hash to different values but found ",
            count, " that do not under ", kMaxSeeds, " seeds");
    seed_ = text_key::random_seed();
  }
}

uint32_t StringMap::find_group(const StringRef* values, int64_t n, int32_t* codes) const {
  struct Probe {
    uint64_t first, second;
    const Slot* slot;
  };
  std::array<Probe, kGroup> probes;
  for (int64_t i = 0; i < n; ++i) {
    Probe& probe = probes[static_cast<size_t>(i)];
    if (!values[i].data) [[unlikely]] {
      probe.slot = slots_.data();  // whose length is not that of a missing value
      continue;
    }
    const Words words = words_of(values[i].data, values[i].size, seed_);
    probe = {words.first, words.second, slots_.data() + slot_of(words.hash)};
    __builtin_prefetch(probe.slot);
  }
  uint32_t absent = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Probe& probe = probes[static_cast<size_t>(i)];
    const Slot& slot = *probe.slot;
    const int64_t length = values[i].size;
    bool found =
        values[i].data && ((slot.first ^ probe.first) | static_cast<uint64_t>(slot.length ^ length)) == 0;
    if (length <= kShort) found = found & (slot.second == probe.second);
    else found = found && std::memcmp(text_ + slot.second, values[i].data, static_cast<size_t>(length)) == 0;
    codes[i] = found ? slot.code : kAbsent;
    absent |= static_cast<uint32_t>(!found) << i;
  }
  return absent;
}

void StringMap::find(const StringRef* values, int64_t n, int32_t* codes) const {
  for (int64_t at = 0; at < n; at += kGroup) find_group(values + at, std::min(kGroup, n - at), codes + at);
}

}  // namespace mlcore

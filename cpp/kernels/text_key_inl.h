// Where text lies in a table of keys that is addressed by hash: formulas that a compiler for GPUs may take
// too. A slot holds a key of up to 16 bytes itself, as two words that are compared at once; of a longer one
// its hash and where it starts. The hash has a random seed, so that no file and no table can be made to
// collide, and a seed that puts a key far from its home is replaced: a look-up visits at most kMostSlots
// slots.
#pragma once

#include <cstdint>

namespace mlcore::text_key {

inline constexpr int64_t kShort = 16;  // bytes of a key that a slot holds itself
inline constexpr int64_t kEmpty = -1;  // length that says so
inline constexpr uint64_t kMostSlots = 128;

struct Seed {
  uint64_t first, second;
};

struct alignas(32) Slot {
  uint64_t first = 0, second = 0;  // a short key; the hash of a long one, and the place of its bytes
  int64_t length = kEmpty;
  int32_t value = 0;
};

struct Probe {
  uint64_t first, second;
  uint64_t home;  // the first slot to look at
};

// Slots for `keys` keys that a hash may point to; runs may go on for kMostSlots behind them.
constexpr uint64_t home_slots(uint64_t keys) { return 2 * keys + 1; }

// Up to 8 bytes, the first one lowest: a device reads no word that is not aligned.
constexpr uint64_t word(const char* bytes, int64_t count) {
  uint64_t out = 0;
  for (int64_t i = 0; i < count; ++i)
    out |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return out;
}

struct Product {
  uint64_t low, high;
};
constexpr Product product(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide wide = static_cast<Wide>(a) * b;
  return {static_cast<uint64_t>(wide), static_cast<uint64_t>(wide >> 64)};
}

// Every bit of either word reaches every bit of the result.
constexpr uint64_t mix(uint64_t a, uint64_t b) {
  const Product both = product(a, b);
  return both.low ^ both.high;
}

// Keys of different lengths may share their words.
constexpr uint64_t with_length(uint64_t hash, int64_t length) {
  return hash ^ static_cast<uint64_t>(length) * 0x9E3779B97F4A7C15u;
}

constexpr Probe probe(const char* key, int64_t length, Seed seed, uint64_t homes) {
  if (length <= kShort) {
    const uint64_t first = word(key, length < 8 ? length : 8);
    const uint64_t second = length > 8 ? word(key + 8, length - 8) : 0;
    const uint64_t hash = with_length(mix(first ^ seed.first, second ^ seed.second), length);
    return {first, second, product(hash, homes).high};
  }
  uint64_t hash = seed.second;
  for (int64_t at = 0; at + kShort < length; at += kShort)
    hash = mix(word(key + at, 8) ^ seed.first, word(key + at + 8, 8) ^ hash);
  const char* const tail = key + length - kShort;
  hash = with_length(mix(word(tail, 8) ^ seed.first, word(tail + 8, 8) ^ hash), length);
  return {hash, 0, product(hash, homes).high};
}

// Whether a slot that is not empty holds the key; `keys`: the bytes of the long ones.
constexpr bool holds(const Slot& slot, const Probe& probe, const char* key, int64_t length,
                     const char* keys) {
  if (slot.length != length || slot.first != probe.first) return false;
  if (length <= kShort) return slot.second == probe.second;
  for (int64_t i = 0; i < length; ++i)
    if (keys[slot.second + static_cast<uint64_t>(i)] != key[i]) return false;
  return true;
}

// The slot that holds the key, or the empty one where the search for it ends.
constexpr uint64_t find(const Slot* slots, const Probe& probe, const char* key, int64_t length,
                        const char* keys) {
  uint64_t at = probe.home;
  while (slots[at].length != kEmpty && !holds(slots[at], probe, key, length, keys)) ++at;
  return at;
}

}  // namespace mlcore::text_key

#include "kernels/string_map.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "base/status.h"

namespace mlcore {
namespace {

constexpr int64_t kShort = 16;     // bytes of a key that a slot holds itself
constexpr int64_t kGroup = 32;     // values whose slots are on their way from memory at the same time
constexpr uint64_t kMaxRun = 128;  // slots a look-up may visit; at half load, once in 10^10 keys
constexpr int kMaxSeeds = 32;

template <class T>
uint64_t load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

struct Words {
  uint64_t first;
  uint64_t second;
};

// Up to 16 bytes as two words, which the bytes and their number determine and which determine the bytes.
// Pieces overlap rather than go beyond either end.
Words words_of(const char* key, int64_t length) {
  if (length > 8) return {load<uint64_t>(key), load<uint64_t>(key + length - 8)};
  if (length >= 4) return {load<uint32_t>(key), load<uint32_t>(key + length - 4)};
  if (length == 0) return {0, 0};
  return {load<uint8_t>(key) | load<uint8_t>(key + length / 2) << 8 | load<uint8_t>(key + length - 1) << 16,
          0};
}

// Both halves of the product: every bit of either word reaches every bit of the result.
uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t high_product(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(static_cast<Wide>(a) * b >> 64);
}

// Keys of different lengths may share their words.
uint64_t with_length(uint64_t hash, int64_t length) {
  return hash ^ static_cast<uint64_t>(length) * 0x9E3779B97F4A7C15u;
}

uint64_t hash_long(const char* key, int64_t length, StringMap::Seed seed) {
  uint64_t hash = seed.second;
  for (int64_t at = 0; at + kShort < length; at += kShort)
    hash = mix(load<uint64_t>(key + at) ^ seed.first, load<uint64_t>(key + at + 8) ^ hash);
  const char* tail = key + length - kShort;
  return with_length(mix(load<uint64_t>(tail) ^ seed.first, load<uint64_t>(tail + 8) ^ hash), length);
}

}  // namespace

StringMap::Seed StringMap::random_seed() {
  std::random_device source;
  const auto word = [&] { return uint64_t{source()} << 32 | source(); };
  const uint64_t first = word();
  return {first, word()};
}

StringMap::StringMap(std::span<const int64_t> offsets, const char* text, std::span<const int32_t> codes,
                     Seed seed)
    : seed_(seed), text_(text), home_slots_(2 * (offsets.size() - 1) + 1) {
  for (int tries = 0; !fill(offsets, codes); ++tries) {
    require(tries < kMaxSeeds, ErrorCode::program, "expected keys that hash to different values but found ",
            offsets.size() - 1, " that do not under ", kMaxSeeds, " seeds");
    seed_ = random_seed();
  }
}

StringMap::Probe StringMap::probe_of(const char* key, int64_t length) const {
  if (length <= kShort) {
    const auto [first, second] = words_of(key, length);
    const uint64_t hash = with_length(mix(first ^ seed_.first, second ^ seed_.second), length);
    return {first, second, high_product(hash, home_slots_)};
  }
  const uint64_t hash = hash_long(key, length, seed_);
  return {hash, 0, high_product(hash, home_slots_)};
}

// The slot that holds the key, or the empty one where the search for it ends.
const StringMap::Slot* StringMap::find_slot(const Probe& probe, const char* key, int64_t length) const {
  const Slot* slot = slots_.data() + probe.slot;
  for (; slot->length != kEmpty; ++slot) {
    if (slot->first != probe.first || slot->length != length) continue;
    if (length <= kShort ? slot->second == probe.second
                         : std::memcmp(text_ + slot->second, key, static_cast<size_t>(length)) == 0)
      break;
  }
  return slot;
}

// False when some key would lie too far from its home.
bool StringMap::fill(std::span<const int64_t> offsets, std::span<const int32_t> codes) {
  slots_.assign(home_slots_ + kMaxRun + 1, Slot{});
  std::array<Probe, kGroup> probes;
  const size_t count = offsets.size() - 1;
  for (size_t group = 0; group < count; group += kGroup) {
    const size_t end = std::min(group + kGroup, count);
    for (size_t i = group; i < end; ++i) {
      probes[i - group] = probe_of(text_ + offsets[i], offsets[i + 1] - offsets[i]);
      __builtin_prefetch(slots_.data() + probes[i - group].slot, 1);
    }
    for (size_t i = group; i < end; ++i) {
      const Probe& probe = probes[i - group];
      const int64_t length = offsets[i + 1] - offsets[i];
      const auto at = static_cast<uint64_t>(find_slot(probe, text_ + offsets[i], length) - slots_.data());
      if (slots_[at].length != kEmpty) {
        repeated_ = static_cast<int64_t>(i);
        return true;
      }
      if (at - probe.slot >= kMaxRun) return false;
      slots_[at] = {probe.first, length <= kShort ? probe.second : static_cast<uint64_t>(offsets[i]), length,
                    codes.empty() ? static_cast<int32_t>(i) : codes[i]};
    }
  }
  return true;
}

void StringMap::find(const StringRef* values, int64_t n, int32_t* codes) const {
  std::array<Probe, kGroup> probes;
  for (; n > 0; values += kGroup, codes += kGroup, n -= kGroup) {
    const auto count = static_cast<size_t>(std::min(n, kGroup));
    for (size_t i = 0; i < count; ++i) {
      if (!values[i].data) continue;
      probes[i] = probe_of(values[i].data, values[i].size);
      __builtin_prefetch(slots_.data() + probes[i].slot);
    }
    for (size_t i = 0; i < count; ++i) {
      codes[i] = kAbsent;
      if (!values[i].data) continue;
      const Slot* slot = find_slot(probes[i], values[i].data, values[i].size);
      if (slot->length != kEmpty) codes[i] = slot->code;
    }
  }
}

}  // namespace mlcore

// Keys in a device's memory, addressed by hash (kernels/text_key_inl.h).
#pragma once

#include <memory>
#include <vector>

#include "kernels/text_seed.h"
#include "memory.h"

namespace mlcore::device {

// What a body needs of it.
struct TextKeys {
  const text_key::Slot* slots;
  const char* keys;  // the bytes of those that no slot holds itself
  text_key::Seed seed;
  uint64_t homes;
  int64_t count;

  // The key's number, `count` for other text.
  MLCORE_BODY int64_t number_of(const char* text, int64_t length) const {
    const text_key::Probe probe = text_key::probe(text, length, seed, homes);
    const text_key::Slot& slot = slots[text_key::find(slots, probe, text, length, keys)];
    return slot.length == text_key::kEmpty ? count : slot.value;
  }
};

struct TextMap {
  explicit TextMap(Device& on) : memory(on) {}

  DeviceMemory memory;
  TextKeys keys{};
};

// No slots where some key would lie too far from its home.
inline std::vector<text_key::Slot> fill_slots(const int64_t* offsets, const char* text, int64_t count,
                                              text_key::Seed seed) {
  const uint64_t homes = text_key::home_slots(static_cast<uint64_t>(count));
  std::vector<text_key::Slot> slots(homes + text_key::kMostSlots + 1);
  for (int64_t i = 0; i < count; ++i) {
    const char* const key = text + offsets[i];
    const int64_t length = offsets[i + 1] - offsets[i];
    const text_key::Probe probe = text_key::probe(key, length, seed, homes);
    const uint64_t at = text_key::find(slots.data(), probe, key, length, text);
    if (at - probe.home >= text_key::kMostSlots) return {};
    const uint64_t second = length <= text_key::kShort ? probe.second : static_cast<uint64_t>(offsets[i]);
    slots[at] = {probe.first, second, length, static_cast<int32_t>(i)};
  }
  return slots;
}

// Throws Unable or std::bad_alloc when there is no room.
inline std::unique_ptr<TextMap> build_text_map(Device& device, const int64_t* offsets, const char* text,
                                               int64_t count) {
  constexpr int kMostSeeds = 32;
  auto map = std::make_unique<TextMap>(device);
  std::vector<text_key::Slot> slots;
  for (int tries = 0; slots.empty(); ++tries) {
    if (tries == kMostSeeds) throw Unable("expected keys that hash to different values");
    map->keys.seed = text_key::random_seed();
    slots = fill_slots(offsets, text, count, map->keys.seed);
  }
  map->keys.slots = map->memory.keep_all(slots);
  map->keys.keys = static_cast<const char*>(map->memory.keep(text, static_cast<size_t>(offsets[count])));
  map->keys.homes = text_key::home_slots(static_cast<uint64_t>(count));
  map->keys.count = count;
  return map;
}

}  // namespace mlcore::device

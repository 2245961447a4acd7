// The seed of a table of keys that is addressed by hash: random, so that no file and no table can be made to
// collide.
#pragma once

#include <random>

#include "kernels/text_key_inl.h"

namespace mlcore::text_key {

inline Seed random_seed() {
  std::random_device source;
  const auto word = [&] { return uint64_t{source()} << 32 | source(); };
  const uint64_t first = word();
  return {first, word()};
}

}  // namespace mlcore::text_key

#include "base/sha256.h"

#include <boost/hash2/sha2.hpp>
#include <cstring>

namespace mlcore {

Sha256 sha256(std::span<const std::byte> bytes) {
  boost::hash2::sha2_256 hash;
  hash.update(static_cast<const void*>(bytes.data()), bytes.size());
  const auto digest = hash.result();
  Sha256 out;
  static_assert(digest.size() == out.size());
  std::memcpy(out.data(), digest.data(), out.size());
  return out;
}

}  // namespace mlcore

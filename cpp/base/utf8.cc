#include "base/utf8.h"

#include <cstdint>
#include <cstring>

namespace mlcore {

bool is_utf8(std::string_view text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = at + text.size();
  const auto follows = [&](const unsigned char* byte, unsigned char low, unsigned char high) {
    return byte < end && *byte >= low && *byte <= high;
  };
  while (at < end) {
    if (end - at >= 8) {  // eight ASCII bytes at once: nearly all text of a model
      uint64_t word;
      std::memcpy(&word, at, sizeof word);
      if ((word & 0x8080808080808080u) == 0) {
        at += 8;
        continue;
      }
    }
    const unsigned char lead = *at;
    if (lead < 0x80) {
      at += 1;
    } else if (lead >= 0xC2 && lead <= 0xDF) {
      if (!follows(at + 1, 0x80, 0xBF)) return false;
      at += 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      const unsigned char low = lead == 0xE0 ? 0xA0 : 0x80;
      const unsigned char high = lead == 0xED ? 0x9F : 0xBF;
      if (!follows(at + 1, low, high) || !follows(at + 2, 0x80, 0xBF)) return false;
      at += 3;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      const unsigned char low = lead == 0xF0 ? 0x90 : 0x80;
      const unsigned char high = lead == 0xF4 ? 0x8F : 0xBF;
      if (!follows(at + 1, low, high) || !follows(at + 2, 0x80, 0xBF) || !follows(at + 3, 0x80, 0xBF))
        return false;
      at += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace mlcore

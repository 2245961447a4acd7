#include "base/utf8.h"

#include <cstdint>
#include <cstring>

#include "base/utf8_inl.h"

namespace mlcore {

bool is_utf8(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    if (end - at >= 8) {  // eight ASCII bytes at once: nearly all text of a model
      uint64_t word;
      std::memcpy(&word, at, sizeof word);
      if ((word & 0x8080808080808080u) == 0) {
        at += 8;
        continue;
      }
    }
    const int64_t bytes = utf8_character(at, end - at);
    if (bytes == 0) return false;
    at += bytes;
  }
  return true;
}

}  // namespace mlcore

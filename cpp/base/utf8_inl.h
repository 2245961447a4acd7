// One character of UTF-8 as RFC 3629 has it. Constexpr, so that a compiler for GPUs may take it too.
#pragma once

#include <cstdint>

namespace mlcore {

// Bytes of the character that starts at `text`, of which `left` > 0 bytes are there; 0: it is none.
constexpr int64_t utf8_character(const char* text, int64_t left) {
  const auto byte = [=](int64_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [=](int64_t i, unsigned char low, unsigned char high) {
    return i < left && byte(i) >= low && byte(i) <= high;
  };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1, 0x80, 0xBF) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned char low = lead == 0xE0 ? 0xA0 : 0x80, high = lead == 0xED ? 0x9F : 0xBF;
    return follows(1, low, high) && follows(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned char low = lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xF4 ? 0x8F : 0xBF;
    return follows(1, low, high) && follows(2, 0x80, 0xBF) && follows(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

constexpr bool is_utf8_text(const char* text, int64_t size) {
  for (int64_t at = 0; at < size;) {
    const int64_t bytes = utf8_character(text + at, size - at);
    if (bytes == 0) return false;
    at += bytes;
  }
  return true;
}

}  // namespace mlcore

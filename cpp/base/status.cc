#include "base/status.h"

#include <array>
#include <charconv>

namespace mlcore {
namespace {

template <class T>
std::string to_text(T value) {
  std::array<char, 48> buffer;
  auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), error == std::errc() ? end : buffer.data()};
}

}  // namespace

std::string text(double value) { return to_text(value); }
std::string text(float value) { return to_text(value); }
std::string text(int64_t value) { return to_text(value); }

std::string quoted(std::string_view value) {
  constexpr size_t kShown = 60;
  std::string out = "'";
  for (char c : value.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      constexpr char kHex[] = "0123456789abcdef";
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  // A cut may fall inside a UTF-8 sequence; drop the incomplete tail so the message stays valid text.
  if (value.size() > kShown) {
    while (out.size() > 1 && (static_cast<unsigned char>(out.back()) & 0xC0) == 0x80) out.pop_back();
    if (static_cast<unsigned char>(out.back()) >= 0xC0) out.pop_back();
    return out + "...' (" + text(value.size()) + " bytes)";
  }
  return out + "'";
}

}  // namespace mlcore

// Numbers in texts.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>

namespace mlcore {

// The number that a text is from its first to its last character; nothing when it is none that T holds.
template <class T>
std::optional<T> number_in(std::string_view text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

}  // namespace mlcore

// The one error type of the core and the helpers that raise it.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace mlcore {

enum class ErrorCode {
  program,   // a front end built a graph that no op accepts
  artifact,  // a file is damaged, hostile or from another version
  input,     // a table or row does not fit the schema, or an op refuses a value
  io,        // the operating system refused
  device,    // a GPU, its driver or its library is not there, or failed
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

// Text of a number: shortest form that reads back to the same bits, whatever the locale.
std::string text(double value);
std::string text(float value);
std::string text(int64_t value);
inline std::string text(int value) { return text(static_cast<int64_t>(value)); }
inline std::string text(size_t value) { return text(static_cast<int64_t>(value)); }
inline std::string text(bool value) { return value ? "true" : "false"; }
inline std::string text(std::string_view value) { return std::string(value); }
inline std::string text(const std::string& value) { return value; }
inline std::string text(const char* value) { return value; }

// A value quoted for a message; long strings are cut so that a message stays readable.
std::string quoted(std::string_view value);

template <class... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  std::string message;
  ((message += text(parts)), ...);
  throw Error(code, message);
}

template <class... Parts>
void require(bool condition, ErrorCode code, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail(code, parts...);
}

}  // namespace mlcore

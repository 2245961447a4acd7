#include "server/json_writer.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include "base/utf8.h"

namespace mlcore::server {
namespace {

constexpr char kHex[] = "0123456789abcdef";

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
void append_with(std::string& out, T number) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

template <class T>
void append_float(std::string& out, T number) {
  if (std::isnan(number)) {
    out += "\"NaN\"";
  } else if (std::isinf(number)) {
    out += number > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  } else {
    const size_t start = out.size();
    append_with(out, number);
    // a float reads back as one: "-0" would lose its sign as an integer
    if (out.find_first_of(".e", start) == std::string::npos) out += ".0";
  }
}

void append_escaped(std::string& out, char c) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  const auto byte = static_cast<unsigned char>(c);
  out += "\\u00";
  out += kHex[byte >> 4];
  out += kHex[byte & 15];
}

}  // namespace

void append_text(std::string& out, std::string_view text) {
  const bool valid = is_utf8(text);
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || c == '"' || c == '\\') append_escaped(out, c);
    else if (byte >= 0x80 && !valid) out += '?';
    else out += c;
  }
  out += '"';
}

void append_number(std::string& out, int64_t number) { append_with(out, number); }
void append_number(std::string& out, uint64_t number) { append_with(out, number); }
void append_number(std::string& out, double number) { append_float(out, number); }
void append_number(std::string& out, float number) { append_float(out, number); }

void ElementWriter::append(std::string& out) {
  switch (type_.kind) {
    case Kind::boolean: out += load<uint8_t>(at_) != 0 ? "true" : "false"; break;
    case Kind::int8: append_number(out, int64_t{load<int8_t>(at_)}); break;
    case Kind::int16: append_number(out, int64_t{load<int16_t>(at_)}); break;
    case Kind::int32: append_number(out, int64_t{load<int32_t>(at_)}); break;
    case Kind::int64: append_number(out, load<int64_t>(at_)); break;
    case Kind::uint8: append_number(out, uint64_t{load<uint8_t>(at_)}); break;
    case Kind::uint16: append_number(out, uint64_t{load<uint16_t>(at_)}); break;
    case Kind::uint32: append_number(out, uint64_t{load<uint32_t>(at_)}); break;
    case Kind::uint64: append_number(out, load<uint64_t>(at_)); break;
    case Kind::float32: append_number(out, load<float>(at_)); break;
    case Kind::float64: append_number(out, load<double>(at_)); break;
    default: {
      const auto size = load<uint32_t>(at_);
      append_text(out, {reinterpret_cast<const char*>(at_) + sizeof size, size});
      at_ += sizeof size + size;
    }
  }
  at_ += type_.bytes;
}

void ElementWriter::append_list(std::string& out, int64_t count) {
  out += '[';
  for (int64_t i = 0; i < count; ++i) {
    if (i > 0) out += ',';
    append(out);
  }
  out += ']';
}

}  // namespace mlcore::server

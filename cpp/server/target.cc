#include "server/target.h"

#include "server/http.h"

namespace mlcore::server {
namespace {

constexpr int kRejected = 400, kNotFound = 404;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A segment without its %xx: no slash, no dots alone, no control byte.
std::string decoded(std::string_view segment) {
  std::string out;
  for (size_t i = 0; i < segment.size(); ++i) {
    char c = segment[i];
    if (c == '%') {
      const int high = i + 2 < segment.size() ? hex_digit(segment[i + 1]) : -1;
      const int low = i + 2 < segment.size() ? hex_digit(segment[i + 2]) : -1;
      if (high < 0 || low < 0) throw HttpError(kRejected, "expected %xx in the path but found a bare %");
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '/' || c == '\\')
      throw HttpError(kRejected, "expected a path without control bytes and hidden slashes but found one");
    out += c;
  }
  if (out.empty() || out == "." || out == "..")
    throw HttpError(kRejected, "expected a path without empty and dot segments but found one");
  return out;
}

}  // namespace

Target::Target(std::string_view target) : path(target.substr(0, target.find('?'))) {
  if (path.empty() || path.front() != '/')
    throw HttpError(kRejected, "expected a path but found another target");
  std::string_view left = path.substr(1);
  while (!left.empty()) {
    const size_t end = left.find('/');
    parts.push_back(decoded(left.substr(0, end)));
    if (end == std::string_view::npos) break;
    left.remove_prefix(end + 1);
    if (left.empty())
      throw HttpError(kNotFound, "expected a route of this server but found a slash at the end");
  }
  if (parts.empty() || parts.front() != "v1") return;  // elsewhere a colon is one of the name
  std::string& last = parts.back();
  if (const size_t colon = last.rfind(':'); colon != std::string::npos) {
    verb = last.substr(colon + 1);
    last.resize(colon);
  }
}

std::tuple<std::string_view, std::string_view, size_t> Target::named_model() const {
  const bool versioned = size() > 4 && parts[3] == "versions";
  return {parts[2], versioned ? std::string_view(parts[4]) : std::string_view(), versioned ? 5 : 3};
}

bool Target::is(size_t at, std::initializer_list<std::string_view> expected) const {
  if (parts.size() != at + expected.size()) return false;
  size_t i = at;
  for (const std::string_view part : expected) {
    if (!part.empty() && parts[i] != part) return false;
    ++i;
  }
  return true;
}

}  // namespace mlcore::server

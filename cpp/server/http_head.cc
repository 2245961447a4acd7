#include "server/http_head.h"

namespace mlcore::server {

std::string_view problem_of_head(std::string_view head) {
  if (head.starts_with("\r\n")) return "expected a request but found an empty line";
  for (size_t i = 0; i < head.size(); ++i) {
    const char c = head[i];
    const char next = i + 1 < head.size() ? head[i + 1] : '\0';
    if (c == '\0') return "expected text but found a byte of zero";
    if (c == '\n' && (i == 0 || head[i - 1] != '\r'))
      return "expected lines that end in CR LF but found a bare LF";
    if (c == '\r' && next != '\n') return "expected lines that end in CR LF but found a bare CR";
    if (c == '\n' && (next == ' ' || next == '\t'))
      return "expected each field on one line but found a folded one";
  }
  return {};
}

}  // namespace mlcore::server

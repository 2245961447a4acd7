// A request and its answer, as the codecs see them: no sockets.
#pragma once

#include <boost/beast/http/fields.hpp>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mlcore::server {

struct Request {
  std::string_view method;
  std::string_view target;  // as sent: path and query
  std::string_view body;    // decompressed
  const boost::beast::http::fields& fields;
  std::chrono::steady_clock::time_point began;  // its first byte came
  std::string_view client = {};                 // its address, where that is of interest

  std::string_view header(std::string_view name) const {
    const auto found = fields.find(name);
    return found == fields.end() ? std::string_view() : std::string_view(found->value());
  }
};

struct Answer {
  int status = 200;
  std::string_view type = "application/json";
  std::string body;
  std::vector<std::pair<std::string_view, std::string>> headers;
};

// What is answered with a status of its own; Error of the core is a 400.
class HttpError : public std::runtime_error {
 public:
  HttpError(int status, const std::string& message, std::string_view allow = {}, int64_t retry_after = 1)
      : std::runtime_error(message), status_(status), allow_(allow), retry_after_(retry_after) {}
  int status() const { return status_; }
  std::string_view allow() const { return allow_; }     // of a 405: the methods of the route
  int64_t retry_after() const { return retry_after_; }  // seconds, of a 429 or 503

 private:
  int status_;
  std::string_view allow_;
  int64_t retry_after_;
};

std::string_view reason_of(int status);  // "Not Found"
Answer error_answer(int status, std::string_view message);

}  // namespace mlcore::server

// One connection: bytes to requests, answers to bytes, in order.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/loop.h"

namespace mlcore::server {

class Session : public std::enable_shared_from_this<Session> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  Session(Socket socket, Loop& loop);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start();
  // Closes the connection unless it is in the middle of a request.
  void close_if_idle();
  // Ends what has taken too long; a request that has begun is told so.
  void check_deadline(Clock::time_point now);
  // When it is this request's turn. False: it is answered, or will be; else the bench has what is to be
  // computed, and `answer_request` is to follow (see Router::compute for `first`).
  bool prepare_request(Workbench& bench);
  void answer_request(Workbench& bench, Runner& runner, std::optional<int64_t> first);
  // Whether it takes so long to read that those before it should not wait for that.
  bool has_long_body() const;

 private:
  using Code = boost::system::error_code;

  void read(Clock::time_point deadline);
  void on_read(Code code, size_t bytes);
  void process();
  bool parse_head();
  bool parse_body();
  Request request() const;
  void refuse(int status, std::string_view message);
  void write(Answer answer, bool without_body);
  void close();
  void linger(size_t left);

  Loop& loop_;
  Socket socket_;
  Clock::time_point deadline_ = Clock::time_point::max();  // of what is awaited
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  std::string unpacked_;      // the body, where it was sent compressed
  std::string_view content_;  // the body that is read
  Clock::time_point began_;   // the first byte of the request
  std::string client_;        // who asks, where that is of interest
  std::string head_, body_;   // of the answer that is being written
  bool reading_ = false;
  bool waits_ = false;   // for its answer
  bool late_ = false;    // the read was given up
  bool last_ = false;    // close when the answer is written
  bool unread_ = false;  // the client may be sending still
};

}  // namespace mlcore::server

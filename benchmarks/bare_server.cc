// The least that a server of Boost.Beast does: read a request, parse its body with Boost.JSON, give a
// constant answer.
//
//   bare_server PORT SOCKET LOOPS ANSWER
//
// One event loop per thread, connections dealt out in turn, on a port of 127.0.0.1 and on a Unix socket.
// ANSWER is the file with the body of every answer.
#include <array>
#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <boost/json/src.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace json = boost::json;
using boost::system::error_code;

std::string answer_body;

template <class Protocol>
class Session : public std::enable_shared_from_this<Session<Protocol>> {
 public:
  explicit Session(typename Protocol::socket socket) : socket_(std::move(socket)) {}

  void read() {
    request_ = {};
    http::async_read(socket_, buffer_, request_, [self = this->shared_from_this()](error_code error, size_t) {
      if (!error) self->answer();
    });
  }

 private:
  void answer() {
    json::monotonic_resource memory(json_memory_.data(), json_memory_.size());
    error_code wrong;
    const json::value body = json::parse(request_.body(), wrong, &memory);
    response_ = {wrong ? http::status::bad_request : http::status::ok, 11};
    response_.set(http::field::content_type, "application/json");
    response_.body() = {answer_body.data(), answer_body.size()};
    response_.keep_alive(request_.keep_alive());
    response_.prepare_payload();
    http::async_write(socket_, response_, [self = this->shared_from_this()](error_code error, size_t) {
      if (!error && self->response_.keep_alive()) self->read();
    });
  }

  typename Protocol::socket socket_;
  boost::beast::flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response<http::span_body<char>> response_;
  std::array<unsigned char, 16384> json_memory_;
};

using Loops = std::vector<std::unique_ptr<asio::io_context>>;

template <class Protocol>
class Listener {
 public:
  Listener(Loops& loops, const typename Protocol::endpoint& endpoint)
      : loops_(loops), acceptor_(*loops.front(), endpoint) {
    accept();
  }

 private:
  void accept() {
    asio::io_context& loop = *loops_[next_++ % loops_.size()];
    acceptor_.async_accept(loop, [this, &loop](error_code error, typename Protocol::socket socket) {
      if (!error) {
        if constexpr (std::is_same_v<Protocol, asio::ip::tcp>)
          socket.set_option(asio::ip::tcp::no_delay(true));
        auto session = std::make_shared<Session<Protocol>>(std::move(socket));
        asio::post(loop, [session] { session->read(); });
      }
      accept();
    });
  }

  Loops& loops_;
  typename Protocol::acceptor acceptor_;
  size_t next_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) {
    std::cerr << "expected: bare_server PORT SOCKET LOOPS ANSWER\n";
    return 2;
  }
  std::ifstream file(arguments[4], std::ios::binary);
  answer_body.assign(std::istreambuf_iterator<char>(file), {});
  Loops loops;
  for (int i = 0; i < std::stoi(arguments[3]); ++i) loops.push_back(std::make_unique<asio::io_context>(1));
  const auto port = static_cast<uint16_t>(std::stoul(arguments[1]));
  Listener<asio::ip::tcp> tcp(loops, {asio::ip::address_v4::loopback(), port});
  Listener<asio::local::stream_protocol> unix_socket(loops, {arguments[2]});
  std::vector<std::jthread> threads;
  for (const auto& loop : loops)
    threads.emplace_back([&loop] {
      const auto work = asio::make_work_guard(*loop);
      loop->run();
    });
}

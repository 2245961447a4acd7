#include "server/server.h"

#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <filesystem>
#include <optional>

#include "base/file.h"
#include "base/status.h"
#include "server/http_session.h"

namespace mlcore::server {
namespace {

namespace asio = boost::asio;
using Code = boost::system::error_code;

constexpr std::chrono::milliseconds kLinger{300};  // for requests that are on their way when we stop
constexpr std::chrono::milliseconds kPause{20};

// Takes connections and hands each to the next loop.
template <class Protocol>
class Listener {
 public:
  Listener(std::vector<std::unique_ptr<Loop>>& loops, const typename Protocol::endpoint& endpoint,
           const std::string& name)
      : loops_(loops), acceptor_(loops.front()->context) {
    Code code;
    acceptor_.open(endpoint.protocol(), code);
    if (!code) acceptor_.set_option(asio::socket_base::reuse_address(true), code);
    if (!code) acceptor_.bind(endpoint, code);
    if (!code) acceptor_.listen(asio::socket_base::max_listen_connections, code);
    require(!code, ErrorCode::io, "expected to listen on ", name, " but found: ", code.message());
  }

  void start() { accept(); }
  // Who is connected by now is served still: closing would reset those that wait to be accepted.
  void stop() {
    Code code;
    acceptor_.non_blocking(true, code);
    while (!code) {
      Loop& loop = next_loop();
      typename Protocol::socket socket(loop.context);
      acceptor_.accept(socket, code);
      if (!code) hand_over(loop, std::move(socket));
    }
    acceptor_.close(code);
  }
  typename Protocol::endpoint endpoint() const { return acceptor_.local_endpoint(); }

 private:
  Loop& next_loop() { return *loops_[next_++ % loops_.size()]; }

  void hand_over(Loop& loop, typename Protocol::socket socket) {
    if constexpr (std::is_same_v<Protocol, asio::ip::tcp>) {
      Code ignored;
      socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    }
    asio::post(loop.context, [&loop, socket = std::move(socket)]() mutable {
      std::make_shared<Session>(std::move(socket), loop)->start();
    });
  }

  void accept() {
    Loop& loop = next_loop();
    acceptor_.async_accept(loop.context, [this, &loop](Code code, typename Protocol::socket socket) {
      if (!code) hand_over(loop, std::move(socket));
      if (code == asio::error::operation_aborted || !acceptor_.is_open()) return;
      if (code) std::this_thread::sleep_for(kPause);  // no file descriptors left: what is open must end first
      accept();
    });
  }

  std::vector<std::unique_ptr<Loop>>& loops_;
  typename Protocol::acceptor acceptor_;
  size_t next_ = 0;
};

// What a server that was killed has left behind; never a socket that somebody answers, nor another file.
void remove_stale_socket(const std::string& path, asio::io_context& context) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::symlink_status(path, ignored);
  if (!std::filesystem::exists(status)) return;
  require(std::filesystem::is_socket(status), ErrorCode::io, "--unix: expected no file or an old socket at ",
          quoted_path(path), " but found another file");
  asio::local::stream_protocol::socket socket(context);
  Code code;
  socket.connect(asio::local::stream_protocol::endpoint(path), code);
  require(code == asio::error::connection_refused, ErrorCode::io, "expected to listen on ", quoted_path(path),
          " but found a server that does");
  ::unlink(path.c_str());
}

}  // namespace

// Destroyed before the loops, whose contexts they use.
struct Server::Listeners {
  std::optional<Listener<asio::ip::tcp>> tcp;
  std::optional<Listener<asio::local::stream_protocol>> local;
  std::optional<asio::signal_set> signals;
};

Server::Server(ModelStore& store, Router& router, const ServerOptions& options)
    : store_(store), router_(router), options_(options), listeners_(std::make_unique<Listeners>()) {
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  for (int i = 0; i < (options.loops > 0 ? options.loops : cores); ++i)
    loops_.push_back(
        std::make_unique<Loop>(router, aside_, options_.limits, options.max_depth, options.shows_values));
  Code code;
  const asio::ip::address address = asio::ip::make_address(options.host, code);
  require(!code, ErrorCode::io, "--host: expected an address such as 127.0.0.1 but found ",
          mlcore::quoted(options.host));
  if (options.port || options.unix_path.empty()) {
    const uint16_t port = options.port.value_or(8080);
    const std::string host = address.is_v6() ? "[" + options.host + "]" : options.host;
    listeners_->tcp.emplace(loops_, asio::ip::tcp::endpoint(address, port), host + ":" + text(int{port}));
    addresses_.push_back("http://" + host + ":" + text(int{listeners_->tcp->endpoint().port()}));
  }
  if (!options.unix_path.empty()) {
    remove_stale_socket(options.unix_path, loops_.front()->context);
    listeners_->local.emplace(loops_, asio::local::stream_protocol::endpoint(options.unix_path),
                              options.unix_path);
    unix_path_ = options.unix_path;
    addresses_.push_back("unix:" + options.unix_path);
  }
}

Server::~Server() {
  stop();
  wait();
}

void Server::start() {
  if (listeners_->tcp) listeners_->tcp->start();
  if (listeners_->local) listeners_->local->start();
  aside_.start([this] { store_.refresh(); }, options_.reload);
  for (const std::unique_ptr<Loop>& loop : loops_) threads_.emplace_back([&loop = *loop] { loop.run(); });
}

void Server::stop_on_signals() {
  listeners_->signals.emplace(loops_.front()->context, SIGTERM, SIGINT);
  listeners_->signals->async_wait([this](Code failed, int) {
    if (!failed) stop();
  });
}

void Server::stop() {
  router_.drain();
  const auto now = std::chrono::steady_clock::now();
  // the listeners belong to the thread of the first loop; what they have taken goes before the end
  asio::post(loops_.front()->context, [this, linger = now + kLinger, end = now + options_.drain_timeout] {
    if (listeners_->tcp) listeners_->tcp->stop();
    if (listeners_->local) listeners_->local->stop();
    for (const auto& loop : loops_)
      asio::post(loop->context, [&loop = *loop, linger, end] { loop.drain(linger, end); });
  });
}

void Server::wait() {
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
  threads_.clear();
  aside_.stop();
  if (!unix_path_.empty()) ::unlink(unix_path_.c_str());
  unix_path_.clear();
}

}  // namespace mlcore::server

#include "server/server.h"

#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

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
  void stop() {
    Code ignored;
    acceptor_.close(ignored);
  }
  typename Protocol::endpoint endpoint() const { return acceptor_.local_endpoint(); }

 private:
  void accept() {
    Loop& loop = *loops_[next_++ % loops_.size()];
    acceptor_.async_accept(loop.context, [this, &loop](Code code, typename Protocol::socket socket) {
      if (code == asio::error::operation_aborted || !acceptor_.is_open()) return;
      if (!code) {
        if constexpr (std::is_same_v<Protocol, asio::ip::tcp>) {
          Code ignored;
          socket.set_option(asio::ip::tcp::no_delay(true), ignored);
        }
        asio::post(loop.context, [&loop, socket = std::move(socket)]() mutable {
          std::make_shared<Session>(std::move(socket), loop)->start();
        });
      } else {
        std::this_thread::sleep_for(kPause);  // no file descriptors left: what is open must end first
      }
      accept();
    });
  }

  std::vector<std::unique_ptr<Loop>>& loops_;
  typename Protocol::acceptor acceptor_;
  size_t next_ = 0;
};

// Looks at the model files every so often, on a thread of its own: a load takes longer than a request.
class Reloader {
 public:
  Reloader(ModelStore& store, std::chrono::milliseconds every) {
    if (every.count() == 0) return;
    thread_ = std::thread([this, &store, every] {
      std::unique_lock lock(mutex_);
      while (!stop_.wait_for(lock, every, [this] { return stopped_; })) {
        lock.unlock();
        store.refresh();
        lock.lock();
      }
    });
  }
  ~Reloader() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    stop_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace

void serve(ModelStore& store, Router& router, const ServerOptions& options,
           const std::function<void(const std::string&)>& listening) {
  const int count =
      options.loops > 0 ? options.loops : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::unique_ptr<Loop>> loops;
  for (int i = 0; i < count; ++i)
    loops.push_back(std::make_unique<Loop>(router, options.limits, options.max_depth, options.shows_values));

  Code code;
  const asio::ip::address address = asio::ip::make_address(options.host, code);
  require(!code, ErrorCode::io, "--host: expected an address such as 127.0.0.1 but found ",
          quoted(options.host));
  std::unique_ptr<Listener<asio::ip::tcp>> tcp;
  std::unique_ptr<Listener<asio::local::stream_protocol>> local;
  if (options.port || options.unix_path.empty()) {
    const uint16_t port = options.port.value_or(8080);
    tcp = std::make_unique<Listener<asio::ip::tcp>>(loops, asio::ip::tcp::endpoint(address, port),
                                                    options.host + ":" + text(int{port}));
    tcp->start();
  }
  if (!options.unix_path.empty()) {
    ::unlink(options.unix_path.c_str());
    local = std::make_unique<Listener<asio::local::stream_protocol>>(
        loops, asio::local::stream_protocol::endpoint(options.unix_path), options.unix_path);
    local->start();
  }

  asio::signal_set signals(loops.front()->context, SIGTERM, SIGINT);
  signals.async_wait([&](Code failed, int) {
    if (failed) return;
    router.drain();
    if (tcp) tcp->stop();
    if (local) local->stop();
    const auto now = std::chrono::steady_clock::now();
    for (const auto& loop : loops)
      asio::post(loop->context, [&loop = *loop, linger = now + kLinger, end = now + options.drain_timeout] {
        loop.drain(linger, end);
      });
  });

  if (tcp)
    listening("http://" + (address.is_v6() ? "[" + options.host + "]" : options.host) + ":" +
              text(int{tcp->endpoint().port()}));
  if (local) listening("unix:" + options.unix_path);
  const Reloader reloader(store, options.reload);
  std::vector<std::thread> threads;
  for (size_t i = 1; i < loops.size(); ++i) threads.emplace_back([&loop = *loops[i]] { loop.run(); });
  loops.front()->run();
  for (std::thread& thread : threads) thread.join();
  if (local) ::unlink(options.unix_path.c_str());
}

}  // namespace mlcore::server

// The server: loops, listeners, and what happens when it is told to stop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "server/aside.h"
#include "server/loop.h"
#include "server/model_store.h"
#include "server/router.h"

namespace mlcore::server {

struct ServerOptions {
  std::string host = "127.0.0.1";
  std::optional<uint16_t> port;  // nothing: 8080, or none where there is a Unix socket
  std::string unix_path;         // empty: none
  int loops = 0;                 // 0: as many as cores
  size_t max_depth = 32;
  bool shows_values = false;               // messages may say what a client sent
  std::chrono::milliseconds reload{1000};  // 0: files are not looked at again
  std::chrono::milliseconds drain_timeout{30'000};
  ConnectionLimits limits;
};

class Server {
 public:
  // Takes the addresses. Throws ErrorCode::io when one cannot be had.
  Server(ModelStore& store, Router& router, const ServerOptions& options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // "http://127.0.0.1:8080", "unix:PATH".
  const std::vector<std::string>& addresses() const { return addresses_; }
  // Answers requests from now on, on threads of its own.
  void start();
  // SIGTERM and SIGINT stop it. To be called before `start`.
  void stop_on_signals();
  // Takes no more connections, answers what has begun; may be called from any thread, and again.
  void stop();
  // Until it has stopped.
  void wait();

 private:
  struct Listeners;

  ModelStore& store_;
  Router& router_;
  ServerOptions options_;
  Aside aside_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::unique_ptr<Listeners> listeners_;
  std::vector<std::string> addresses_;
  std::string unix_path_;  // that is ours to remove
  std::vector<std::thread> threads_;
};

}  // namespace mlcore::server

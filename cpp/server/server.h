// The server: loops, listeners, and what happens when it is told to stop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

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

// Serves until SIGTERM or SIGINT; `listening` is called with each address ("http://127.0.0.1:8080") once
// requests are taken. Throws ErrorCode::io when an address cannot be had.
void serve(ModelStore& store, Router& router, const ServerOptions& options,
           const std::function<void(const std::string&)>& listening);

}  // namespace mlcore::server

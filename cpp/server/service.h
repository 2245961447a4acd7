// All that a command line asks for, put together: models, router and server.
#pragma once

#include <memory>
#include <mutex>

#include "server/command_line.h"

namespace mlcore::server {

class Service {
 public:
  // Loads the models and takes the addresses. Throws ErrorCode::input when no model can be served.
  explicit Service(CommandLine line);

  Server& server() { return *server_; }
  // The answer to a request that came by other ways than HTTP. From any thread.
  Answer answer(const Request& request);
  const std::vector<Refused>& refused() const { return refused_; }  // at the start

 private:
  struct Desk {
    Desk(size_t max_depth, bool shows_values) : bench(max_depth), runner(shows_values) {}
    Workbench bench;
    Runner runner;
  };
  std::unique_ptr<Desk> take_desk();

  size_t max_depth_;
  bool shows_values_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Desk>> desks_;  // that nobody uses
  ModelStore store_;
  std::vector<Refused> refused_;
  std::optional<Router> router_;
  std::optional<Server> server_;
};

}  // namespace mlcore::server

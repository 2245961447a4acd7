// mlcore-server: a command line becomes a server that ends when it is told to.
#include <csignal>
#include <cstdio>

#include "base/status.h"
#include "server/service.h"

namespace {

using namespace mlcore::server;

int run(const std::vector<std::string>& arguments) {
  CommandLine line = parse_command_line(arguments);
  read_vertex_variables(line);
  Service service(std::move(line));
  for (const Refused& refused : service.refused())
    std::fprintf(stderr, "mlcore-server: %s: %s\n", refused.name.c_str(), refused.reason.c_str());
  Server& server = service.server();
  server.stop_on_signals();
  server.start();
  for (const std::string& address : server.addresses()) std::printf("listening on %s\n", address.c_str());
  std::fflush(stdout);
  server.wait();
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run({arguments + 1, arguments + count});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mlcore-server: %s\n", error.what());
    return 1;
  }
}

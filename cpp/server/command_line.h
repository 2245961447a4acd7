// What the options of a command line, and the variables of a platform, ask for.
#pragma once

#include <string>
#include <vector>

#include "server/model_store.h"
#include "server/router.h"
#include "server/server.h"

namespace mlcore::server {

struct CommandLine {
  std::vector<std::string> models;
  VersionPolicy versions;
  RouterOptions router;
  ServerOptions server;
};

// Throws ErrorCode::input for an option that is not known or does not take its value.
CommandLine parse_command_line(const std::vector<std::string>& arguments);
// What Vertex AI tells a container (AIP_HTTP_PORT and its like), where the command line says nothing else.
void read_vertex_variables(CommandLine& line);

}  // namespace mlcore::server

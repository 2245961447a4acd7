#include "server/command_line.h"

#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>

#include "base/number.h"
#include "base/status.h"

namespace mlcore::server {
namespace {

double number(const std::string& name, const std::string& value, double least, double most) {
  const std::optional<double> out = number_in<double>(value);
  require(out && *out >= least && *out <= most, ErrorCode::input, name, ": expected a number from ", least,
          " to ", most, " but found ", quoted(value));
  return *out;
}

std::string token_in(const std::string& name, const std::string& path) {
  std::ifstream file(path);
  std::string token((std::istreambuf_iterator<char>(file)), {});
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  require(!token.empty(), ErrorCode::io, name, ": expected a file with a token but found none in ",
          quoted(path));
  return token;
}

VersionPolicy versions_of(const std::string& value) {
  if (value == "latest") return {};
  VersionPolicy policy{.latest = false, .versions = {}};
  if (value == "all") return policy;
  for (size_t at = 0; at <= value.size();) {
    const size_t end = std::min(value.find(',', at), value.size());
    policy.versions.insert(static_cast<int64_t>(number("--versions", value.substr(at, end - at), 1, 1e15)));
    at = end + 1;
  }
  return policy;
}

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments) {
  CommandLine out;
  const auto seconds = [](std::chrono::milliseconds& target) {
    return [&target](const std::string& name, const std::string& value) {
      target = std::chrono::milliseconds(static_cast<int64_t>(1000 * number(name, value, 0, 1e6)));
    };
  };
  const auto count = [](auto& target, double least, double most) {
    return [&target, least, most](const std::string& name, const std::string& value) {
      target = static_cast<std::remove_reference_t<decltype(target)>>(number(name, value, least, most));
    };
  };
  const auto word = [](std::string& target) {
    return [&target](const std::string&, const std::string& value) { target = value; };
  };
  ConnectionLimits& limits = out.server.limits;
  const std::map<std::string, std::function<void(const std::string&, const std::string&)>> options{
      {"--port",
       [&](const std::string& name, const std::string& value) {
         out.server.port = static_cast<uint16_t>(number(name, value, 0, 65535));
       }},
      {"--host", word(out.server.host)},
      {"--unix", word(out.server.unix_path)},
      {"--loops", count(out.server.loops, 1, 1024)},
      {"--versions",
       [&](const std::string&, const std::string& value) { out.versions = versions_of(value); }},
      {"--default-model", word(out.router.default_model)},
      {"--reload-seconds", seconds(out.server.reload)},
      {"--token-file",
       [&](const std::string& name, const std::string& value) { out.router.token = token_in(name, value); }},
      {"--manage-token-file",
       [&](const std::string& name, const std::string& value) {
         out.router.manage_token = token_in(name, value);
       }},
      {"--access-log", count(out.router.access_log, 0, 1)},
      {"--rate", count(out.router.rate, 0, 1e9)},
      {"--burst", count(out.router.burst, 1, 1e9)},
      {"--client-header", word(out.router.client_header)},
      {"--max-body", count(limits.max_body, 1, 2e9)},
      {"--max-header", count(limits.max_header, 1024, 1e6)},
      {"--max-rows", count(out.router.limits.max_rows, 1, 1e9)},
      {"--max-depth", count(out.server.max_depth, 4, 1000)},
      {"--max-connections", count(limits.max_connections, 1, 1e6)},
      {"--max-queue", count(limits.max_queue, 1, 1e6)},
      {"--batch-rows", count(limits.batch_rows, 0, 1e6)},
      {"--read-timeout", seconds(limits.read_timeout)},
      {"--idle-timeout", seconds(limits.idle_timeout)},
      {"--header-timeout", seconds(limits.header_timeout)},
      {"--drain-timeout", seconds(out.server.drain_timeout)},
  };
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string name = arguments[i], value;
    if (name == "--manage") {
      out.router.manage = true;
      continue;
    }
    if (name == "--show-values") {
      out.server.shows_values = true;
      continue;
    }
    if (!name.starts_with("--")) {
      out.models.push_back(name);
      continue;
    }
    const size_t equals = name.find('=');
    if (equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    const auto option = options.find(name);
    require(option != options.end(), ErrorCode::input, "expected an option of the server but found ",
            quoted(name), "; see mlcore serve --help");
    if (equals == std::string::npos) {
      require(++i < arguments.size(), ErrorCode::input, name, ": expected a value but found none");
      value = arguments[i];
    }
    option->second(name, value);
  }
  return out;
}

void read_vertex_variables(CommandLine& line) {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value ? value : "";
  };
  line.router.health_route = variable("AIP_HEALTH_ROUTE");
  line.router.predict_route = variable("AIP_PREDICT_ROUTE");
  if (const std::string port = variable("AIP_HTTP_PORT"); !port.empty() && !line.server.port) {
    line.server.port = static_cast<uint16_t>(number("AIP_HTTP_PORT", port, 0, 65535));
    line.server.host = "0.0.0.0";
  }
  const std::string storage = variable("AIP_STORAGE_URI");
  if (storage.empty() || !line.models.empty()) return;
  require(storage.find("://") == std::string::npos, ErrorCode::input,
          "AIP_STORAGE_URI: expected a folder of this machine but found an address; copy the models into the "
          "container and name their folder");
  line.models.push_back(storage);
}

}  // namespace mlcore::server

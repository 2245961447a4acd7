// The path of a request, in parts: {"v1", "models", "m"}.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace mlcore::server {

struct Target {
  // Throws HttpError for what a proxy may read as another path.
  explicit Target(std::string_view target);

  std::string_view path;           // as it was sent, without a query
  std::vector<std::string> parts;  // without %xx
  std::string verb;                // "predict" of v1/models/m:predict

  size_t size() const { return parts.size(); }
  // Behind v1/models or v2/models: the name, the version, which may be empty, and where what is asked begins.
  std::tuple<std::string_view, std::string_view, size_t> named_model() const;
  // Parts from `at` on are these; an empty one stands for any.
  bool is(size_t at, std::initializer_list<std::string_view> expected) const;
};

}  // namespace mlcore::server

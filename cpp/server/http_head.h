// The head of a request, looked at before anything is made of it.
#pragma once

#include <string_view>

namespace mlcore::server {

// Why a head, up to its empty line, must be refused; empty: it need not. Other servers and proxies read these
// forms in other ways (request smuggling).
std::string_view problem_of_head(std::string_view head);

}  // namespace mlcore::server

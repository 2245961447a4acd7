// Bodies that come compressed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mlcore::server {

// A gzip (RFC 1952) or deflate (RFC 1950) body, unpacked. `encoding` is that of Content-Encoding; identity
// and nothing give the body as it is. Throws HttpError 415 for another encoding, 413 when more than `most`
// bytes come out, 400 for what is damaged.
std::string inflated(std::string_view encoding, std::string_view body, size_t most);

}  // namespace mlcore::server

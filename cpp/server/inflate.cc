#include "server/inflate.h"

#include <boost/beast/core/string.hpp>
#include <boost/beast/zlib/inflate_stream.hpp>
#include <boost/crc.hpp>
#include <cstdint>
#include <cstring>

#include "base/status.h"
#include "server/http.h"

namespace mlcore::server {
namespace {

namespace zlib = boost::beast::zlib;

constexpr size_t kPiece = size_t{1} << 16;

[[noreturn]] void damaged() {
  throw HttpError(400, "expected a whole compressed body but found a damaged one");
}

uint8_t byte_at(std::string_view body, size_t at) {
  if (at >= body.size()) damaged();
  return static_cast<uint8_t>(body[at]);
}

// Behind the header of gzip.
std::string_view without_gzip_header(std::string_view body) {
  constexpr uint8_t kCrc = 2, kExtra = 4, kName = 8, kComment = 16, kReserved = 0xe0;
  if (byte_at(body, 0) != 0x1f || byte_at(body, 1) != 0x8b || byte_at(body, 2) != 8) damaged();
  const uint8_t flags = byte_at(body, 3);
  if ((flags & kReserved) != 0) damaged();
  size_t at = 10;
  if ((flags & kExtra) != 0) at += 2 + size_t{byte_at(body, at)} + (size_t{byte_at(body, at + 1)} << 8);
  for (const uint8_t text : {kName, kComment})
    if ((flags & text) != 0)
      while (byte_at(body, at++) != 0) {
      }
  if ((flags & kCrc) != 0) at += 2;
  if (at > body.size()) damaged();
  return body.substr(at);
}

std::string_view without_zlib_header(std::string_view body) {
  const unsigned head = byte_at(body, 0) * 256u + byte_at(body, 1);
  constexpr unsigned kDictionary = 0x20;
  if ((head >> 8 & 15) != 8 || head % 31 != 0 || (head & kDictionary) != 0) damaged();
  return body.substr(2);
}

// Inflates the front of `packed` and takes it off.
std::string unpack(std::string_view& packed, size_t most) {
  zlib::inflate_stream stream;
  zlib::z_params params;
  params.next_in = packed.data();
  params.avail_in = packed.size();
  std::string out;
  boost::system::error_code code;
  while (code != zlib::error::end_of_stream) {
    if (out.size() > most)
      throw HttpError(413, "expected a body of at most " + text(most) + " bytes but found more inside");
    const size_t done = out.size();
    out.resize(done + kPiece);
    params.next_out = out.data() + done;
    params.avail_out = kPiece;
    stream.write(params, zlib::Flush::sync, code);
    out.resize(done + kPiece - params.avail_out);
    if (code && code != zlib::error::end_of_stream) damaged();
    if (!code && params.avail_out == kPiece) damaged();  // no progress: it ends too soon
  }
  if (out.size() > most)
    throw HttpError(413, "expected a body of at most " + text(most) + " bytes but found more inside");
  packed.remove_prefix(packed.size() - params.avail_in);
  return out;
}

uint32_t little_endian(std::string_view from) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | byte_at(from, i);
  return value;
}

uint32_t adler32(std::string_view bytes) {
  uint32_t a = 1, b = 0;
  for (const char c : bytes) {
    a = (a + static_cast<uint8_t>(c)) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

}  // namespace

std::string inflated(std::string_view encoding, std::string_view body, size_t most) {
  using boost::beast::iequals;
  if (encoding.empty() || iequals(encoding, "identity")) return std::string(body);
  const bool gzip = iequals(encoding, "gzip") || iequals(encoding, "x-gzip");
  if (!gzip && !iequals(encoding, "deflate"))
    throw HttpError(415, "expected Content-Encoding gzip, deflate or identity but found another");
  std::string_view packed = gzip ? without_gzip_header(body) : without_zlib_header(body);
  std::string out = unpack(packed, most);
  if (gzip) {
    boost::crc_32_type crc;
    crc.process_bytes(out.data(), out.size());
    if (packed.size() != 8 || little_endian(packed) != crc.checksum() ||
        little_endian(packed.substr(4)) != static_cast<uint32_t>(out.size()))
      damaged();
  } else {
    if (packed.size() != 4 || __builtin_bswap32(little_endian(packed)) != adler32(out)) damaged();
  }
  return out;
}

}  // namespace mlcore::server

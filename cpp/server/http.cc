#include "server/http.h"

#include <boost/beast/http/status.hpp>

#include "server/json_writer.h"

namespace mlcore::server {

std::string_view reason_of(int status) {
  return boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
}

Answer error_answer(int status, std::string_view message) {
  Answer answer;
  answer.status = status;
  answer.body = "{\"error\":";
  append_text(answer.body, message);
  answer.body += '}';
  return answer;
}

}  // namespace mlcore::server

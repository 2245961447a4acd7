#include "server/http_session.h"

#include <arpa/inet.h>

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include "base/release.h"
#include "base/status.h"
#include "server/http_head.h"
#include "server/inflate.h"

namespace mlcore::server {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;

constexpr size_t kPiece = size_t{64} << 10;  // bytes of a read
constexpr size_t kKeptAnswer = size_t{1} << 20;
constexpr size_t kLongBody = size_t{64} << 10;
constexpr std::chrono::seconds kLinger{2};
constexpr size_t kMostLingered = size_t{64} << 20;
constexpr std::string_view kEndOfHead = "\r\n\r\n";
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr int kBad = 400, kTimedOut = 408, kTooLarge = 413, kHeadTooLarge = 431, kOverloaded = 503;

// What else makes a request mean different things to different readers.
std::string_view problem_of(const http::request_header<>& request) {
  const auto lengths = request.count(http::field::content_length);
  const auto codings = request.count(http::field::transfer_encoding);
  if (lengths > 1) return "expected one Content-Length but found more";
  const std::string_view length = request[http::field::content_length];
  if (length.find_first_not_of("0123456789") != std::string_view::npos)
    return "expected digits as Content-Length but found other text";
  if (lengths > 0 && codings > 0) return "expected Content-Length or Transfer-Encoding but found both";
  if (codings > 1 || (codings == 1 && !beast::iequals(request[http::field::transfer_encoding], "chunked")))
    return "expected Transfer-Encoding: chunked but found another";
  if (request.version() != 11 && request.version() != 10)
    return "expected HTTP/1.1 or HTTP/1.0 but found another version";
  if (request.version() == 10 && codings > 0)
    return "expected no Transfer-Encoding in HTTP/1.0 but found one";
  if (request.version() == 11 && request.count(http::field::host) != 1)
    return "expected one Host but found none or more";
  return {};
}

// The address of who is connected; the same for all behind a Unix socket.
std::string address_of(const Session::Socket& socket) {
  boost::system::error_code code;
  const auto peer = socket.remote_endpoint(code);
  char text[INET6_ADDRSTRLEN] = "";
  if (code) return text;
  const sockaddr* address = reinterpret_cast<const sockaddr*>(peer.data());
  if (address->sa_family == AF_INET)
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text, sizeof text);
  if (address->sa_family == AF_INET6)
    ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, text, sizeof text);
  return text;
}

}  // namespace

Session::Session(Socket socket, Loop& loop)
    : loop_(loop), socket_(std::move(socket)), buffer_(loop.limits.max_header + kPiece) {
  if (loop_.router.asks_addresses()) client_ = address_of(socket_);
  loop_.watch(this);
  ++loop_.router.connections;
}

Session::~Session() {
  if (waits_) --loop_.router.waiting;
  loop_.sessions.erase(this);
  --loop_.router.connections;
}

void Session::start() {
  if (loop_.router.connections > loop_.limits.max_connections)
    return refuse(kOverloaded, "expected fewer connections but found all taken");
  read(Clock::now() + loop_.limits.idle_timeout);
}

void Session::close_if_idle() {
  if (reading_ && !parser_ && buffer_.size() == 0) close();
}

void Session::check_deadline(Clock::time_point now) {
  if (now < deadline_) return;
  deadline_ = Clock::time_point::max();
  Code ignored;
  late_ = reading_ && (parser_ || buffer_.size() > 0);
  if (late_) socket_.cancel(ignored);
  else socket_.close(ignored);
}

void Session::read(Clock::time_point deadline) {
  const size_t room = std::min(kPiece, buffer_.max_size() - buffer_.size());
  if (room == 0)
    return refuse(kHeadTooLarge, "expected smaller chunk extensions and trailers but found more");
  deadline_ = deadline;
  reading_ = true;
  socket_.async_read_some(buffer_.prepare(room), [self = shared_from_this()](Code code, size_t bytes) {
    self->on_read(code, bytes);
  });
}

void Session::on_read(Code code, size_t bytes) {
  reading_ = false;
  if (late_) return refuse(kTimedOut, "expected the request in time but found it unfinished");
  if (code) return;
  if (!parser_ && buffer_.size() == 0) began_ = Clock::now();
  buffer_.commit(bytes);
  process();
}

// Takes what is there as far as it goes: has one request answered, or reads on.
void Session::process() {
  if (!parser_ && !parse_head()) return;
  if (!parse_body()) return;
  deadline_ = Clock::time_point::max();
  last_ = !parser_->get().keep_alive() || loop_.closing;
  waits_ = true;
  ++loop_.router.waiting;
  if (!loop_.enqueue(shared_from_this())) write(loop_.router.overloaded(), false);
}

// True: there is a head, and its parser.
bool Session::parse_head() {
  const std::string_view there(static_cast<const char*>(buffer_.data().data()), buffer_.size());
  if (there.empty()) {
    read(Clock::now() + loop_.limits.idle_timeout);
    return false;
  }
  const size_t end = there.find(kEndOfHead);
  const std::string_view head =
      there.substr(0, end == std::string_view::npos ? there.size() : end + kEndOfHead.size());
  if (head.size() > loop_.limits.max_header) {
    refuse(kHeadTooLarge,
           "expected at most " + text(loop_.limits.max_header) + " bytes of header but found more");
    return false;
  }
  if (end == std::string_view::npos) {
    // a reader that waits for more is what a bare LF hopes for
    if (const size_t bare = head.find("\n\n"); bare != std::string_view::npos)
      refuse(kBad, problem_of_head(head));
    else read(began_ + loop_.limits.header_timeout);
    return false;
  }
  if (const std::string_view problem = problem_of_head(head); !problem.empty()) {
    refuse(kBad, problem);
    return false;
  }
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(loop_.limits.max_header + 1));
  parser_->body_limit(loop_.limits.max_body);
  parser_->eager(true);
  return true;
}

// True: the request is whole.
bool Session::parse_body() {
  const bool had_head = parser_->is_header_done();
  Code code;
  while (!parser_->is_done()) {
    const size_t used = parser_->put(buffer_.data(), code);
    buffer_.consume(used);
    if (code == http::error::need_more || (!code && used == 0)) break;
    if (code) break;
    if (buffer_.size() == 0 && !parser_->is_done()) break;
  }
  if (parser_->is_header_done() && !had_head) {
    if (const std::string_view problem = problem_of(parser_->get().base()); !problem.empty()) {
      refuse(kBad, problem);
      return false;
    }
  }
  if (code == http::error::body_limit) {
    refuse(kTooLarge, "expected a body of at most " + text(loop_.limits.max_body) + " bytes but found more");
    return false;
  }
  if (code == http::error::header_limit) {
    refuse(kHeadTooLarge, "expected a smaller header but found more");
    return false;
  }
  if (code && code != http::error::need_more) {
    refuse(kBad, "expected a request of HTTP/1.1 but found: " + code.message());
    return false;
  }
  if (parser_->is_done()) return true;
  const bool waits = !had_head && parser_->is_header_done() && parser_->get().version() == 11 &&
                     beast::iequals(parser_->get()[http::field::expect], "100-continue");
  if (waits) {
    deadline_ = began_ + loop_.limits.read_timeout;
    boost::asio::async_write(socket_, boost::asio::buffer(kContinue),
                             [self = shared_from_this()](Code failed, size_t) {
                               if (!failed) self->read(self->began_ + self->loop_.limits.read_timeout);
                             });
    return false;
  }
  read(began_ + (parser_->is_header_done() ? loop_.limits.read_timeout : loop_.limits.header_timeout));
  return false;
}

Request Session::request() const {
  const auto& message = parser_->get();
  return {message.method_string(), message.target(), content_, message.base(), began_, client_};
}

bool Session::has_long_body() const { return parser_->get().body().size() > kLongBody; }

bool Session::prepare_request(Workbench& bench) {
  const auto& message = parser_->get();
  const bool without_body = message.method() == http::verb::head;
  if (Router::takes_long(request())) {
    loop_.aside.post([self = shared_from_this()] {
      Workbench other(1);
      Runner runner(false);
      Answer answer = self->loop_.router.answer(self->request(), other, runner);
      boost::asio::post(self->loop_.context, [self, answer = std::move(answer)]() mutable {
        self->write(std::move(answer), false);
      });
    });
    return false;
  }
  const std::string_view encoding = message[http::field::content_encoding];
  std::optional<Answer> answer;
  content_ = message.body();
  try {
    if (!encoding.empty() && !content_.empty())
      content_ = unpacked_ = inflated(encoding, content_, loop_.limits.max_body);
    answer = loop_.router.read(request(), bench);
  } catch (const HttpError& error) {
    answer = error_answer(error.status(), error.what());
  } catch (const std::bad_alloc&) {
    answer = error_answer(kOverloaded, "expected memory for this request but found none");
  }
  if (answer) write(std::move(*answer), without_body);
  return !answer;
}

void Session::answer_request(Workbench& bench, Runner& runner, std::optional<int64_t> first) {
  write(loop_.router.compute(request(), bench, runner, first), false);
}

// Answers what cannot be read further, and closes.
void Session::refuse(int status, std::string_view message) {
  last_ = unread_ = true;
  write(error_answer(status, message), false);
}

void Session::write(Answer answer, bool without_body) {
  if (waits_) --loop_.router.waiting;
  waits_ = false;
  content_ = {};
  release(unpacked_);
  last_ |= loop_.closing;
  head_ = "HTTP/1.1 " + text(answer.status) + ' ';
  head_ += reason_of(answer.status);
  head_ += "\r\nContent-Type: ";
  head_ += answer.type;
  head_ += "\r\nContent-Length: " + text(answer.body.size());
  for (const auto& [name, value] : answer.headers)
    head_.append("\r\n").append(name).append(": ").append(value);
  if (last_) head_ += "\r\nConnection: close";
  else if (parser_ && parser_->get().version() == 10) head_ += "\r\nConnection: keep-alive";
  head_ += "\r\n\r\n";
  body_ = without_body ? std::string() : std::move(answer.body);
  deadline_ = Clock::now() + loop_.limits.read_timeout;
  const std::array<boost::asio::const_buffer, 2> parts{boost::asio::buffer(head_),
                                                       boost::asio::buffer(body_)};
  boost::asio::async_write(socket_, parts, [self = shared_from_this()](Code code, size_t) {
    if (code) return;
    if (self->last_) return self->close();
    self->parser_.reset();
    if (self->body_.capacity() > kKeptAnswer) release(self->body_);
    if (self->buffer_.size() > 0) self->began_ = Clock::now();
    self->process();
  });
}

void Session::close() {
  Code ignored;
  socket_.shutdown(boost::asio::socket_base::shutdown_send, ignored);
  if (unread_) {
    deadline_ = Clock::now() + kLinger;
    return linger(kMostLingered);
  }
  socket_.close(ignored);
}

// Reads on, and throws away: closing with bytes unread resets the connection, and the client may lose the
// answer.
void Session::linger(size_t left) {
  buffer_.consume(buffer_.size());
  socket_.async_read_some(buffer_.prepare(kPiece),
                          [self = shared_from_this(), left](Code code, size_t bytes) {
                            if (!code && bytes < left) self->linger(left - bytes);
                          });
}

}  // namespace mlcore::server

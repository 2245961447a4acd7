// The load of the server's benchmark: one thread, connections that stay open, requests read from a file.
//
//   load ADDRESS REQUESTS CONNECTIONS WARM_UP SECONDS [RATE]
//
// ADDRESS is a port of 127.0.0.1 or the path of a Unix socket. REQUESTS has each request's length on a line
// of its own and its bytes behind it; they are sent in turn. Without RATE every connection sends as soon as
// it has its answer; with RATE requests fall due at random times (Poisson), whether or not earlier ones are
// answered, and wait for a connection if they must: the latency counts from the time a request is due. Prints
// JSON.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Nanoseconds = int64_t;
constexpr Nanoseconds second = 1'000'000'000;
constexpr Nanoseconds patience = 20 * second;  // for the answers that are still to come when the time is up

Nanoseconds now() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

// For calls of the system, which give less than 0 when they fail.
int64_t checked(int64_t result, const char* call) {
  if (result < 0) throw std::runtime_error(std::string(call) + ": " + std::strerror(errno));
  return result;
}

std::vector<std::string> requests_in(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::string> out;
  for (std::string line; std::getline(file, line);) {
    out.emplace_back(std::stoul(line), '\0');
    file.read(out.back().data(), static_cast<std::streamsize>(out.back().size()));
    require(file.good(), "expected as many bytes as the length says in the file of requests");
  }
  require(!out.empty(), "expected requests in the file but found none");
  return out;
}

int connected(const std::string& address) {
  int out;
  if (address.find('/') == std::string::npos) {
    out = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(static_cast<uint16_t>(std::stoul(address)));
    checked(::connect(out, reinterpret_cast<sockaddr*>(&to), sizeof(to)), "connect");
    const int on = 1;
    ::setsockopt(out, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  } else {
    out = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    require(address.size() < sizeof(to.sun_path), "expected a shorter path of the socket");
    address.copy(to.sun_path, address.size());
    checked(::connect(out, reinterpret_cast<sockaddr*>(&to), sizeof(to)), "connect");
  }
  return out;
}

// Bytes of the answer at the front of what was read, 0 while some are missing; an answer must say its length.
size_t whole_answer(std::string_view read) {
  const size_t head = read.find("\r\n\r\n");
  if (head == std::string_view::npos) return 0;
  for (size_t at = read.find("\r\n"); at < head; at = read.find("\r\n", at + 2)) {
    constexpr std::string_view name = "content-length:";
    const std::string_view line = read.substr(at + 2);
    if (line.size() < name.size() || ::strncasecmp(line.data(), name.data(), name.size()) != 0) continue;
    size_t digits = name.size(), length = 0;
    while (digits < line.size() && line[digits] == ' ') ++digits;
    std::from_chars(line.data() + digits, line.data() + line.size(), length);
    return head + 4 + length <= read.size() ? head + 4 + length : 0;
  }
  throw std::runtime_error("expected a Content-Length in the answer");
}

struct Connection {
  int socket = -1;
  Nanoseconds due = 0;
  bool busy = false;
  std::string read;
};

class Load {
 public:
  Load(const std::string& address, const char* requests, size_t connections, double rate)
      : requests_(requests_in(requests)), connections_(connections), rate_(rate), poll_(::epoll_create1(0)) {
    ::prctl(PR_SET_TIMERSLACK, 1);  // or every sleep ends 50 us late
    for (Connection& one : connections_) {
      one.socket = connected(address);
      one.read.reserve(1 << 16);
      epoll_event event{.events = EPOLLIN, .data = {.ptr = &one}};
      checked(::epoll_ctl(poll_, EPOLL_CTL_ADD, one.socket, &event), "epoll_ctl");
      idle_.push_back(&one);
    }
    latencies_.reserve(1 << 20);
  }

  void run(double warm_up, double seconds) {
    start_ = now() + static_cast<Nanoseconds>(warm_up * second);
    end_ = start_ + static_cast<Nanoseconds>(seconds * second);
    next_due_ = now();
    while (rate_ == 0 && !idle_.empty()) send(next_due_);
    for (Nanoseconds time = now(); time < end_ || !done(); time = now()) {
      require(time < end_ + patience, "expected all answers but some did not come");
      send_due(std::min(time, end_ - 1));
      receive(wait(time));
    }
  }

  void print() {
    std::sort(latencies_.begin(), latencies_.end());
    std::sort(late_.begin(), late_.end());
    const double seconds = static_cast<double>(end_ - start_) / second;
    std::printf("{\"requests_per_second\": %.3f, \"errors\": %zu, \"samples\": %zu",
                static_cast<double>(finished_) / seconds, errors_, latencies_.size());
    for (const auto& [name, share] : {std::pair{"p50_us", 0.5}, {"p99_us", 0.99}, {"p999_us", 0.999}})
      std::printf(", \"%s\": %.2f", name, percentile(latencies_, share));
    std::printf(", \"sent_late_p99_us\": %.2f}\n", percentile(late_, 0.99));
  }

 private:
  static double percentile(const std::vector<float>& sorted, double share) {
    if (sorted.empty()) return 0;
    return sorted[std::min(sorted.size() - 1,
                           static_cast<size_t>(share * static_cast<double>(sorted.size())))];
  }

  bool done() const { return waiting_.empty() && idle_.size() == connections_.size(); }

  void send_due(Nanoseconds time) {
    for (; rate_ > 0 && next_due_ <= time;
         next_due_ += static_cast<Nanoseconds>(gap_(random_) / rate_ * second))
      waiting_.push_back(next_due_);
    while (!waiting_.empty() && !idle_.empty()) {
      if (waiting_.front() >= start_) late_.push_back(static_cast<float>(now() - waiting_.front()) / 1000);
      send(waiting_.front());
      waiting_.pop_front();
    }
  }

  void send(Nanoseconds due) {
    Connection& one = *idle_.back();
    idle_.pop_back();
    const std::string& request = requests_[turn_++ % requests_.size()];
    for (size_t sent = 0; sent < request.size();) {
      const std::string_view rest = std::string_view(request).substr(sent);
      sent +=
          static_cast<size_t>(checked(::send(one.socket, rest.data(), rest.size(), MSG_NOSIGNAL), "send"));
    }
    one.due = due;
    one.busy = true;
  }

  // How long to wait for answers.
  Nanoseconds wait(Nanoseconds time) const {
    if (time >= end_) return second / 10;
    return std::max<Nanoseconds>(0, (rate_ > 0 ? std::min(next_due_, end_) : end_) - now());
  }

  void receive(Nanoseconds wait) {
    epoll_event events[64];
    const timespec timeout{.tv_sec = wait / second, .tv_nsec = wait % second};
    const auto count = checked(::epoll_pwait2(poll_, events, 64, &timeout, nullptr), "epoll_pwait2");
    for (int64_t i = 0; i < count; ++i) read(*static_cast<Connection*>(events[i].data.ptr));
  }

  void read(Connection& one) {
    char buffer[1 << 14];
    const ssize_t count = ::recv(one.socket, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    require(count > 0 && one.busy, "expected an answer but the connection was closed");
    one.read.append(buffer, static_cast<size_t>(count));
    const size_t length = whole_answer(one.read);
    if (length == 0) return;
    require(one.read.size() == length, "expected one answer but found more bytes");
    finish(one, std::string_view(one.read).substr(0, length));
    one.read.clear();
    one.busy = false;
    idle_.push_back(&one);
    if (rate_ == 0 && last_ < end_) send(last_);
  }

  void finish(Connection& one, std::string_view answer) {
    last_ = now();
    if (!answer.starts_with("HTTP/1.1 200")) {
      if (errors_++ == 0) std::fprintf(stderr, "%.*s\n", static_cast<int>(answer.size()), answer.data());
    }
    if (last_ >= start_ && last_ < end_) ++finished_;
    // a slow answer counts when its request was due in time, however late it comes
    if (one.due >= start_) latencies_.push_back(static_cast<float>(last_ - one.due) / 1000);
  }

  std::vector<std::string> requests_;
  std::vector<Connection> connections_;
  double rate_;
  int poll_;
  std::vector<Connection*> idle_;
  std::deque<Nanoseconds> waiting_;
  std::vector<float> latencies_, late_;  // microseconds
  std::mt19937_64 random_{1};
  std::exponential_distribution<double> gap_;
  Nanoseconds start_ = 0, end_ = 0, next_due_ = 0, last_ = 0;
  size_t turn_ = 0, finished_ = 0, errors_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  try {
    require(count == 6 || count == 7, "expected: load ADDRESS REQUESTS CONNECTIONS WARM_UP SECONDS [RATE]");
    Load load(arguments[1], arguments[2], std::stoul(arguments[3]), count == 7 ? std::stod(arguments[6]) : 0);
    load.run(std::stod(arguments[4]), std::stod(arguments[5]));
    load.print();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "load: %s\n", error.what());
    return 1;
  }
}

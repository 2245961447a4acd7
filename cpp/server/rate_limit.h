// How many requests a client may send: a bucket of tokens each, filled at a rate.
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace mlcore::server {

class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;

  // `rate`: requests a second; `burst`: as many at once, at least 1. Of more than `most_clients` at a time,
  // the rest share one bucket, so that nobody can fill the memory by changing names.
  RateLimit(double rate, double burst, size_t most_clients = 65'536);

  // Takes a token of this client. 0, or the seconds until there is one.
  double take(std::string_view client, Clock::time_point now);

 private:
  struct Bucket {
    double tokens;
    Clock::time_point filled;
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  Bucket& bucket_of(std::string_view client, Clock::time_point now);
  double tokens(const Bucket& bucket, Clock::time_point now) const;

  double rate_, burst_;
  size_t most_clients_;
  std::mutex mutex_;
  std::unordered_map<std::string, Bucket, Hash, std::equal_to<>> buckets_;
  Bucket others_;
  Clock::time_point swept_{};
};

}  // namespace mlcore::server

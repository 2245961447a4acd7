#include "server/rate_limit.h"

#include <algorithm>

namespace mlcore::server {
namespace {

constexpr std::chrono::seconds kSweep{1};  // between two looks for clients that are gone

}  // namespace

RateLimit::RateLimit(double rate, double burst, size_t most_clients)
    : rate_(rate),
      burst_(std::max(burst, 1.0)),
      most_clients_(most_clients),
      others_{burst_, Clock::time_point{}} {}

double RateLimit::tokens(const Bucket& bucket, Clock::time_point now) const {
  const double seconds = std::chrono::duration<double>(now - bucket.filled).count();
  return std::min(burst_, bucket.tokens + std::max(0.0, seconds) * rate_);
}

RateLimit::Bucket& RateLimit::bucket_of(std::string_view client, Clock::time_point now) {
  if (const auto found = buckets_.find(client); found != buckets_.end()) return found->second;
  if (buckets_.size() >= most_clients_ && now - swept_ >= kSweep) {
    swept_ = now;
    // a full bucket is what a new client gets as well
    std::erase_if(buckets_, [&](const auto& entry) { return tokens(entry.second, now) >= burst_; });
  }
  if (buckets_.size() >= most_clients_) return others_;
  return buckets_.emplace(client, Bucket{burst_, now}).first->second;
}

double RateLimit::take(std::string_view client, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  Bucket& bucket = bucket_of(client, now);
  bucket.tokens = tokens(bucket, now);
  bucket.filled = std::max(now, bucket.filled);
  if (bucket.tokens < 1) return (1 - bucket.tokens) / rate_;
  bucket.tokens -= 1;
  return 0;
}

}  // namespace mlcore::server

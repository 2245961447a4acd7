#include "server/recent_errors.h"

namespace mlcore::server {
namespace {

constexpr size_t kKept = 20;
constexpr size_t kLongest = 4096;  // bytes of an answer that is kept

}  // namespace

void RecentErrors::add(const Answer& answer, const Served* served) {
  Entry entry{std::chrono::system_clock::now(), answer.status, served ? served->name : std::string(),
              answer.body.size() <= kLongest ? answer.body : R"({"error":"a long message"})"};
  const std::lock_guard lock(mutex_);
  entries_.push_front(std::move(entry));
  if (entries_.size() > kKept) entries_.pop_back();
}

std::vector<RecentErrors::Entry> RecentErrors::entries() const {
  const std::lock_guard lock(mutex_);
  return {entries_.begin(), entries_.end()};
}

}  // namespace mlcore::server

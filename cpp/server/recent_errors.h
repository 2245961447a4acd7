// The last requests that were refused, for whoever looks at the status page.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "server/http.h"
#include "server/served.h"

namespace mlcore::server {

class RecentErrors {
 public:
  struct Entry {
    std::chrono::system_clock::time_point at;
    int status;
    std::string model;  // empty: it came to none
    std::string body;   // of the answer: {"error": ...}
  };

  void add(const Answer& answer, const Served* served);
  std::vector<Entry> entries() const;  // the latest first

 private:
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;
};

}  // namespace mlcore::server

#include "server/status_page.h"

#include <chrono>

#include "base/status.h"
#include "server/json_writer.h"
#include "server/status_page_html.h"

namespace mlcore::server {
namespace {

// No frame, no script, style or image from elsewhere.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

double seconds(std::chrono::system_clock::time_point at) {
  return std::chrono::duration<double>(at.time_since_epoch()).count();
}

uint64_t load(const std::atomic<uint64_t>& count) { return count.load(std::memory_order_relaxed); }

void append_counts(std::string& out, const ModelCounts& counts) {
  out += ",\"rows\":" + text(size_t{load(counts.rows)}) + ",\"results\":{";
  for (size_t i = 2; i < 6; ++i)
    out += (i > 2 ? ",\"" : "\"") + text(i) + "xx\":" + text(size_t{load(counts.by_class[i])});
  out += "},\"latency\":[";
  for (size_t i = 0; i < ModelCounts::kBuckets; ++i)
    out += (i > 0 ? "," : "") + text(size_t{load(counts.latency[i])});
  out += ']';
}

}  // namespace

Answer status_page() {
  Answer answer;
  answer.type = "text/html; charset=utf-8";
  answer.body = kStatusPage;
  answer.headers.emplace_back("Content-Security-Policy", kPolicy);
  answer.headers.emplace_back("X-Content-Type-Options", "nosniff");
  answer.headers.emplace_back("Cache-Control", "no-store");
  return answer;
}

std::string status_document(const Snapshot& snapshot, const ServerCounts& counts,
                            const RecentErrors& errors) {
  std::string out = "{\"version\":\"" MLCORE_VERSION "\",\"started\":" + text(seconds(counts.started)) +
                    ",\"now\":" + text(seconds(std::chrono::system_clock::now())) +
                    ",\"draining\":" + (counts.draining ? "true" : "false") +
                    ",\"connections\":" + text(counts.connections) +
                    ",\"in_flight\":" + text(counts.waiting) +
                    ",\"unrouted\":" + text(size_t{counts.refused}) +
                    ",\"shed\":" + text(size_t{counts.shed}) + ",\"latency_bounds\":[";
  for (const double bound : ModelCounts::kBounds) out += (out.back() == '[' ? "" : ",") + text(bound);
  out += "],\"models\":[";
  for (const auto& [name, versions] : snapshot.models) {
    out += out.back() == '[' ? "{\"name\":" : ",{\"name\":";
    append_text(out, name);
    out += ",\"versions\":[";
    for (const auto& [version, served] : versions)
      out += (out.back() == '[' ? "{\"version\":\"" : ",{\"version\":\"") + text(version) +
             "\",\"digest\":\"" + served->digest + "\",\"loaded\":" + text(seconds(served->loaded)) + '}';
    out += ']';
    append_counts(out, *versions.rbegin()->second->counts);
    out += '}';
  }
  out += "],\"refused\":[";
  for (const Refused& one : snapshot.refused) {
    out += out.back() == '[' ? "{\"name\":" : ",{\"name\":";
    append_text(out, one.name);
    out += ",\"version\":\"" + text(one.version) + "\",\"reason\":";
    append_text(out, one.reason);
    out += '}';
  }
  out += "],\"errors\":[";
  for (const RecentErrors::Entry& entry : errors.entries()) {
    out += (out.back() == '[' ? "{\"at\":" : ",{\"at\":") + text(seconds(entry.at)) +
           ",\"status\":" + text(entry.status) + ",\"model\":";
    append_text(out, entry.model);
    out += ",\"answer\":" + entry.body + '}';
  }
  return out + "]}";
}

}  // namespace mlcore::server

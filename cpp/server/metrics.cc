#include "server/metrics.h"

#include <chrono>

#include "base/status.h"
#include "server/json_writer.h"

namespace mlcore::server {
namespace {

void head(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
  out.append(name).append(" ").append(type).append("\n");
}

// name{model="m"<more>} value
void sample(std::string& out, std::string_view name, std::string_view model, const std::string& more,
            const std::string& value) {
  out.append(name).append("{model=");
  append_text(out, model);
  out.append(more).append("} ").append(value).append("\n");
}

uint64_t load(const std::atomic<uint64_t>& count) { return count.load(std::memory_order_relaxed); }

void latencies(std::string& out, const std::string& name, const ModelCounts& counts) {
  uint64_t total = 0;
  for (size_t i = 0; i < ModelCounts::kBuckets; ++i) {
    total += load(counts.latency[i]);
    const std::string bound = i + 1 < ModelCounts::kBuckets ? text(ModelCounts::kBounds[i]) : "+Inf";
    sample(out, "mlcore_request_seconds_bucket", name, ",le=\"" + bound + "\"", text(size_t{total}));
  }
  sample(out, "mlcore_request_seconds_sum", name, "",
         text(static_cast<double>(load(counts.nanoseconds)) / 1e9));
  sample(out, "mlcore_request_seconds_count", name, "", text(size_t{total}));
}

// Of the highest version: another one starts from zero again.
void each_column(std::string& out, const Snapshot& snapshot) {
  using Column = ColumnWatch::Column;
  head(out, "mlcore_column_rows_total", "counter",
       "Rows whose columns were looked at: of requests with many, a part.");
  for (const auto& [name, versions] : snapshot.models)
    sample(out, "mlcore_column_rows_total", name, "", text(size_t{versions.rbegin()->second->watch->rows()}));
  const auto counter = [&](std::string_view metric, std::string_view help, const auto& applies,
                           const auto& count) {
    head(out, metric, "counter", help);
    for (const auto& [name, versions] : snapshot.models) {
      const ColumnWatch& watch = *versions.rbegin()->second->watch;
      for (const Column& column : watch.columns()) {
        if (!applies(column)) continue;
        std::string label = ",column=";
        append_text(label, watch.name_of(column));
        sample(out, metric, name, label, text(size_t{load(count(column))}));
      }
    }
  };
  counter(
      "mlcore_column_missing_total", "Missing values, by column.", [](const Column&) { return true; },
      [](const Column& column) -> const auto& { return column.missing; });
  counter(
      "mlcore_column_unseen_total", "Categories that no encoder of the model knows, by column.",
      [](const Column& column) { return column.has_keys; },
      [](const Column& column) -> const auto& { return column.unseen; });
  counter(
      "mlcore_column_out_of_range_total", "Numbers outside the range of the sample, by column.",
      [](const Column& column) { return column.has_range; },
      [](const Column& column) -> const auto& { return column.outside; });
}

void of_server(std::string& out, const ServerCounts& counts) {
  const auto one = [&](std::string_view name, std::string_view type, std::string_view help,
                       const std::string& value) {
    head(out, name, type, help);
    out.append(name).append(" ").append(value).append("\n");
  };
  one("mlcore_connections", "gauge", "Connections that are open.", text(counts.connections));
  one("mlcore_requests_in_flight", "gauge", "Requests that have come and are not answered.",
      text(counts.waiting));
  one("mlcore_unrouted_requests_total", "counter", "Requests that were answered without a model.",
      text(size_t{counts.refused}));
  one("mlcore_shed_requests_total", "counter", "Requests refused because too many were waiting.",
      text(size_t{counts.shed}));
  one("mlcore_start_time_seconds", "gauge", "When the server was started.",
      text(std::chrono::duration<double>(counts.started.time_since_epoch()).count()));
}

}  // namespace

std::string metrics_text(const Snapshot& snapshot, const ServerCounts& counts) {
  std::string out;
  of_server(out, counts);
  const auto each = [&](const auto& f) {
    for (const auto& [name, versions] : snapshot.models) f(name, *versions.rbegin()->second);
  };
  head(out, "mlcore_requests_total", "counter", "Requests by the first digit of their status.");
  each([&](const std::string& name, const Served& served) {
    for (size_t i = 2; i < 6; ++i)
      sample(out, "mlcore_requests_total", name, ",result=\"" + text(i) + "xx\"",
             text(size_t{load(served.counts->by_class[i])}));
  });
  head(out, "mlcore_rows_total", "counter", "Rows that were computed.");
  each([&](const std::string& name, const Served& served) {
    sample(out, "mlcore_rows_total", name, "", text(size_t{load(served.counts->rows)}));
  });
  head(out, "mlcore_joined_runs_total", "counter", "Runs that computed several requests (--batch-rows).");
  each([&](const std::string& name, const Served& served) {
    sample(out, "mlcore_joined_runs_total", name, "", text(size_t{load(served.counts->joined_runs)}));
  });
  head(out, "mlcore_joined_rows_total", "counter", "Rows in those runs.");
  each([&](const std::string& name, const Served& served) {
    sample(out, "mlcore_joined_rows_total", name, "", text(size_t{load(served.counts->joined_rows)}));
  });
  each_column(out, snapshot);
  head(out, "mlcore_request_seconds", "histogram", "From the first byte of a request to its answer.");
  each([&](const std::string& name, const Served& served) { latencies(out, name, *served.counts); });
  head(out, "mlcore_model_loaded_timestamp_seconds", "gauge", "When the version was loaded.");
  for (const auto& [name, versions] : snapshot.models)
    for (const auto& [version, served] : versions) {
      const auto loaded = std::chrono::duration<double>(served->loaded.time_since_epoch()).count();
      sample(out, "mlcore_model_loaded_timestamp_seconds", name,
             ",version=\"" + text(version) + "\",digest=\"" + served->digest + '"', text(loaded));
    }
  head(out, "mlcore_model_refused", "gauge",
       "Files that could not be loaded; /v2/repository/index says why.");
  for (const Refused& one : snapshot.refused)
    sample(out, "mlcore_model_refused", one.name, ",version=\"" + text(one.version) + '"', "1");
  return out;
}

}  // namespace mlcore::server

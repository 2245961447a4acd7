// One version of a model that is served: what it takes and gives, by name.
#pragma once

#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model.h"
#include "runtime/tensor.h"
#include "server/column_watch.h"

namespace mlcore::server {

// Of one model, whatever its version; counted by every loop.
struct ModelCounts {
  static constexpr size_t kBuckets = 14;
  static const std::array<double, kBuckets - 1> kBounds;  // seconds, upper

  std::atomic<uint64_t> by_class[6]{};  // of the status: [2] is 2xx
  std::atomic<uint64_t> latency[kBuckets]{};
  std::atomic<uint64_t> nanoseconds{0};
  std::atomic<uint64_t> rows{0};
  std::atomic<uint64_t> joined_runs{0}, joined_rows{0};  // of several requests, and the rows in them
};

struct Served {
  // Throws ErrorCode::artifact or ErrorCode::io.
  Served(std::string name, int64_t version, std::string path, std::shared_ptr<ModelCounts> counts);
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  // Of an output called `name`, or of its alias. Throws ErrorCode::input when there is none.
  size_t output_named(std::string_view output) const;
  // What is answered when nobody says: predict and predict_proba, where there are any, else all.
  const std::vector<size_t>& usual_outputs() const { return usual_; }

  std::string name;
  int64_t version;
  std::string path;
  std::string digest;  // of the file, in hexadecimal
  std::chrono::system_clock::time_point loaded;
  std::shared_ptr<ModelCounts> counts;
  std::shared_ptr<const Model> model;
  std::unique_ptr<ColumnWatch> watch;
  std::vector<TensorOutput> outputs;
  std::vector<std::vector<std::string>> keys;  // per output: `"no":` for each column; empty: it has no names
  boost::unordered_flat_map<std::string_view, uint32_t> columns;  // by name, into the schema
  Names column_names;

 private:
  std::vector<size_t> usual_;
};

}  // namespace mlcore::server

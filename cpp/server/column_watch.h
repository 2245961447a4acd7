// What the rows of requests hold that training did not: missing values, categories that no encoder knows,
// numbers outside the range of the sample (where the model has one: `keep_ranges` of mlcore.compile).
#pragma once

#include <atomic>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "runtime/model.h"

namespace mlcore::server {

class ColumnWatch {
 public:
  struct Column {
    size_t index;  // in the schema
    boost::unordered_flat_set<std::string_view> texts;
    boost::unordered_flat_set<double> numbers;
    bool has_keys = false, has_range = false;
    double least = 0, most = 0;
    std::atomic<uint64_t> missing{0}, unseen{0}, outside{0};
  };

  // The model must outlive it. Throws ErrorCode::artifact when the file's ranges cannot be read.
  explicit ColumnWatch(const Model& model);

  // Counts what is in some rows of a batch that the model has taken: all of a few, a part of many. Its
  // columns are those of the schema, in that order.
  void look(const Batch& batch);

  const std::deque<Column>& columns() const { return columns_; }  // those that the model reads
  const std::string& name_of(const Column& column) const;
  uint64_t rows() const { return rows_.load(std::memory_order_relaxed); }  // that were looked at

 private:
  void read_keys();
  void read_ranges();
  void look(Column& column, const ColumnView& values, int64_t first, int64_t count) const;

  const Model& model_;
  std::deque<Column> columns_;
  std::atomic<uint64_t> rows_{0};
};

}  // namespace mlcore::server

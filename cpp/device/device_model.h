// DeviceModel: a model whose steps run on a GPU. What touches text runs on the host, before the rest;
// whatever the device refuses is asked of the host's model, whose answer or message is the one that counts.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "device/cut.h"
#include "device/lane.h"
#include "device/library.h"
#include "device/result_pool.h"
#include "device/table_inputs.h"
#include "runtime/model.h"
#include "runtime/route.h"

namespace mlcore {

class DeviceModel {
 public:
  // Lowers the model for the device and replays its golden rows there. Throws ErrorCode::device.
  DeviceModel(std::shared_ptr<const Model> model, std::string_view device);
  ~DeviceModel();
  DeviceModel(const DeviceModel&) = delete;
  DeviceModel& operator=(const DeviceModel&) = delete;

  const Model& model() const { return *model_; }
  const std::string& device() const { return device_.name; }
  const std::string& hardware() const { return device_.hardware; }

  // As Model::run: a table of the host, results to the host. Copies of one part of the rows and the work on
  // another overlap.
  void run(const Batch& batch, std::span<const int32_t> outputs, std::span<void* const> destinations) const;

  // A table and destinations in the device's memory; what the stream has been given before, and the table's
  // events, are waited for, and the results are there on return.
  void run_on_device(const DeviceTable& table, std::span<const int32_t> outputs,
                     std::span<void* const> destinations, device::Stream* stream) const;

  // The steps that had a choice, as (path, how they run): forests, with the form that each takes.
  std::vector<std::pair<std::string, std::string>> forms() const;

  int64_t device_number() const { return device_.number; }
  ResultPool& results() const { return results_; }
  // Of the device or the host on either side; done on return.
  void copy(void* to, const void* from, size_t bytes, device::Stream* stream = nullptr) const;

 private:
  struct Task;
  struct Places;
  struct Staging;

  void make_column_feeds();
  const Route& route_for(const std::vector<int32_t>& outputs) const;
  size_t staged_bytes(const Crossing& crossing, int64_t capacity) const;
  Staging staging(const Route& route, int64_t capacity) const;
  size_t result_bytes(const Route& route, int64_t capacity) const;
  size_t block_bytes(const Route& route, int64_t capacity) const;
  void reserve(Lane& lane, const Route& route, int64_t capacity) const;
  int64_t capacity_of(const Route& route, int64_t rows) const;
  void run_chunks(Lane& lane, TableInputs& inputs, int64_t rows, const Route& route,
                  std::span<const int32_t> outputs, std::span<void* const> destinations,
                  device::Stream* stream) const;
  Places places(const Lane& lane, const Task& task) const;
  void send(const Task& task, const Places& places) const;
  void read(const Task& task, const Places& places) const;
  void gather(std::span<const device::Gathered> columns, const Task& task, const Places& places) const;
  void launch(Lane& lane, const Task& task) const;
  void start(Lane& lane, const Task& task) const;
  std::optional<int64_t> refused(const Lane& lane, const Task& task) const;
  void feed(Lane& lane, const Source* golden, const Batch* batch, const Task& task) const;
  void collect(const Lane& lane, const Task& task) const;
  void finish_host(Lane& lane, const Task& task, const Batch& batch) const;
  void ask_host(const Batch& batch, std::span<const int32_t> outputs, std::span<void* const> destinations,
                int64_t first) const;
  void recompute(const Task& task, int64_t first) const;
  void replay() const;

  std::shared_ptr<const Model> model_;
  OpenDevice device_;
  Program program_;  // what the model has lowered, text taken apart
  Cut cut_;
  std::unique_ptr<Model> feed_;                // null: the host has nothing to compute
  std::vector<std::unique_ptr<Step>> shapes_;  // per node of the rest: that there is something to launch
  std::vector<device::Step*> steps_;           // per node of the rest
  std::vector<int32_t> crossing_of_;           // per node of the rest; -1: none
  size_t scratch_bytes_ = 0;                   // that every launch gets
  std::vector<std::unique_ptr<ColumnFeed>> column_feeds_;  // by schema column

  mutable std::mutex mutex_;  // of the routes
  mutable std::vector<std::unique_ptr<Route>> routes_;
  mutable LanePool lanes_;
  mutable ResultPool results_;
};

}  // namespace mlcore

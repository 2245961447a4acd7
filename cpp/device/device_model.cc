#include "device/device_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "base/status.h"
#include "runtime/decode.h"
#include "runtime/golden.h"
#include "runtime/warm_workspace.h"

namespace mlcore {
namespace {

constexpr size_t kChunkBytes = size_t{512} << 20;  // of the device's memory that one lane takes
constexpr int64_t kMostRows = int64_t{1} << 20;    // of a chunk
constexpr int64_t kGraphRows = 512;                // up to so many are worth a recorded graph
constexpr size_t kMostGraphs = 64;                 // of a lane
constexpr int64_t kWindow = 512;                   // rows that are asked of the host at a time

size_t align_up(size_t bytes) { return (bytes + 255) / 256 * 256; }

// What a route asks for a node that a kernel computes.
class Launched final : public Step {
 public:
  void run(const StepArgs&) const override {
    fail(ErrorCode::program, "expected a step of a device to be launched but found a call");
  }
};

// Golden rows compare equal where bytes do, or where both are NaN: a device has NaNs of its own.
bool same_numbers(DType type, const std::byte* a, const std::byte* b, int64_t count) {
  if (std::memcmp(a, b, size_of(type) * static_cast<size_t>(count)) == 0) return true;
  const auto equal = [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < count; ++i) {
      T x, y;
      std::memcpy(&x, a + static_cast<size_t>(i) * sizeof(T), sizeof(T));
      std::memcpy(&y, b + static_cast<size_t>(i) * sizeof(T), sizeof(T));
      if (std::memcmp(&x, &y, sizeof(T)) != 0 && !(x != x && y != y)) return false;
    }
    return true;
  };
  return type == DType::f64 ? equal(double{}) : type == DType::f32 ? equal(float{}) : false;
}

// Row `row` of another source.
class RowOf final : public Source {
 public:
  RowOf(const Source& source, int64_t row) : source_(source), row_(row) {}
  void read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const override {
    source_.read(column, row_ + first, n, dtype, out);
  }

 private:
  const Source& source_;
  int64_t row_;
};

Kind kind_of(DType type) {
  return type == DType::f64   ? Kind::float64
         : type == DType::f32 ? Kind::float32
         : type == DType::i64 ? Kind::int64
                              : Kind::int32;
}

}  // namespace

// Rows [first, first + rows) on their way through a lane.
struct DeviceModel::Task {
  const Route* route;
  std::span<const int32_t> outputs;
  std::span<void* const> destinations;
  int64_t first, rows, capacity;
  device::Stream* stream;
  std::span<const DeviceColumn> columns;  // by schema column, in the device's memory; empty: the host feeds

  bool on_device() const { return !columns.empty(); }
};

class DeviceModel::LaneLoan {
 public:
  explicit LaneLoan(const DeviceModel& model) : model_(model) {
    {
      const std::scoped_lock lock(model.mutex_);
      if (!model.lanes_.empty()) {
        lane_ = std::move(model.lanes_.back());
        model.lanes_.pop_back();
      }
    }
    if (!lane_) lane_ = std::make_unique<Lane>(model.device_);
  }
  ~LaneLoan() {
    // whatever stopped the call, nothing of it is under way when the next one takes the lane
    model_.device_.library->wait(model_.device_.device, lane_->own);
    const std::scoped_lock lock(model_.mutex_);
    model_.lanes_.push_back(std::move(lane_));
  }
  LaneLoan(const LaneLoan&) = delete;
  LaneLoan& operator=(const LaneLoan&) = delete;
  Lane& operator*() const { return *lane_; }

 private:
  const DeviceModel& model_;
  std::unique_ptr<Lane> lane_;
};

DeviceModel::DeviceModel(std::shared_ptr<const Model> model, std::string_view device)
    : model_(std::move(model)), device_(open_device(device)), cut_(cut_for_device(model_->lowered())) {
  if (!cut_.feed.outputs.empty()) feed_ = std::make_unique<Model>(cut_.feed);
  const size_t count = cut_.rest.nodes.size();
  crossing_of_.assign(count, -1);
  int32_t id = 0;
  for (size_t i = 0; i < cut_.crossings.size(); ++i)
    if (cut_.crossings[i].type.dtype != DType::str)
      crossing_of_[static_cast<size_t>(id++)] = static_cast<int32_t>(i);
  shapes_.resize(count);
  steps_.resize(count);
  try {
    for (size_t i = 0; i < count; ++i) {
      if (cut_.rest.nodes[i].op == "concat") shapes_[i] = std::make_unique<Launched>();
      if (!cut_.steps[i]) continue;
      shapes_[i] = std::make_unique<Launched>();
      size_t scratch = 0;
      device_.check(device_.library->build(device_.device, &cut_.steps[i]->finished(), &steps_[i], &scratch));
      scratch_bytes_ = std::max(scratch_bytes_, align_up(scratch));
    }
    cut_.steps.clear();
    replay();
  } catch (...) {
    for (device::Step* step : steps_)
      if (step != nullptr) device_.library->free_step(device_.device, step);
    throw;
  }
}

DeviceModel::~DeviceModel() {
  lanes_.clear();
  for (device::Step* step : steps_)
    if (step != nullptr) device_.library->free_step(device_.device, step);
}

const Route& DeviceModel::route_for(const std::vector<int32_t>& outputs) const {
  const std::scoped_lock lock(mutex_);
  for (const auto& route : routes_)
    if (route->outputs == outputs) return *route;
  routes_.push_back(std::make_unique<Route>(cut_.rest, shapes_, crossing_of_, outputs));
  return *routes_.back();
}

namespace {

size_t row_bytes(const Program& program, int32_t output) {
  const ValueType type =
      program.nodes[static_cast<size_t>(program.outputs[static_cast<size_t>(output)].value)].type;
  return size_of(type.dtype) * static_cast<size_t>(type.width);
}

}  // namespace

size_t DeviceModel::staged_bytes(const Crossing& crossing, int64_t capacity) const {
  return align_up(size_of(crossing.type.dtype) * static_cast<size_t>(crossing.type.width * capacity));
}

size_t DeviceModel::crossing_bytes(int64_t capacity) const {
  size_t bytes = 0;
  for (const Crossing& crossing : cut_.crossings) bytes += staged_bytes(crossing, capacity);
  return bytes;
}

// Memory for chunks of the host's tables: the blocks and results on the device, and both ends of the copies.
void DeviceModel::reserve(Lane& lane, const Route& route, int64_t capacity) const {
  size_t results = 0;
  for (int32_t output : route.outputs)
    results += align_up(row_bytes(cut_.rest, output) * static_cast<size_t>(capacity));
  lane.reserve(block_bytes(route, capacity) + results, crossing_bytes(capacity) + results);
}

size_t DeviceModel::block_bytes(const Route& route, int64_t capacity) const {
  return align_up(route.bytes_per_row * static_cast<size_t>(capacity)) + scratch_bytes_;
}

int64_t DeviceModel::capacity_of(const Route& route, int64_t rows) const {
  size_t bytes = route.bytes_per_row + 1;
  for (int32_t output : route.outputs) bytes += row_bytes(cut_.rest, output);
  const auto most =
      std::clamp<int64_t>(static_cast<int64_t>(kChunkBytes / bytes) / 512 * 512, 512, kMostRows);
  return rows <= kGraphRows ? kGraphRows : std::min((rows + 511) / 512 * 512, most);
}

// Puts everything for a chunk into the stream, but for what comes from the host's memory to a lane's.
void DeviceModel::launch(Lane& lane, const Task& task) const {
  const device::Library& library = *device_.library;
  const Route& route = *task.route;
  std::byte* const scratch = lane.memory + align_up(route.bytes_per_row * static_cast<size_t>(task.capacity));
  std::byte* results = scratch + scratch_bytes_;
  std::byte* staged = lane.host;
  device_.check(library.copy(device_.device, lane.fault, lane.host_fault, sizeof(int64_t), task.stream));
  std::vector<std::byte*> staged_at;
  for (const Crossing& crossing : cut_.crossings) {
    staged_at.push_back(staged);
    staged += staged_bytes(crossing, task.capacity);
  }
  const auto cross = [&](int32_t index, std::byte* to) {
    const Crossing& crossing = cut_.crossings[static_cast<size_t>(index)];
    const DType dtype = crossing.type.dtype;
    device::Strided from;
    from.data = staged_at[static_cast<size_t>(index)];
    from.kind = kind_of(dtype);
    from.row_stride = crossing.type.width;
    from.column_stride = 1;
    if (task.on_device()) {
      const auto column = static_cast<size_t>(crossing.column);
      from.kind = task.columns[column].kind;
      from.row_stride = task.columns[column].stride;
      from.data = static_cast<const std::byte*>(task.columns[column].data) +
                  task.first * from.row_stride * bytes_of(from.kind);
      from.nullable = model_->program().schema[column].nullable;
    } else if (crossing.type.width == 1) {
      device_.check(library.copy(device_.device, to, from.data,
                                 size_of(dtype) * static_cast<size_t>(task.rows), task.stream));
      return;
    }
    from.first_row = task.first;
    from.fault = lane.fault;
    device_.check(library.gather(device_.device, to, dtype, task.capacity, &from, task.rows,
                                 crossing.type.width, task.stream));
  };
  for (const Route::Visit& visit : route.visits) {
    std::byte* const out = visit.output.in(lane.memory, task.capacity, task.capacity);
    if (visit.columns > 0) {
      for (uint32_t k = 0; k < visit.columns; ++k)
        cross(route.columns[visit.first_column + k],
              out + k * size_of(visit.dtype) * static_cast<size_t>(task.capacity));
    } else if (visit.step != nullptr) {
      device::LaunchArgs args;
      const auto input = [&](size_t k) -> const Route::Place& { return route.inputs[visit.first_input + k]; };
      if (steps_[visit.node] == nullptr) {  // concat
        std::byte* to = out;
        for (size_t k = 0; k < visit.inputs; ++k) {
          std::byte* const from = input(k).in(lane.memory, task.capacity, task.capacity);
          const size_t bytes = size_of(visit.dtype) * static_cast<size_t>(input(k).width * task.capacity);
          if (from != to) device_.check(library.copy(device_.device, to, from, bytes, task.stream));
          to += bytes;
        }
      } else {
        for (size_t k = 0; k < visit.inputs; ++k)
          args.inputs[k] = {input(k).in(lane.memory, task.capacity, task.capacity), input(k).width};
        args.output = {out, visit.output.width};
        args.rows = task.rows;
        args.stride = task.capacity;
        args.first_row = task.first;
        args.fault = lane.fault;
        args.scratch = scratch;
        device_.check(library.launch(device_.device, steps_[visit.node], &args, task.stream));
      }
    }
    for (int32_t shown : std::span(route.shown).subspan(visit.first_shown, visit.shown)) {
      const size_t bytes = row_bytes(cut_.rest, shown);
      std::byte* to = results;
      if (task.on_device()) {
        const auto at = static_cast<size_t>(std::ranges::find(task.outputs, shown) - task.outputs.begin());
        to = static_cast<std::byte*>(task.destinations[at]) + bytes * static_cast<size_t>(task.first);
      } else {
        results += align_up(bytes * static_cast<size_t>(task.capacity));
      }
      device_.check(library.scatter(device_.device, to, out, visit.dtype, task.capacity, task.rows,
                                    visit.output.width, task.stream));
      if (task.on_device()) continue;
      // in the order of the visits, which is that of finish_host
      device_.check(
          library.copy(device_.device, staged, to, bytes * static_cast<size_t>(task.rows), task.stream));
      staged += align_up(bytes * static_cast<size_t>(task.capacity));
    }
  }
  device_.check(library.copy(device_.device, lane.host_fault + 1, lane.fault, sizeof(int64_t), task.stream));
}

// `launch`, or the graph of an earlier one.
void DeviceModel::start(Lane& lane, const Task& task) const {
  const device::Library& library = *device_.library;
  if (task.capacity != kGraphRows || task.on_device() || task.first > 0) return launch(lane, task);
  const std::pair key{task.route, task.rows};
  auto found = lane.graphs.find(key);
  if (found == lane.graphs.end()) {
    if (lane.graphs.size() >= kMostGraphs) return launch(lane, task);
    device::Graph* graph = nullptr;
    device_.check(library.begin_graph(device_.device, task.stream));
    try {
      launch(lane, task);
    } catch (...) {
      library.end_graph(device_.device, task.stream, &graph);
      if (graph != nullptr) library.free_graph(device_.device, graph);
      throw;
    }
    device_.check(library.end_graph(device_.device, task.stream, &graph));
    if (graph == nullptr) return;  // it was run
    found = lane.graphs.emplace(key, graph).first;
  }
  device_.check(library.run_graph(device_.device, found->second, task.stream));
}

// Waits for the chunk; whether it holds a row that a step refuses.
bool DeviceModel::refused(Lane& lane, const Task& task) const {
  device_.check(device_.library->wait(device_.device, task.stream));
  return lane.host_fault[1] != Lane::kNoFault;
}

// What the host computes of the chunk, into the lane's memory.
void DeviceModel::feed(Lane& lane, const Source* golden, const Batch* batch, const Task& task) const {
  if (!feed_) {  // the outputs are constants
    if (batch != nullptr) bind_columns(model_->program().schema, model_->used_columns(), *batch);
    return;
  }
  std::vector<int32_t> outputs;
  std::vector<void*> destinations;
  std::byte* staged = lane.host;
  for (size_t i = 0; i < cut_.crossings.size(); ++i) {
    outputs.push_back(static_cast<int32_t>(i));
    destinations.push_back(staged);
    staged += staged_bytes(cut_.crossings[i], task.capacity);
  }
  for (size_t i = 0; i < cut_.host_outputs.size(); ++i) {
    const auto at = std::ranges::find(task.outputs, cut_.host_outputs[i]);
    if (at == task.outputs.end()) continue;
    const ValueType type =
        model_->lowered().nodes[static_cast<size_t>(cut_.feed.outputs[cut_.crossings.size() + i].value)].type;
    outputs.push_back(static_cast<int32_t>(cut_.crossings.size() + i));
    destinations.push_back(
        static_cast<std::byte*>(task.destinations[static_cast<size_t>(at - task.outputs.begin())]) +
        size_of(type.dtype) * static_cast<size_t>(type.width * task.first));
  }
  const WarmWorkspace workspace;
  if (batch != nullptr) return feed_->run(*batch, outputs, destinations, *workspace);
  for (int64_t row = 0; row < task.rows; ++row) {
    std::vector<void*> at;
    for (size_t i = 0; i < outputs.size(); ++i) {
      at.push_back(static_cast<std::byte*>(destinations[i]) +
                   row_bytes(feed_->program(), outputs[i]) * static_cast<size_t>(row));
    }
    feed_->run_row(RowOf(*golden, row), outputs, at, *workspace);
  }
}

// The chunk's results to where the caller wants them.
void DeviceModel::collect(const Lane& lane, const Task& task) const {
  const std::byte* staged = lane.host + crossing_bytes(task.capacity);
  for (const Route::Visit& visit : task.route->visits) {
    for (int32_t shown : std::span(task.route->shown).subspan(visit.first_shown, visit.shown)) {
      const size_t bytes = row_bytes(cut_.rest, shown);
      const auto at = static_cast<size_t>(std::ranges::find(task.outputs, shown) - task.outputs.begin());
      std::memcpy(static_cast<std::byte*>(task.destinations[at]) + bytes * static_cast<size_t>(task.first),
                  staged, bytes * static_cast<size_t>(task.rows));
      staged += align_up(bytes * static_cast<size_t>(task.capacity));
    }
  }
}

// The same, or the host's answer where the device refused a row.
void DeviceModel::finish_host(Lane& lane, const Task& task, const Batch& batch) const {
  if (!refused(lane, task)) return collect(lane, task);
  ask_host(batch, task.outputs, task.destinations, task.first);
}

void DeviceModel::ask_host(const Batch& batch, std::span<const int32_t> outputs,
                           std::span<void* const> destinations, int64_t first) const {
  std::vector<void*> at;
  for (size_t i = 0; i < outputs.size(); ++i)
    at.push_back(static_cast<std::byte*>(destinations[i]) +
                 row_bytes(model_->program(), outputs[i]) * static_cast<size_t>(first));
  const WarmWorkspace workspace;
  model_->run(batch, outputs, at, *workspace);
}

namespace {

Batch rows_of(const Batch& batch, int64_t first, int64_t rows) {
  std::vector<ColumnView> columns;
  for (size_t i = 0; i < batch.column_count(); ++i) columns.push_back(slice(batch.column(i), first, rows));
  return {rows,
          std::make_shared<const std::vector<std::string>>(batch.names().begin(), batch.names().end()),
          std::move(columns),
          {}};
}

}  // namespace

void DeviceModel::run(const Batch& batch, std::span<const int32_t> outputs,
                      std::span<void* const> destinations) const {
  std::vector<int32_t> device_outputs;
  for (int32_t output : outputs)
    if (cut_.rest.outputs[static_cast<size_t>(output)].value >= 0) device_outputs.push_back(output);
  std::ranges::sort(device_outputs);
  const Route& route = route_for(device_outputs);
  const int64_t capacity = capacity_of(route, batch.rows());
  // two lanes: while the device works on one chunk, the host feeds the next
  const LaneLoan first_lane(*this);
  std::optional<LaneLoan> second_lane;
  if (batch.rows() > capacity) second_lane.emplace(*this);
  struct Pending {
    Task task;
    Batch batch;
  };
  std::optional<Pending> pending[2];
  Lane* const lanes[2] = {&*first_lane, second_lane ? &**second_lane : nullptr};
  const auto finish = [&](size_t at) {
    if (!pending[at]) return;
    const Pending done = std::move(*pending[at]);
    pending[at].reset();
    finish_host(*lanes[at], done.task, done.batch);
  };
  size_t turn = 0;
  for (int64_t first = 0; first < std::max<int64_t>(batch.rows(), 1); first += capacity) {
    finish(turn);  // rows are refused in their order
    Lane& lane = *lanes[turn];
    reserve(lane, route, capacity);
    const int64_t rows = std::min(capacity, batch.rows() - first);
    Task task{&route, outputs, destinations, first, rows, capacity, lane.own, {}};
    const Batch part = rows_of(batch, first, rows);
    try {
      feed(lane, nullptr, &part, task);
    } catch (const Error&) {
      finish(1 - turn);
      ask_host(part, outputs, destinations, first);
      continue;
    }
    if (rows > 0 && !device_outputs.empty()) {
      start(lane, task);
      pending[turn] = Pending{task, part};
    }
    if (second_lane) turn = 1 - turn;
  }
  finish(turn);
  finish(1 - turn);
}

void DeviceModel::run_on_device(Names names, std::span<const DeviceColumn> columns, int64_t rows,
                                std::span<const int32_t> outputs, std::span<void* const> destinations,
                                device::Stream* stream) const {
  const std::vector<DeviceColumn> by_column =
      bind_device_columns(model_->program().schema, model_->used_columns(), names, columns, rows);
  for (const Crossing& crossing : cut_.crossings)
    require(crossing.column >= 0, ErrorCode::input, "step ",
            quoted(model_->lowered().nodes[static_cast<size_t>(crossing.node)].path),
            ": expected a table in the host's memory, because it reads text, but found arrays of the device");
  for (int32_t output : outputs)
    require(cut_.rest.outputs[static_cast<size_t>(output)].value >= 0, ErrorCode::input, "output ",
            quoted(model_->program().outputs[static_cast<size_t>(output)].method),
            ": expected a table in the host's memory, because the device has no part in it, but found arrays "
            "of the device");
  std::vector<int32_t> sorted(outputs.begin(), outputs.end());
  std::ranges::sort(sorted);
  const Route& route = route_for(sorted);
  const int64_t capacity = capacity_of(route, rows);
  const LaneLoan loan(*this);
  (*loan).reserve(block_bytes(route, capacity), 0);
  for (int64_t first = 0; first < rows; first += capacity) {
    const Task task{&route,   outputs, destinations, first, std::min(capacity, rows - first),
                    capacity, stream,  by_column};
    try {
      launch(*loan, task);
      if (refused(*loan, task)) recompute(task, (*loan).host_fault[1]);
    } catch (...) {
      device_.library->wait(device_.device, stream);  // the lane goes to others
      throw;
    }
  }
}

// The rows of a chunk from the window of row `from` on, by the host.
void DeviceModel::recompute(const Task& task, int64_t from) const {
  const std::vector<ColumnSpec>& schema = model_->program().schema;
  for (int64_t first = from / kWindow * kWindow; first < task.first + task.rows; first += kWindow) {
    const int64_t rows = std::min(kWindow, task.first + task.rows - first);
    const HostRows window(schema, task.columns, first, rows,
                          [this](void* to, const void* source, size_t bytes) { copy(to, source, bytes); });
    std::vector<std::vector<std::byte>> results;
    std::vector<void*> destinations;
    for (int32_t output : task.outputs)
      destinations.push_back(
          results.emplace_back(row_bytes(model_->program(), output) * static_cast<size_t>(rows)).data());
    ask_host(window.batch(), task.outputs, destinations, 0);
    for (size_t i = 0; i < results.size(); ++i)
      copy(static_cast<std::byte*>(task.destinations[i]) +
               row_bytes(model_->program(), task.outputs[i]) * static_cast<size_t>(first),
           results[i].data(), results[i].size());
  }
}

// Every output for the golden rows, against the bytes in the file.
void DeviceModel::replay() const {
  const Program& program = model_->program();
  const GoldenRows& golden = program.golden;
  std::vector<int32_t> outputs;
  for (size_t i = 0; i < program.outputs.size(); ++i)
    if (cut_.rest.outputs[i].value >= 0) outputs.push_back(static_cast<int32_t>(i));
  if (golden.rows == 0 || outputs.empty()) return;
  const Route& route = route_for(outputs);
  const int64_t capacity = (golden.rows + 511) / 512 * 512;
  std::vector<std::vector<std::byte>> results;
  std::vector<void*> destinations;
  for (int32_t output : outputs)
    destinations.push_back(
        results.emplace_back(row_bytes(program, output) * static_cast<size_t>(golden.rows)).data());
  const LaneLoan loan(*this);
  reserve(*loan, route, capacity);
  const Task task{&route, outputs, destinations, 0, golden.rows, capacity, (*loan).own, {}};
  const GoldenSource source(program);
  feed(*loan, &source, nullptr, task);
  launch(*loan, task);
  require(!refused(*loan, task), ErrorCode::device, "golden rows: expected ", device_.name,
          " to take them but found one that it refuses");
  collect(*loan, task);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto output = static_cast<size_t>(outputs[i]);
    const Constant& expected = program.constants[static_cast<size_t>(golden.expected[output])];
    require(same_numbers(expected.type(), expected.bytes().data(), results[i].data(), expected.size()),
            ErrorCode::device, "golden rows: output ", quoted(program.outputs[output].method),
            " differs from the bytes stored in the file; ", device_.name, " (", device_.hardware,
            ") does not reproduce the model");
  }
}

std::vector<std::pair<std::string, std::string>> DeviceModel::forms() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (size_t i = 0; i < steps_.size(); ++i)
    if (steps_[i] != nullptr)
      if (std::string how = device_.library->describe_step(steps_[i]); !how.empty())
        out.emplace_back(cut_.rest.nodes[i].path, std::move(how));
  return out;
}

void* DeviceModel::allocate(size_t bytes) const {
  void* out = nullptr;
  device_.check(device_.library->allocate(device_.device, bytes, &out));
  return out;
}
void DeviceModel::release(void* data) const noexcept { device_.library->release(device_.device, data); }
void DeviceModel::copy(void* to, const void* from, size_t bytes) const {
  device_.check(device_.library->copy(device_.device, to, from, bytes, nullptr));
  device_.check(device_.library->wait(device_.device, nullptr));
}

}  // namespace mlcore

#include "device/device_model.h"

#include <algorithm>
#include <optional>

#include "base/status.h"
#include "device/chunk.h"
#include "device/text_apart.h"

namespace mlcore {
namespace {

constexpr size_t kChunkBytes = size_t{512} << 20;  // of the device's memory that one lane takes
constexpr int64_t kMostRows = int64_t{1} << 20;    // of a chunk

// What a route asks for a node that a kernel computes.
class Launched final : public Step {
 public:
  void run(const StepArgs&) const override {
    fail(ErrorCode::program, "expected a step of a device to be launched but found a call");
  }
};

}  // namespace

DeviceModel::DeviceModel(std::shared_ptr<const Model> model, std::string_view device)
    : model_(std::move(model)),
      device_(open_device(device)),
      program_(text_apart(model_->lowered())),
      cut_(cut_for_device(program_)),
      lanes_(device_),
      results_(device_) {
  if (!cut_.feed.outputs.empty()) feed_ = std::make_unique<Model>(cut_.feed);
  const size_t count = cut_.rest.nodes.size();
  crossing_of_.assign(count, -1);
  int32_t id = 0;
  for (size_t i = 0; i < cut_.crossings.size(); ++i)
    if (cut_.crossings[i].type.dtype != DType::str)
      crossing_of_[static_cast<size_t>(id++)] = static_cast<int32_t>(i);
  make_column_feeds();
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

void DeviceModel::make_column_feeds() {
  std::vector<std::vector<int32_t>> alone(model_->program().schema.size());
  for (size_t i = 0; i < cut_.crossings.size(); ++i) {
    const std::vector<int32_t>& behind = cut_.crossings[i].behind;
    if (behind.size() == 1) alone[static_cast<size_t>(behind.front())].push_back(static_cast<int32_t>(i));
  }
  column_feeds_.resize(alone.size());
  for (size_t i = 0; i < alone.size(); ++i)
    if (!alone[i].empty())
      column_feeds_[i] =
          std::make_unique<ColumnFeed>(cut_, static_cast<int32_t>(i), std::move(alone[i]), device_);
}

DeviceModel::~DeviceModel() {
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

size_t DeviceModel::result_bytes(const Route& route, int64_t capacity) const {
  size_t bytes = 0;
  for (int32_t output : route.outputs)
    bytes += align_up(row_bytes(cut_.rest, output) * static_cast<size_t>(capacity));
  return bytes;
}

// Memory for chunks of the host's tables, as Places has it.
void DeviceModel::reserve(Lane& lane, const Route& route, int64_t capacity) const {
  const size_t results = result_bytes(route, capacity);
  lane.reserve(results + kLine + block_bytes(route, capacity),
               results + kLine + staging(route, capacity).bytes);
}

size_t DeviceModel::block_bytes(const Route& route, int64_t capacity) const {
  return align_up(route.bytes_per_row * static_cast<size_t>(capacity)) + scratch_bytes_;
}

int64_t DeviceModel::capacity_of(const Route& route, int64_t rows) const {
  size_t bytes = route.bytes_per_row + 1;
  for (int32_t output : route.outputs) bytes += row_bytes(cut_.rest, output);
  const auto most =
      std::clamp<int64_t>(static_cast<int64_t>(kChunkBytes / bytes) / 512 * 512, 512, kMostRows);
  return std::min(room_for(rows), most);
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
  const LanePool::Loan first_lane(lanes_);
  std::optional<LanePool::Loan> second_lane;
  if (batch.rows() > capacity) second_lane.emplace(lanes_);
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
    reserve(lane, route, std::max(capacity, kGraphRows));
    const int64_t rows = std::min(capacity, batch.rows() - first);
    Task task{&route, outputs, destinations, first, rows, room_for(rows), lane.own};
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

void DeviceModel::run_on_device(const DeviceTable& table, std::span<const int32_t> outputs,
                                std::span<void* const> destinations, device::Stream* stream) const {
  require(table.device == DeviceTable::kAnyDevice || table.device == device_.number, ErrorCode::input,
          "expected columns in the memory of ", device_.name, " but found some of cuda:", table.device);
  std::vector<int32_t> sorted(outputs.begin(), outputs.end());
  std::ranges::sort(sorted);
  for (int32_t output : outputs)
    require(cut_.rest.outputs[static_cast<size_t>(output)].value >= 0, ErrorCode::input, "output ",
            quoted(model_->program().outputs[static_cast<size_t>(output)].method),
            ": expected a table in the host's memory, because the device has no part in it, but found arrays "
            "of the device");
  const Route& route = route_for(sorted);
  TableInputs inputs(*model_, cut_, column_feeds_, table, route.columns);
  const int64_t rows = table.columns.rows();
  if (rows == 0) return;
  const LanePool::Loan loan(lanes_);
  try {
    for (const void* event : table.events)
      device_.check(device_.library->wait_for_event(device_.device, stream, event));
    run_chunks(*loan, inputs, rows, route, outputs, destinations, stream);
  } catch (...) {
    device_.library->wait(device_.device, stream);  // the lane goes to others
    throw;
  }
}

void DeviceModel::run_chunks(Lane& lane, TableInputs& inputs, int64_t rows, const Route& route,
                             std::span<const int32_t> outputs, std::span<void* const> destinations,
                             device::Stream* stream) const {
  const int64_t capacity = capacity_of(route, rows);
  const size_t blocks = kLine + block_bytes(route, std::max(capacity, kGraphRows));
  lane.reserve(blocks + inputs.bytes(), 2 * kLine + inputs.bytes());
  std::byte* const tables = lane.host + 2 * kLine;
  inputs.fill(tables, lane.memory + blocks,
              [&](void* to, const void* from, size_t bytes) { copy(to, from, bytes, stream); });
  if (inputs.bytes() > 0)
    device_.check(
        device_.library->copy(device_.device, lane.memory + blocks, tables, inputs.bytes(), stream));
  for (int64_t first = 0; first < rows; first += capacity) {
    const Task task{&route,   outputs, destinations, first, std::min(capacity, rows - first),
                    capacity, stream,  &inputs};
    launch(lane, task);
    if (const auto row = refused(lane, task)) recompute(task, *row);
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

void DeviceModel::copy(void* to, const void* from, size_t bytes, device::Stream* stream) const {
  device_.check(device_.library->copy(device_.device, to, from, bytes, stream));
  device_.check(device_.library->wait(device_.device, stream));
}

}  // namespace mlcore

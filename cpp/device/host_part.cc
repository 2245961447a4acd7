// The host's part of a chunk: what it computes before the device, and its answers where the device refuses a
// row.
#include <algorithm>
#include <cstring>

#include "device/chunk.h"
#include "runtime/decode.h"
#include "runtime/warm_workspace.h"

namespace mlcore {
namespace {

constexpr int64_t kWindow = 512;  // rows that are asked of the host at a time

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

}  // namespace

// What the host computes of the chunk, into the lane's memory.
void DeviceModel::feed(Lane& lane, const Source* golden, const Batch* batch, const Task& task) const {
  const Places at = places(lane, task);
  std::memcpy(at.sent, &Lane::kNoFault, sizeof(int64_t));
  if (!feed_) {  // the outputs are constants
    if (batch != nullptr) bind_columns(model_->program().schema, model_->used_columns(), *batch);
    return;
  }
  std::vector<int32_t> outputs;
  std::vector<void*> destinations;
  const Staging staged = staging(*task.route, task.capacity);
  for (size_t i = 0; i < cut_.crossings.size(); ++i) {
    outputs.push_back(static_cast<int32_t>(i));
    destinations.push_back(at.sent + staged.at[i]);
  }
  for (size_t i = 0; i < cut_.host_outputs.size(); ++i) {
    const auto found = std::ranges::find(task.outputs, cut_.host_outputs[i]);
    if (found == task.outputs.end()) continue;
    const ValueType type =
        program_.nodes[static_cast<size_t>(cut_.feed.outputs[cut_.crossings.size() + i].value)].type;
    outputs.push_back(static_cast<int32_t>(cut_.crossings.size() + i));
    destinations.push_back(
        static_cast<std::byte*>(task.destinations[static_cast<size_t>(found - task.outputs.begin())]) +
        size_of(type.dtype) * static_cast<size_t>(type.width * task.first));
  }
  const WarmWorkspace workspace;
  if (batch != nullptr) return feed_->run(*batch, outputs, destinations, *workspace);
  for (int64_t row = 0; row < task.rows; ++row) {
    std::vector<void*> of_row;
    for (size_t i = 0; i < outputs.size(); ++i) {
      of_row.push_back(static_cast<std::byte*>(destinations[i]) +
                       row_bytes(feed_->program(), outputs[i]) * static_cast<size_t>(row));
    }
    feed_->run_row(RowOf(*golden, row), outputs, of_row, *workspace);
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

// The rows of a chunk from the window of row `from` on, by the host.
void DeviceModel::recompute(const Task& task, int64_t from) const {
  for (int64_t first = from / kWindow * kWindow; first < task.first + task.rows; first += kWindow) {
    const int64_t rows = std::min(kWindow, task.first + task.rows - first);
    const HostRows window = task.inputs->rows(first, rows, [&](void* to, const void* source, size_t bytes) {
      copy(to, source, bytes, task.stream);
    });
    std::vector<std::vector<std::byte>> results;
    std::vector<void*> destinations;
    for (int32_t output : task.outputs)
      destinations.push_back(
          results.emplace_back(row_bytes(model_->program(), output) * static_cast<size_t>(rows)).data());
    ask_host(window.batch(), task.outputs, destinations, 0);
    for (size_t i = 0; i < results.size(); ++i)
      copy(static_cast<std::byte*>(task.destinations[i]) +
               row_bytes(model_->program(), task.outputs[i]) * static_cast<size_t>(first),
           results[i].data(), results[i].size(), task.stream);
  }
}

}  // namespace mlcore

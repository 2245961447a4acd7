// A chunk on the device: what goes into its stream, and the results that come back.
#include "device/chunk.h"

#include <algorithm>
#include <cstring>

namespace mlcore {
namespace {

constexpr size_t kMostGraphs = 64;  // of a lane

}  // namespace

DeviceModel::Places DeviceModel::places(const Lane& lane, const Task& task) const {
  Places out{};
  out.result_bytes = task.on_device() ? 0 : result_bytes(*task.route, task.capacity);
  out.results = lane.memory;
  out.fault = reinterpret_cast<int64_t*>(lane.memory + out.result_bytes);
  out.blocks = lane.memory + out.result_bytes + kLine;
  out.scratch = out.blocks + align_up(task.route->bytes_per_row * static_cast<size_t>(task.capacity));
  out.found = lane.host;
  out.sent = lane.host + out.result_bytes + kLine;
  return out;
}

// Puts everything for a chunk into the stream.
void DeviceModel::launch(Lane& lane, const Task& task) const {
  const device::Library& library = *device_.library;
  const Route& route = *task.route;
  const Places at = places(lane, task);
  std::byte* results = at.results;
  if (task.on_device()) read(task, at);
  else send(task, at);
  for (const Route::Visit& visit : route.visits) {
    std::byte* const out = visit.output.in(at.blocks, task.capacity, task.capacity);
    if (visit.step != nullptr) {
      device::LaunchArgs args;
      const auto input = [&](size_t k) -> const Route::Place& { return route.inputs[visit.first_input + k]; };
      if (steps_[visit.node] == nullptr) {  // concat
        std::byte* to = out;
        for (size_t k = 0; k < visit.inputs; ++k) {
          std::byte* const from = input(k).in(at.blocks, task.capacity, task.capacity);
          const size_t bytes = size_of(visit.dtype) * static_cast<size_t>(input(k).width * task.capacity);
          if (from != to) device_.check(library.copy(device_.device, to, from, bytes, task.stream));
          to += bytes;
        }
      } else {
        for (size_t k = 0; k < visit.inputs; ++k)
          args.inputs[k] = {input(k).in(at.blocks, task.capacity, task.capacity), input(k).width};
        args.output = {out, visit.output.width};
        args.rows = task.rows;
        args.stride = task.capacity;
        args.first_row = task.first;
        args.fault = at.fault;
        args.scratch = at.scratch;
        device_.check(library.launch(device_.device, steps_[visit.node], &args, task.stream));
      }
    }
    for (int32_t shown : std::span(route.shown).subspan(visit.first_shown, visit.shown)) {
      const size_t bytes = row_bytes(cut_.rest, shown);
      std::byte* to = results;
      if (task.on_device()) {
        const auto place = static_cast<size_t>(std::ranges::find(task.outputs, shown) - task.outputs.begin());
        to = static_cast<std::byte*>(task.destinations[place]) + bytes * static_cast<size_t>(task.first);
      } else {  // in the order of the visits, which is that of `collect`
        results += align_up(bytes * static_cast<size_t>(task.capacity));
      }
      device_.check(library.scatter(device_.device, to, out, visit.dtype, task.capacity, task.rows,
                                    visit.output.width, task.stream));
    }
  }
  device_.check(
      library.copy(device_.device, at.found, at.results, at.result_bytes + sizeof(int64_t), task.stream));
}

// `launch`, or the graph of an earlier one.
void DeviceModel::start(Lane& lane, const Task& task) const {
  const device::Library& library = *device_.library;
  if (task.rows > kGraphRows || task.on_device() || task.first > 0) return launch(lane, task);
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

// Waits for the chunk; the lowest row that a step refuses, if there is one.
std::optional<int64_t> DeviceModel::refused(const Lane& lane, const Task& task) const {
  device_.check(device_.library->wait(device_.device, task.stream));
  const Places at = places(lane, task);
  int64_t row = 0;
  std::memcpy(&row, at.found + at.result_bytes, sizeof row);
  return row != Lane::kNoFault ? std::optional(row) : std::nullopt;
}

// The chunk's results to where the caller wants them.
void DeviceModel::collect(const Lane& lane, const Task& task) const {
  const std::byte* found = places(lane, task).found;
  for (const Route::Visit& visit : task.route->visits) {
    for (int32_t shown : std::span(task.route->shown).subspan(visit.first_shown, visit.shown)) {
      const size_t bytes = row_bytes(cut_.rest, shown);
      const auto at = static_cast<size_t>(std::ranges::find(task.outputs, shown) - task.outputs.begin());
      std::memcpy(static_cast<std::byte*>(task.destinations[at]) + bytes * static_cast<size_t>(task.first),
                  found, bytes * static_cast<size_t>(task.rows));
      found += align_up(bytes * static_cast<size_t>(task.capacity));
    }
  }
}

}  // namespace mlcore

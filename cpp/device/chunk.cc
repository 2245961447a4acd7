// A chunk on the device: what goes into its stream, and the results that come back.
#include "device/chunk.h"

#include <algorithm>
#include <cstring>

namespace mlcore {
namespace {

constexpr size_t kMostGraphs = 64;  // of a lane

Kind kind_of(DType type) {
  return type == DType::f64   ? Kind::float64
         : type == DType::f32 ? Kind::float32
         : type == DType::i64 ? Kind::int64
                              : Kind::int32;
}

}  // namespace

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
    const auto [dtype, width] = crossing.type;
    device::Strided from;
    if (task.on_device()) {
      const TableInput& input = task.inputs->of(index);
      if (input.entries) {
        device::Entries entries = input.entries_from(task.first);
        entries.first_row = task.first;
        entries.fault = lane.fault;
        device_.check(library.translate(device_.device, to, dtype, task.capacity, &entries, task.rows, width,
                                        task.stream));
        return;
      }
      from = input.numbers_from(task.first);
    } else {
      from.data = staged_at[static_cast<size_t>(index)];
      from.kind = kind_of(dtype);
      from.row_stride = width;
      if (width == 1) {
        device_.check(library.copy(device_.device, to, from.data,
                                   size_of(dtype) * static_cast<size_t>(task.rows), task.stream));
        return;
      }
    }
    from.first_row = task.first;
    from.fault = lane.fault;
    device_.check(
        library.gather(device_.device, to, dtype, task.capacity, &from, task.rows, width, task.stream));
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

}  // namespace mlcore

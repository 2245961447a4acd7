// How values come into the blocks of a chunk: few copies or launches, however many columns there are.
#include <algorithm>
#include <cstring>
#include <utility>

#include "device/chunk.h"

namespace mlcore {
namespace {

// Bytes that a copy brings in the time that another one takes to begin.
constexpr size_t kCopyGap = size_t{64} << 10;

Kind kind_of(DType type) {
  return type == DType::f64   ? Kind::float64
         : type == DType::f32 ? Kind::float32
         : type == DType::i64 ? Kind::int64
                              : Kind::int32;
}

// f(crossing, its first byte in the blocks) for all that the route reads.
template <class F>
void each_crossing(const Route& route, int64_t capacity, const F& f) {
  for (const Route::Visit& visit : route.visits) {
    size_t at = (visit.output.region_bytes + visit.output.column_bytes) * static_cast<size_t>(capacity);
    for (uint32_t k = 0; k < visit.columns; ++k) {
      f(route.columns[visit.first_column + k], at);
      at += size_of(visit.dtype) * static_cast<size_t>(capacity);
    }
  }
}

}  // namespace

size_t DeviceModel::staged_bytes(const Crossing& crossing, int64_t capacity) const {
  return size_of(crossing.type.dtype) * static_cast<size_t>(crossing.type.width * capacity);
}

// A column is staged where it lies among the blocks: all that a route reads are alive until its first step,
// so that no two share memory. Rows of several numbers, text and what the route does not read come behind.
DeviceModel::Staging DeviceModel::staging(const Route& route, int64_t capacity) const {
  constexpr size_t kNowhere = 0;
  Staging out{std::vector<size_t>(cut_.crossings.size(), kNowhere), kLine};
  each_crossing(route, capacity, [&](int32_t index, size_t at) {
    const Crossing& crossing = cut_.crossings[static_cast<size_t>(index)];
    if (crossing.type.width != 1) return;
    out.at[static_cast<size_t>(index)] = kLine + at;
    out.bytes = std::max(out.bytes, kLine + at + staged_bytes(crossing, capacity));
  });
  out.bytes = align_up(out.bytes);
  for (size_t i = 0; i < out.at.size(); ++i) {
    if (out.at[i] != kNowhere) continue;
    out.at[i] = out.bytes;
    out.bytes += align_up(staged_bytes(cut_.crossings[i], capacity));
  }
  return out;
}

// What `feed` has staged, and the word for faults before them.
void DeviceModel::send(const Task& task, const Places& places) const {
  const device::Library& library = *device_.library;
  const Staging staged = staging(*task.route, task.capacity);
  std::vector<std::pair<size_t, size_t>> spans{{0, sizeof(int64_t)}};
  std::vector<device::Gathered> in_rows;
  each_crossing(*task.route, task.capacity, [&](int32_t index, size_t at) {
    const Crossing& crossing = cut_.crossings[static_cast<size_t>(index)];
    const auto [dtype, width] = crossing.type;
    if (width == 1) {
      spans.emplace_back(kLine + at, kLine + at + staged_bytes(crossing, task.capacity));
      return;
    }
    device::Gathered columns;
    columns.from.data = places.sent + staged.at[static_cast<size_t>(index)];
    columns.from.kind = kind_of(dtype);
    columns.from.row_stride = width;
    columns.to = places.blocks + at;
    columns.type = dtype;
    columns.width = width;
    in_rows.push_back(columns);
  });
  std::ranges::sort(spans);
  for (size_t i = 0; i < spans.size();) {
    auto [begin, end] = spans[i++];
    while (i < spans.size() && spans[i].first <= end + kCopyGap) end = spans[i++].second;
    device_.check(library.copy(device_.device, reinterpret_cast<std::byte*>(places.fault) + begin,
                               places.sent + begin, end - begin, task.stream));
  }
  gather(in_rows, task, places);
}

// The same from columns in the device's memory.
void DeviceModel::read(const Task& task, const Places& places) const {
  const device::Library& library = *device_.library;
  std::memcpy(places.sent, &Lane::kNoFault, sizeof(int64_t));
  device_.check(library.copy(device_.device, places.fault, places.sent, sizeof(int64_t), task.stream));
  std::vector<device::Gathered> numbers;
  each_crossing(*task.route, task.capacity, [&](int32_t index, size_t at) {
    const auto [dtype, width] = cut_.crossings[static_cast<size_t>(index)].type;
    const TableInput& input = task.inputs->of(index);
    if (!input.entries) {
      numbers.push_back({input.numbers_from(task.first), places.blocks + at, dtype, width});
      return;
    }
    device::Entries entries = input.entries_from(task.first);
    entries.first_row = task.first;
    entries.fault = places.fault;
    device_.check(library.translate(device_.device, places.blocks + at, dtype, task.capacity, &entries,
                                    task.rows, width, task.stream));
  });
  gather(numbers, task, places);
}

void DeviceModel::gather(std::span<const device::Gathered> columns, const Task& task,
                         const Places& places) const {
  if (columns.empty()) return;
  const device::GatherRows rows{task.rows, task.capacity, task.first, places.fault};
  device_.check(device_.library->gather(device_.device, columns.data(), static_cast<int64_t>(columns.size()),
                                        &rows, task.stream));
}

}  // namespace mlcore

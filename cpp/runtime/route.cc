#include "runtime/route.h"

#include <algorithm>
#include <map>

#include "runtime/arena.h"

namespace mlcore {
namespace {

// Bytes of a chunk's blocks, which should stay in the first-level cache; in the second, where a step wants
// many rows.
constexpr size_t kArenaTarget = size_t{24} << 10;
constexpr size_t kLargeArenaTarget = size_t{1536} << 10;
constexpr int64_t kMinChunkRows = 64;  // a chunk costs a call per node

size_t align_up(size_t value, size_t to) { return (value + to - 1) / to * to; }

// Columns of memory that one or more values share: a `check` shares its input's, and a value that only a
// `concat` reads is written straight into that concat's region.
struct Region {
  size_t bytes_per_row;
  int32_t first;  // nodes between which the region is alive
  int32_t last;
  int32_t parent = -1;  // region it sits in
  int64_t column_offset = 0;
};

// First-fit allocation of regions whose lifetimes overlap.
size_t allocate(std::vector<Region>& regions, std::vector<size_t>& offsets) {
  std::vector<int32_t> order;
  for (size_t i = 0; i < regions.size(); ++i)
    if (regions[i].parent < 0) order.push_back(static_cast<int32_t>(i));
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return regions[static_cast<size_t>(a)].first < regions[static_cast<size_t>(b)].first;
  });
  std::vector<int32_t> alive;  // by offset
  size_t total = 0;
  for (int32_t id : order) {
    const Region& region = regions[static_cast<size_t>(id)];
    std::erase_if(alive,
                  [&](int32_t other) { return regions[static_cast<size_t>(other)].last < region.first; });
    size_t at = 0;
    size_t position = 0;
    for (; position < alive.size(); ++position) {
      const auto other = static_cast<size_t>(alive[position]);
      if (at + region.bytes_per_row <= offsets[other]) break;
      at = offsets[other] + regions[other].bytes_per_row;
    }
    offsets[static_cast<size_t>(id)] = at;
    alive.insert(alive.begin() + static_cast<ptrdiff_t>(position), id);
    total = std::max(total, at + region.bytes_per_row);
  }
  return total;
}

struct Layout {
  std::vector<Route::Place> places;  // per node
  std::vector<bool> in_place;        // per node: a concat whose inputs are written where it wants them
  size_t bytes_per_row = 0;
};

Layout lay_out(const Program& program, const std::vector<bool>& needed) {
  const auto& nodes = program.nodes;
  Layout layout{std::vector<Route::Place>(nodes.size()), std::vector<bool>(nodes.size()), 0};
  std::vector<Region> regions;
  std::vector<int32_t> region_of(nodes.size());
  std::vector<std::vector<int32_t>> readers(
      nodes.size());  // per region: nodes that read it, in_place ones apart
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!needed[i]) continue;
    const Node& node = nodes[i];
    const auto id = static_cast<int32_t>(i);
    const bool in_place = op_named(node.op, node.path).in_place;
    for (int32_t input : node.inputs) {
      const auto region = static_cast<size_t>(region_of[static_cast<size_t>(input)]);
      regions[region].last = id;
      if (!in_place) readers[region].push_back(id);
    }
    if (in_place) {
      region_of[i] = region_of[static_cast<size_t>(node.inputs[0])];
      continue;
    }
    region_of[i] = static_cast<int32_t>(regions.size());
    const size_t bytes = size_of(node.type.dtype) * static_cast<size_t>(node.type.width);
    regions.push_back({align_up(bytes, 8), id, id, -1, 0});
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!needed[i] || nodes[i].op != "concat") continue;
    const auto target = static_cast<size_t>(region_of[i]);
    int64_t column = 0;
    bool all_inside = true;
    for (int32_t input : nodes[i].inputs) {
      const auto id = static_cast<size_t>(region_of[static_cast<size_t>(input)]);
      if (readers[id].size() == 1 && regions[id].parent < 0) {
        regions[id].parent = static_cast<int32_t>(target);
        regions[id].column_offset = column;
        regions[target].first = std::min(regions[target].first, regions[id].first);
      } else {
        all_inside = false;
      }
      column += nodes[static_cast<size_t>(input)].type.width;
    }
    layout.in_place[i] = all_inside;
  }
  // a region inside a concat keeps every region around it alive from its own start to its own end, which a
  // check or guard that comes after the concat may set
  for (const auto& region : regions) {
    for (int32_t outer = region.parent; outer >= 0; outer = regions[static_cast<size_t>(outer)].parent) {
      auto& around = regions[static_cast<size_t>(outer)];
      around.first = std::min(around.first, region.first);
      around.last = std::max(around.last, region.last);
    }
  }

  std::vector<size_t> offsets(regions.size());
  layout.bytes_per_row = allocate(regions, offsets);
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!needed[i]) continue;
    auto id = static_cast<size_t>(region_of[i]);
    int64_t column = 0;
    while (regions[id].parent >= 0) {
      column += regions[id].column_offset;
      id = static_cast<size_t>(regions[id].parent);
    }
    const ValueType type = nodes[i].type;
    layout.places[i] = {offsets[id], size_of(type.dtype) * static_cast<size_t>(column), type.width};
  }
  return layout;
}

}  // namespace

Route::Route(const Program& program, std::span<const std::unique_ptr<Step>> steps,
             std::span<const int32_t> column_of, std::span<const int32_t> outputs_)
    : outputs(outputs_.begin(), outputs_.end()) {
  const auto& nodes = program.nodes;
  std::vector<int32_t> values;
  std::multimap<int32_t, int32_t> outputs_of;  // by the node that they show
  for (int32_t output : outputs) {
    values.push_back(program.outputs[static_cast<size_t>(output)].value);
    outputs_of.emplace(values.back(), output);
  }
  const std::vector<bool> needed = program.ancestors(values);
  const Layout layout = lay_out(program, needed);
  bytes_per_row = layout.bytes_per_row;
  int64_t good_rows = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!needed[i]) continue;
    const Node& node = nodes[i];
    Visit visit{};
    visit.node = i;
    visit.step = layout.in_place[i] ? nullptr : steps[i].get();
    visit.output = layout.places[i];
    visit.dtype = node.type.dtype;
    visit.first_input = static_cast<uint32_t>(inputs.size());
    visit.first_column = static_cast<uint32_t>(columns.size());
    visit.first_shown = static_cast<uint32_t>(shown.size());
    const auto [from, to] = outputs_of.equal_range(static_cast<int32_t>(i));
    for (auto at = from; at != to; ++at) shown.push_back(at->second);
    visit.shown = static_cast<uint32_t>(shown.size()) - visit.first_shown;
    if (column_of[i] >= 0) {
      columns.push_back(column_of[i]);
      visit.columns = 1;
      if (!visits.empty() && visits.back().columns > 0 && visits.back().shown == 0 && visit.shown == 0) {
        Visit& last = visits.back();
        const bool beside =
            last.dtype == visit.dtype && last.output.region_bytes == visit.output.region_bytes &&
            last.output.column_bytes + size_of(last.dtype) * last.columns == visit.output.column_bytes;
        if (beside) {
          ++last.columns;
          continue;
        }
      }
    }
    if (visit.step) {
      good_rows = std::max(good_rows, visit.step->good_rows());
      for (int32_t input : node.inputs) inputs.push_back(layout.places[static_cast<size_t>(input)]);
      visit.inputs = static_cast<uint32_t>(node.inputs.size());
      most_inputs = std::max(most_inputs, node.inputs.size());
    }
    if (visit.step || visit.columns > 0 || visit.shown > 0) visits.push_back(visit);
  }
  const auto fitting = [&](size_t bytes) {
    return static_cast<int64_t>(bytes / std::max<size_t>(bytes_per_row, 1));
  };
  const int64_t most = std::max(good_rows, kMaxChunkRows);
  const int64_t rows =
      good_rows > 0 ? fitting(kLargeArenaTarget * static_cast<size_t>(most / kMaxChunkRows))
                    : std::min(std::max(fitting(kArenaTarget), kMinChunkRows), fitting(kLargeArenaTarget));
  chunk_rows = std::clamp<int64_t>(rows, 1, most);
  row_scratch_ = scratch_bytes(1);
  chunk_scratch_ = scratch_bytes(chunk_rows);
}

size_t Route::scratch_bytes(int64_t capacity) const {
  size_t bytes = 0;
  for (const Visit& visit : visits)
    if (visit.step) bytes = std::max(bytes, visit.step->scratch_bytes(capacity));
  return bytes;
}

size_t Route::input_views(int64_t capacity) const {
  return align_up(bytes_per_row * static_cast<size_t>(capacity), Arena::kAlign);
}

size_t Route::scratch(int64_t capacity) const {
  return input_views(capacity) + align_up(most_inputs * sizeof(BlockView), Arena::kAlign);
}

size_t Route::bytes(int64_t capacity) const {
  return scratch(capacity) + (capacity == 1            ? row_scratch_
                              : capacity == chunk_rows ? chunk_scratch_
                                                       : scratch_bytes(capacity));
}

}  // namespace mlcore

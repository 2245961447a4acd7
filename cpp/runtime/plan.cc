#include "runtime/plan.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/fp_environment.h"
#include "runtime/translation.h"

namespace mlcore {
namespace {

// Bytes of a chunk's blocks, which should stay in the first-level cache; in the second, where a step wants
// many rows.
constexpr size_t kArenaTarget = size_t{24} << 10;
constexpr size_t kLargeArenaTarget = size_t{1536} << 10;
constexpr int64_t kMinChunkRows = 64;  // a chunk costs a call per node
constexpr int64_t kMaxChunkRows = 512;
constexpr size_t kAlign = 64;

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

template <class T>
void transpose(const BlockView& block, T* destination) {
  constexpr int64_t kTile = 16;
  for (int64_t column = 0; column < block.width; column += kTile) {
    const int64_t end = std::min(column + kTile, block.width);
    for (int64_t row = 0; row < block.rows; ++row)
      for (int64_t c = column; c < end; ++c) destination[row * block.width + c] = block.column<T>(c)[row];
  }
}

}  // namespace

void Source::read_columns(std::span<const int32_t> columns, int64_t first, int64_t n, DType dtype,
                          std::byte* out) const {
  for (int32_t column : columns) {
    read(column, first, n, dtype, out);
    out += size_of(dtype) * static_cast<size_t>(n);
  }
}

std::byte* Workspace::reserve(size_t bytes) {
  if (arena_.size() < bytes + kAlign) arena_.resize(bytes + kAlign);
  const auto address = reinterpret_cast<uintptr_t>(arena_.data());
  return arena_.data() + (align_up(address, kAlign) - address);
}

Plan::Plan(const Program& program) : program_(program), used_columns_(program.schema.size()) {
  const size_t count = program.nodes.size();
  steps_.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const Node& node = program.nodes[i];
    const NodeReader reader(program, node);
    steps_[i] = op_named(node.op, node.path).lower(reader);
    column_of_.push_back(node.op == "column" ? static_cast<int32_t>(reader.integer("column")) : -1);
    if (column_of_.back() >= 0) used_columns_[static_cast<size_t>(column_of_.back())] = true;
    max_inputs_ = std::max(max_inputs_, node.inputs.size());
  }
  outputs_of_.resize(count);
  std::vector<uint8_t> wanted(count);
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    const auto value = static_cast<size_t>(program.outputs[i].value);
    outputs_of_[value].push_back(static_cast<int32_t>(i));
    std::fill(wanted.begin(), wanted.end(), uint8_t{0});
    wanted[value] = 1;
    for (size_t node = value + 1; node-- > 0;)
      if (wanted[node])
        for (int32_t input : program.nodes[node].inputs) wanted[static_cast<size_t>(input)] = 1;
    auto& needed = needed_.emplace_back();
    for (size_t node = 0; node <= value; ++node)
      if (wanted[node]) needed.push_back(static_cast<int32_t>(node));
  }
  encoded_columns_ = mlcore::encoded_columns(program, steps_);
  lay_out();
}

void Plan::lay_out() {
  const auto& nodes = program_.nodes;
  std::vector<Region> regions;
  std::vector<int32_t> region_of(nodes.size());
  std::vector<std::vector<int32_t>> readers(
      nodes.size());  // per region: nodes that read it, in_place ones apart
  for (size_t i = 0; i < nodes.size(); ++i) {
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
    if (nodes[i].op != "concat") continue;
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
    if (all_inside) steps_[i] = nullptr;
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
  bytes_per_row_ = allocate(regions, offsets);
  places_.resize(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    auto id = static_cast<size_t>(region_of[i]);
    int64_t column = 0;
    while (regions[id].parent >= 0) {
      column += regions[id].column_offset;
      id = static_cast<size_t>(regions[id].parent);
    }
    places_[i] = {offsets[id], column};
  }
  reads_beside_.resize(nodes.size());
  for (size_t i = 1; i < nodes.size(); ++i)
    reads_beside_[i] = column_of_[i] >= 0 && column_of_[i - 1] >= 0 &&
                       nodes[i].type.dtype == nodes[i - 1].type.dtype &&
                       places_[i].region_offset == places_[i - 1].region_offset &&
                       places_[i].column_offset == places_[i - 1].column_offset + 1;
  const auto fitting = [&](size_t bytes) {
    return static_cast<int64_t>(bytes / std::max<size_t>(bytes_per_row_, 1));
  };
  const bool many =
      std::ranges::any_of(steps_, [](const auto& step) { return step && step->wants_many_rows(); });
  const int64_t rows =
      many ? fitting(kLargeArenaTarget)
           : std::min(std::max(fitting(kArenaTarget), kMinChunkRows), fitting(kLargeArenaTarget));
  chunk_rows_ = std::clamp<int64_t>(rows, 1, kMaxChunkRows);
}

void Plan::copy_out(const BlockView& block, DType dtype, int64_t first, void* destination) const {
  const size_t row_bytes = size_of(dtype) * static_cast<size_t>(block.width);
  auto* target = static_cast<std::byte*>(destination) + static_cast<size_t>(first) * row_bytes;
  if (block.width == 1 || block.rows == 1) {
    std::memcpy(target, block.data, row_bytes * static_cast<size_t>(block.rows));
    return;
  }
  switch (size_of(dtype)) {
    case 8: return transpose(block, reinterpret_cast<uint64_t*>(target));
    case 4: return transpose(block, reinterpret_cast<uint32_t*>(target));
    case 16: return transpose(block, reinterpret_cast<StringRef*>(target));
    default: return transpose(block, reinterpret_cast<uint8_t*>(target));
  }
}

// Columns that lie side by side are read together, by the first of them.
void Plan::plan_visits(const Source& source, Workspace& workspace) const {
  const auto& wanted = workspace.wanted_;
  workspace.visits_.clear();
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) continue;
    size_t columns = 0;
    if (column_of_[i] >= 0 && !(reads_beside_[i] && wanted[i - 1]))
      for (columns = 1; i + columns < wanted.size() && reads_beside_[i + columns] && wanted[i + columns];)
        ++columns;
    if (columns > 0 || steps_[i] || !outputs_of_[i].empty())
      workspace.visits_.push_back({i, columns, nullptr});
  }
  if (encoded_columns_.empty()) return;
  for (auto& visit : workspace.visits_) visit.translation = source.translation(visit.node);
}

void Plan::run(const Source& source, int64_t rows, std::span<const int32_t> outputs,
               std::span<void* const> destinations, Workspace& workspace) const {
  const FpEnvironment environment;
  const auto& nodes = program_.nodes;
  workspace.wanted_.assign(nodes.size(), 0);
  workspace.destinations_.assign(program_.outputs.size(), nullptr);
  for (size_t i = 0; i < outputs.size(); ++i) {
    workspace.destinations_[static_cast<size_t>(outputs[i])] = destinations[i];
    for (int32_t node : needed_[static_cast<size_t>(outputs[i])])
      workspace.wanted_[static_cast<size_t>(node)] = 1;
  }

  plan_visits(source, workspace);
  const int64_t capacity = std::min(chunk_rows_, rows);
  const size_t values = align_up(bytes_per_row_ * static_cast<size_t>(capacity), kAlign);
  size_t scratch = 0;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (workspace.wanted_[i] && steps_[i]) scratch = std::max(scratch, steps_[i]->scratch_bytes(capacity));
  const size_t input_views = align_up(max_inputs_ * sizeof(BlockView), kAlign);
  std::byte* arena = workspace.reserve(values + input_views + scratch);
  auto* inputs = reinterpret_cast<BlockView*>(arena + values);
  std::byte* scratch_memory = arena + values + input_views;

  for (int64_t first = 0; first < rows; first += capacity) {
    const int64_t n = std::min(capacity, rows - first);
    const auto address = [&](size_t node) {
      const Place& place = places_[node];
      return arena + place.region_offset * static_cast<size_t>(capacity) +
             size_of(nodes[node].type.dtype) * static_cast<size_t>(place.column_offset * n);
    };
    for (const auto [i, columns, translation] : workspace.visits_) {
      const Node& node = nodes[i];
      const MutableBlock output{address(i), n, node.type.width};
      if (columns > 0 && translation) {
        read_positions(*translation, first, n, static_cast<int32_t*>(output.data));
      } else if (columns > 0) {
        source.read_columns({&column_of_[i], columns}, first, n, node.type.dtype, address(i));
      } else if (steps_[i]) {
        for (size_t k = 0; k < node.inputs.size(); ++k) {
          const auto input = static_cast<size_t>(node.inputs[k]);
          inputs[k] = {address(input), n, nodes[input].type.width};
        }
        const StepArgs args{{inputs, node.inputs.size()}, output, scratch_memory, first};
        if (translation) run_translated(*steps_[i], *translation, args);
        else steps_[i]->run(args);
      }
      for (int32_t index : outputs_of_[i])
        if (void* destination = workspace.destinations_[static_cast<size_t>(index)])
          copy_out({output.data, n, output.width}, node.type.dtype, first, destination);
    }
  }
}

}  // namespace mlcore

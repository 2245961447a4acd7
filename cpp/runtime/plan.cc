#include "runtime/plan.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <string_view>

#include "runtime/fp_environment.h"
#include "runtime/thread_pool.h"
#include "runtime/translation.h"

namespace mlcore {
namespace {

// Methods whose routes are kept; a file may name any number of them.
constexpr size_t kMaxRoutes = 16;

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

Plan::Plan(const Program& program) : program_(program), used_columns_(program.schema.size()) {
  const size_t count = program.nodes.size();
  std::vector<int32_t> shown;
  for (const OutputSpec& output : program.outputs) shown.push_back(output.value);
  const std::vector<bool> needed = program.ancestors(shown);
  steps_.resize(count);
  column_of_.assign(count, -1);
  for (size_t i = 0; i < count; ++i) {
    const Node& node = program.nodes[i];
    const NodeReader reader(program, node);
    if (node.op == "column") column_of_[i] = static_cast<int32_t>(reader.integer("column"));
    if (column_of_[i] >= 0) used_columns_[static_cast<size_t>(column_of_[i])] = true;
    if (needed[i]) steps_[i] = op_named(node.op, node.path).lower(reader);
  }
  encoded_columns_ = mlcore::encoded_columns(program, steps_);
  std::map<std::string_view, std::vector<int32_t>> methods;
  std::vector<int32_t> all, both;  // both: what a server answers of a classifier
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    const std::string& method = program.outputs[i].method;
    methods[method].push_back(static_cast<int32_t>(i));
    all.push_back(static_cast<int32_t>(i));
    if (method == "predict" || method == "predict_proba") both.push_back(static_cast<int32_t>(i));
  }
  const auto add_route = [&](const std::vector<int32_t>& outputs) {
    for (const auto& route : routes_)
      if (route->outputs == outputs) return;
    routes_.push_back(std::make_unique<Route>(program, steps_, column_of_, outputs));
  };
  for (const auto& [method, outputs] : methods)
    if (routes_.size() < kMaxRoutes) add_route(outputs);
  if (!both.empty()) add_route(both);
  add_route(all);
}

int64_t Plan::chunk_rows() const {
  int64_t rows = routes_.front()->chunk_rows;
  for (const auto& route : routes_) rows = std::min(rows, route->chunk_rows);
  return rows;
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

// Rows [first, first + rows), whose blocks lie in `arena`, laid out for `capacity` rows.
void Plan::run_chunk(const Route& route, const Source& source, int64_t first, int64_t rows, int64_t capacity,
                     std::span<void* const> destinations, std::byte* arena) const {
  auto* const inputs = reinterpret_cast<BlockView*>(arena + route.input_views(capacity));
  std::byte* const scratch = arena + route.scratch(capacity);
  const bool translates = rows > 1 && !encoded_columns_.empty();
  for (const Route::Visit& visit : route.visits) {
    const Translation* translation = translates ? source.translation(visit.node) : nullptr;
    const MutableBlock output{visit.output.in(arena, capacity, rows), rows, visit.output.width};
    if (visit.columns > 0 && translation) {
      read_positions(*translation, first, rows, static_cast<int32_t*>(output.data));
    } else if (visit.columns > 0) {
      source.read_columns(std::span(route.columns).subspan(visit.first_column, visit.columns), first, rows,
                          visit.dtype, static_cast<std::byte*>(output.data));
    } else if (visit.step) {
      for (size_t k = 0; k < visit.inputs; ++k) {
        const Route::Place& input = route.inputs[visit.first_input + k];
        inputs[k] = {input.in(arena, capacity, rows), rows, input.width};
      }
      const StepArgs args{{inputs, visit.inputs}, output, scratch, source.first_row() + first};
      if (translation) run_translated(*visit.step, *translation, args);
      else visit.step->run(args);
    }
    for (int32_t index : std::span(route.shown).subspan(visit.first_shown, visit.shown))
      if (void* destination = destinations[static_cast<size_t>(index)])
        copy_out({output.data, rows, output.width}, visit.dtype, first, destination);
  }
}

void Plan::run(const Source& source, int64_t rows, std::span<const int32_t> outputs,
               std::span<void* const> destinations, Workspace& workspace, Threading threading) const {
  if (rows == 0 || outputs.empty()) return;
  const auto known = std::ranges::find_if(
      routes_, [&](const auto& one) { return std::ranges::equal(one->outputs, outputs); });
  std::unique_ptr<Route> other;  // for outputs that no method has together
  if (known == routes_.end()) other = std::make_unique<Route>(program_, steps_, column_of_, outputs);
  const Route& route = other ? *other : **known;

  const FpEnvironment environment;
  workspace.destinations_.assign(program_.outputs.size(), nullptr);
  for (size_t i = 0; i < outputs.size(); ++i)
    workspace.destinations_[static_cast<size_t>(outputs[i])] = destinations[i];
  // long chunks leave some for other threads; how many threads there are must not change which row is refused
  const int64_t quarter = (rows + 3) / 4;
  const int64_t capacity = std::min({route.chunk_rows, rows, std::max(quarter, Route::kMaxChunkRows)});
  const size_t bytes = route.bytes(capacity);
  const auto chunk = [&](int64_t index, Arena& arena) {
    const int64_t first = index * capacity;
    run_chunk(route, source, first, std::min(capacity, rows - first), capacity, workspace.destinations_,
              arena.reserve(bytes));
  };
  const int64_t chunks = (rows + capacity - 1) / capacity;
  if (chunks == 1 || threading.most == 1) {
    for (int64_t index = 0; index < chunks; ++index) chunk(index, workspace.arena_);
    return;
  }
  // how long a row takes is measured on the first chunk of every run; the first run waits for it
  auto& row_time = route.row_time;
  const auto timed_chunk = [&](int64_t index, Arena& arena) {
    if (index > 0) return chunk(index, arena);
    const auto start = std::chrono::steady_clock::now();
    chunk(index, arena);
    const std::chrono::duration<float, std::nano> taken = std::chrono::steady_clock::now() - start;
    row_time.store(taken.count() / static_cast<float>(capacity), std::memory_order_relaxed);
  };
  int64_t done = 0;
  if (threading.work > 0 && row_time.load(std::memory_order_relaxed) == 0)
    timed_chunk(done++, workspace.arena_);
  const double work = row_time.load(std::memory_order_relaxed) * static_cast<double>(rows - done * capacity);
  const int threads = work < threading.work * threading.most
                          ? std::max(static_cast<int>(work / threading.work), 1)
                          : threading.most;
  run_tasks(chunks - done, threads, workspace.arena_,
            [&](int64_t index, Arena& arena) { timed_chunk(done + index, arena); });
}

}  // namespace mlcore

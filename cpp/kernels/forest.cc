#include "kernels/forest.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "base/release.h"
#include "kernels/forest_leaves.h"
#include "kernels/forest_row.h"
#include "kernels/forest_walk.h"
#include "kernels/sliced_layout.h"

namespace mlcore {
namespace forest {
namespace {

// Keys of a tile of rows share the first-level cache with a small tree. A large tree does not fit there
// anyway; then it pays to take more rows through it while it is in the second-level cache (up to 20 % faster
// at 20,000 nodes).
constexpr size_t kSmallTileBytes = size_t{24} << 10;
constexpr size_t kLargeTileBytes = size_t{256} << 10;
constexpr size_t kSmallTree = size_t{8} << 10;  // bytes of nodes
constexpr int64_t kMaxTile = 512;
// A tree of more bytes than this is read from memory for every tile of rows, so tiles are long.
constexpr size_t kHugeTree = size_t{48} << 10;
constexpr size_t kHugeTileBytes = size_t{1} << 20;
constexpr int64_t kMaxHugeTile = 8192;
constexpr int64_t kFewRows = 4;           // up to here each row walks alone, several trees at a time
constexpr size_t kMinTable = 16;          // entries of a leaf table, which is read a register at a time
constexpr float kDeepestBelowTop = 1.5f;  // mean depth of large trees over the depth of their tops, measured

int64_t round_up(int64_t rows) { return (rows + kLanes - 1) / kLanes * kLanes; }

template <class N, class Leaf>
class Evaluator final : public Forest {
  using Key = typename N::Key;
  using Float = FloatOf<Key>;

 public:
  Evaluator(const ForestSpec& spec, std::vector<Column> columns, Isa isa)
      : layout_(build_layout<N>(spec, std::move(columns))),
        rule_(spec.rule),
        leaves_(spec, layout_),
        row_(layout_, leaves_, isa),
        kernels_(&sliced::kernels(isa)) {
    const size_t width = std::max<size_t>(layout_.columns.size(), 1);
    const bool small = layout_.nodes.size() * sizeof(N) <= kSmallTree * layout_.trees.size();
    const auto fitting =
        static_cast<int64_t>((small ? kSmallTileBytes : kLargeTileBytes) / (width * sizeof(Key)));
    tile_ = std::clamp(fitting / kLanes * kLanes, kLanes, kMaxTile);
    release(layout_.source);
    slice();
    if (sliced_.empty() && layout_.nodes.size() * sizeof(N) > kHugeTree * layout_.trees.size()) {
      shared_ = shared_columns();
      const size_t used = shared_ > 0 ? shared_ : width;
      const auto rows = static_cast<int64_t>(kHugeTileBytes / (used * sizeof(Key)));
      tile_ = std::clamp(rows / kLanes * kLanes, tile_, kMaxHugeTile);
    }
  }

  int64_t good_rows() const override { return std::max(tile_, kMaxTile); }

  size_t scratch_bytes(int64_t rows) const override {
    const auto tile = static_cast<size_t>(std::min(tile_, round_up(rows)));
    const size_t words =
        tile + (sorts(static_cast<int64_t>(tile)) ? words_of_sort(static_cast<int64_t>(tile)) : 0);
    const size_t walk = key_bytes(tile) + std::max(sizeof(uint32_t) * words, row_.scratch_bytes());
    return rows >= sliced_from_ ? std::max(walk, block_places(rows >= large_from_).back()) : walk;
  }

  void run(const void* data, int64_t rows, void* out, void* scratch) const override {
    const Run<Key> run{static_cast<const Float*>(data), rows, out};
    leaves_.start(run);
    int64_t done = 0;
    while (rows - done >= sliced_from_) {
      const bool large = rows - done >= large_from_;
      const int64_t count = std::min(rows - done, sliced::kRows[large]);
      run_block(run, done, count, large, scratch);
      done += count;
    }
    walk(run, done, scratch);
    leaves_.finish(run);
  }

 private:
  using Kind = typename Leaves<N, Leaf>::Kind;

  // Rows from `first` on, a tile at a time.
  void walk(const Run<Key>& run, int64_t first, void* scratch) const {
    const int64_t tile = std::min(tile_, round_up(run.rows));
    Key* keys = static_cast<Key*>(scratch);
    std::byte* memory = static_cast<std::byte*>(scratch) + key_bytes(static_cast<size_t>(tile));
    for (; first < run.rows; first += tile) {
      const int64_t count = std::min(tile, run.rows - first);
      auto* const at = reinterpret_cast<uint32_t*>(memory);
      if (sorts(round_up(count)) && make_shared_keys(run, first, count, keys)) {
        run_tile(run, first, count, {keys, shared_, static_cast<typename N::Index>(shared_ - 1)}, at);
        continue;
      }
      make_keys(run, first, count, keys);
      if (count <= few_rows_)
        for (int64_t r = 0; r < count; ++r)
          row_.run(layout_, leaves_, run, first + r, keys + static_cast<size_t>(r) * layout_.columns.size(),
                   memory);
      else run_tile(run, first, count, {keys, layout_.columns.size()}, at);
    }
  }

  // Columns of a row without NaN, whose two views are one (pair_views); 0: the views are not paired.
  size_t shared_columns() const {
    const std::vector<Column>& columns = layout_.columns;
    const size_t half = layout_.view_begin[static_cast<size_t>(View::nan_left)];
    if (!std::has_single_bit(half) || half == columns.size() ||
        layout_.view_begin[static_cast<size_t>(View::nan_left) + 1] != columns.size())
      return 0;
    for (size_t i = half; i < columns.size(); ++i)
      if (i - half >= half || columns[i].feature != columns[i - half].feature) return 0;
    return half;
  }

  // The keys of rows that no NaN is among; false, with nothing of use written, when one is.
  bool make_shared_keys(const Run<Key>& run, int64_t first, int64_t count, Key* keys) const {
    if (shared_ == 0) return false;
    Key largest = 0;
    for (size_t c = 0; c < layout_.columns.size() - shared_; ++c) {
      const Float* x = run.data + layout_.columns[c].feature * run.rows + first;
      for (int64_t r = 0; r < count; ++r) {
        const Key key = key_of<Key>(x[r]);
        largest = std::max(largest, key);
        keys[static_cast<size_t>(r) * shared_ + c] = key;
      }
      if (largest == static_cast<Key>(~Key{0})) return false;
    }
    fill_up(count, shared_, keys);
    return true;
  }

  // Some valid key for the rows up to the next multiple of kLanes.
  static void fill_up(int64_t count, size_t stride, Key* keys) {
    std::memset(keys + static_cast<size_t>(count) * stride, 0,
                static_cast<size_t>(round_up(count) - count) * stride * sizeof(Key));
  }

  // Where a block's masks, keys, ranks, bytes, leaf numbers, nodes and keys by row lie, and where they end.
  std::array<size_t, 8> block_places(bool large) const {
    constexpr auto kBlockRows = static_cast<size_t>(sliced::kRows[1]);
    const size_t mask_bytes = sizeof(uint64_t) * (large ? 8 : 1);
    const size_t sizes[] = {masks_ * mask_bytes,
                            kBlockRows * sizeof(Key),
                            kBlockRows * sizeof(uint32_t),
                            kBlockRows,
                            kBlockRows,
                            kBlockRows * sizeof(uint32_t),
                            walks_in_blocks_ ? key_bytes(static_cast<size_t>(sliced::kRows[large])) : 0};
    std::array<size_t, 8> out{};
    for (size_t i = 0; i < std::size(sizes); ++i) out[i + 1] = out[i] + (sizes[i] + 63) / 64 * 64;
    return out;
  }

  // Rows [first, first + count), at most a block of them.
  void run_block(const Run<Key>& run, int64_t first, int64_t count, bool large, void* scratch) const {
    const auto places = block_places(large);
    auto* memory = static_cast<std::byte*>(scratch);
    auto* masks = reinterpret_cast<uint64_t*>(memory + places[0]);
    auto* keys = reinterpret_cast<sliced::SignedKey<Key>*>(memory + places[1]);
    auto* ranks = reinterpret_cast<uint32_t*>(memory + places[2]);
    auto* bytes = reinterpret_cast<uint8_t*>(memory + places[3]);
    auto* index = reinterpret_cast<uint8_t*>(memory + places[4]);
    auto* at = reinterpret_cast<uint32_t*>(memory + places[5]);
    auto* row_keys = reinterpret_cast<Key*>(memory + places[6]);
    if (walks_in_blocks_) make_keys(run, first, count, row_keys);
    for (const sliced::Forest<Key>& part : sliced_) {
      kernels_->tests<Key>().run[large](part.slices(layout_.pool.data()), run.data + first, run.rows, count,
                                        {masks, keys, ranks, bytes});
      for (size_t i = 0; i < part.trees.size(); ++i) {
        const sliced::Tree& tree = part.trees[i];
        const size_t t = part.first_tree + i;
        if (tree.bits == sliced::kNotSliced) {
          std::fill_n(at, round_up(count), 0);
          walk_rows(layout_, layout_.trees[t], 0, row_keys, round_up(count), at);
          leaves_.add(run, layout_.trees[t], t, first, count, at);
          continue;
        }
        kernels_->leaves[large](part.splits.data() + tree.first_split, tree.bits, masks, index);
        if (is_whole(tree) && !tables_.empty()) {
          add_tables(run, t, tree.bits, first, count, index);
          continue;
        }
        const uint32_t* node = part.leaf_nodes.data() + part.first_leaf[i];
        for (int64_t r = 0; r < round_up(count); ++r) at[r] = node[index[r]];
        if (tree.skipped > 0)
          walk_rows(layout_, layout_.trees[t], tree.skipped, row_keys, round_up(count), at);
        leaves_.add(run, layout_.trees[t], t, first, count, at);
      }
    }
  }

  static bool is_whole(const sliced::Tree& tree) {
    return tree.bits != sliced::kNotSliced && tree.skipped == 0;
  }

  // Adds the leaves of tree `t`, by their numbers, to rows [first, first + count).
  void add_tables(const Run<Key>& run, size_t t, uint32_t bits, int64_t first, int64_t count,
                  const uint8_t* index) const {
    const size_t entries = table_entries(bits);
    const Leaf* table = tables_.data() + first_table_[t];
    const int64_t begin = leaves_.kind() == Kind::scalar ? layout_.trees[t].output : 0;
    const int64_t end = leaves_.kind() == Kind::scalar ? begin + 1 : leaves_.outputs();
    for (int64_t o = begin; o < end; ++o, table += entries) {
      Leaf* sums = static_cast<Leaf*>(run.out) + o * run.rows + first;
      if constexpr (std::is_same_v<Leaf, float>) kernels_->add_f32(table, bits, index, count, sums);
      else kernels_->add_f64(table, bits, index, count, sums);
    }
  }

  static constexpr float kStepCost = sizeof(Key) == 8 ? sliced::kStepCost64 : sliced::kStepCost32;

  // Leaves of the tops of large trees. Where most of a path lies below them they pay for nothing: the tree
  // itself then waits for memory, and the masks take the caches from it.
  uint32_t top_leaves() const {
    const uint32_t top = sliced::best_top<Key>(kernels_->costs);
    float depth = 0, trees = 0;
    for (const Tree& tree : layout_.trees) {
      if (tree.mean_depth <= static_cast<float>(sliced::kMaxBits)) continue;
      depth += tree.mean_depth;
      ++trees;
    }
    return depth <= trees * kDeepestBelowTop * static_cast<float>(std::bit_width(top) - 1) ? top : 0;
  }

  // Slices the trees in `parts` ranges; returns nanoseconds per row of a large block, walks apart.
  float slice_in(size_t parts, std::vector<sliced::Forest<Key>>& out) const {
    const size_t trees = layout_.trees.size(), each = (trees + parts - 1) / parts;
    const uint32_t top = top_leaves();
    float cost = 0;
    for (size_t first = 0; first < trees; first += each) {
      out.push_back(sliced::slice(layout_, first, std::min(first + each, trees), rule_,
                                  kernels_->tests<Key>().max_compares, top));
      cost += sliced::cost_of(out.back(), kernels_->costs);
    }
    return cost;
  }

  // Tops have tests of their own; trees that share theirs are faster in one range, however many masks it has
  // (a fifth, measured).
  static bool has_tops(const sliced::Forest<Key>& part) {
    return std::any_of(part.trees.begin(), part.trees.end(),
                       [](const auto& tree) { return tree.skipped > 0; });
  }

  // Slices the trees and finds out from how many rows on that is faster than walking them.
  void slice() {
    if (layout_.trees.empty()) return;
    float large = slice_in(1, sliced_);
    if (sliced_[0].masks > sliced::kCachedMasks && has_tops(sliced_[0])) {
      std::vector<sliced::Forest<Key>> parts;
      const float cost = slice_in((sliced_[0].masks - 1) / sliced::kCachedMasks + 1, parts);
      if (cost < large) {
        sliced_ = std::move(parts);
        large = cost;
      }
    }
    float walk = 0;
    for (const sliced::Forest<Key>& part : sliced_) {
      masks_ = std::max(masks_, part.masks);
      for (size_t i = 0; i < part.trees.size(); ++i) {
        const sliced::Tree& tree = part.trees[i];
        if (tree.bits == sliced::kNotSliced || tree.skipped > 0) walks_in_blocks_ = true;
        if (tree.bits == sliced::kNotSliced) continue;
        const float depth = layout_.trees[part.first_tree + i].mean_depth;
        walk += kStepCost * (tree.skipped > 0 ? static_cast<float>(tree.skipped) : depth);
      }
    }
    if (large >= walk || masks_ > sliced::kMaxMasks) {
      release(sliced_);
      return;
    }
    const float small = large * kernels_->costs.small;
    if (row_.cost() > 0 && row_.cost() < walk) {
      walk = row_.cost();
      few_rows_ = sliced::kRows[0];
    }
    const auto rows_of = [](int64_t block, float cost, float beside) {
      return static_cast<int64_t>(static_cast<float>(block) * cost / beside) + 1;
    };
    large_from_ = rows_of(sliced::kRows[1], large, std::min(small, walk));
    sliced_from_ = std::clamp(rows_of(sliced::kRows[0], small, walk), kFewRows + 1, large_from_);
    fill_tables();
  }

  static size_t table_entries(uint32_t bits) { return std::max(size_t{1} << bits, kMinTable); }

  void fill_tables() {
    if (leaves_.kind() != Kind::scalar && leaves_.kind() != Kind::vector) return;
    const size_t outputs = leaves_.kind() == Kind::scalar ? 1 : static_cast<size_t>(leaves_.outputs());
    size_t total = 0;
    for (const sliced::Forest<Key>& part : sliced_)
      for (const sliced::Tree& tree : part.trees)
        if (is_whole(tree)) total += outputs * table_entries(tree.bits);
    // trees may share rows of many outputs, and a file may claim that a million do
    if (leaves_.kind() == Kind::vector && total > kMinTable * leaves_.vector_values()) return;
    tables_.reserve(total);
    first_table_.resize(layout_.trees.size());
    for (const sliced::Forest<Key>& part : sliced_) {
      for (size_t i = 0; i < part.trees.size(); ++i) {
        const uint32_t bits = part.trees[i].bits;
        if (!is_whole(part.trees[i])) continue;
        const size_t t = part.first_tree + i, entries = table_entries(bits);
        first_table_[t] = tables_.size();
        tables_.resize(tables_.size() + outputs * entries);
        for (size_t leaf = 0; leaf < size_t{1} << bits; ++leaf) {
          const size_t node = layout_.trees[t].first + part.leaf_nodes[part.first_leaf[i] + leaf];
          for (size_t o = 0; o < outputs; ++o)
            tables_[first_table_[t] + o * entries + leaf] = leaves_.value(node, o);
        }
      }
    }
  }

  size_t key_bytes(size_t tile) const { return (tile * layout_.columns.size() * sizeof(Key) + 63) / 64 * 64; }

  template <View kView>
  void view_keys(const Run<Key>& run, int64_t first, int64_t count, Key* keys) const {
    const size_t stride = layout_.columns.size();
    constexpr auto kIndex = static_cast<size_t>(kView);
    for (size_t c = layout_.view_begin[kIndex]; c < layout_.view_begin[kIndex + 1]; ++c) {
      const Float* x = run.data + layout_.columns[c].feature * run.rows + first;
      for (int64_t r = 0; r < count; ++r)
        keys[static_cast<size_t>(r) * stride + c] = key_in<Key, kView>(x[r], rule_);
    }
  }

  // Row-major keys of rows [first, first + count), and what follows them.
  void make_keys(const Run<Key>& run, int64_t first, int64_t count, Key* keys) const {
    view_keys<View::nan_right>(run, first, count, keys);
    view_keys<View::nan_left>(run, first, count, keys);
    view_keys<View::zero_right>(run, first, count, keys);
    view_keys<View::zero_left>(run, first, count, keys);
    view_keys<View::category>(run, first, count, keys);
    if (count > kFewRows) fill_up(count, layout_.columns.size(), keys);
  }

  // Whether so many rows are sorted on their way through a tree.
  bool sorts(int64_t rows) const { return tile_ > kMaxTile && rows >= kSortedRows; }

  void run_tile(const Run<Key>& run, int64_t first, int64_t count, const RowKeys<N>& keys,
                uint32_t* at) const {
    const int64_t rows = round_up(count);
    for (size_t t = 0; t < layout_.trees.size(); ++t) {
      if (sorts(rows) && !layout_.trees[t].categories) {
        walk_sorted(layout_, layout_.trees[t], keys, rows, at, at + rows);
      } else {
        std::fill_n(at, rows, 0);
        walk_rows(layout_, layout_.trees[t], 0, keys.keys, rows, at);
      }
      leaves_.add(run, layout_.trees[t], t, first, count, at);
    }
  }

  Layout<N> layout_;
  CategoryRule rule_;
  Leaves<N, Leaf> leaves_;
  RowEvaluator<N, Leaf> row_;
  int64_t tile_ = kLanes;
  size_t shared_ = 0;            // columns of a row without NaN, where they are fewer
  int64_t few_rows_ = kFewRows;  // up to so many are taken one by one

  const sliced::Kernels* kernels_;
  std::vector<sliced::Forest<Key>> sliced_;  // ranges of trees, in order
  uint32_t masks_ = 0;                       // most of a range
  // Rows from which slices are used, and large blocks of them.
  int64_t sliced_from_ = std::numeric_limits<int64_t>::max(), large_from_ = sliced_from_;
  bool walks_in_blocks_ = false;     // some trees are too large to be sliced
  std::vector<Leaf> tables_;         // leaf values by leaf number; per tree one table for each output
  std::vector<size_t> first_table_;  // by tree
};

template <class N>
std::unique_ptr<Forest> make(const ForestSpec& spec, std::vector<Column> columns, Isa isa) {
  if (spec.leaf == DType::f64) return std::make_unique<Evaluator<N, double>>(spec, std::move(columns), isa);
  return std::make_unique<Evaluator<N, float>>(spec, std::move(columns), isa);
}

}  // namespace
}  // namespace forest

std::unique_ptr<Forest> Forest::build(const ForestSpec& spec, Isa isa) {
  std::vector<forest::Column> columns = forest::columns_of(spec);
  if (spec.feature.size() * sizeof(forest::Narrow32) > forest::kHugeTree * (spec.tree_offsets.size() - 1))
    columns = forest::pair_views(std::move(columns));
  if (spec.block == DType::f64) return forest::make<forest::Wide64>(spec, std::move(columns), isa);
  if (forest::fits_narrow(spec, columns))
    return forest::make<forest::Narrow32>(spec, std::move(columns), isa);
  return forest::make<forest::Wide32>(spec, std::move(columns), isa);
}

}  // namespace mlcore

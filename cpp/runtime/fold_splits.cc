#include "runtime/fold_splits.h"

#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "kernels/forest_keys.h"

namespace mlcore {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool number_goes_left(const Forests& forests, const SplitKey& key, double value) {
  return forests[0].strict ? value < key.threshold : value <= key.threshold;
}

bool in_set(std::span<const uint32_t> words, int64_t category) {
  const auto word = static_cast<size_t>(category / 32);
  return word < words.size() && ((words[word] >> (category % 32)) & 1) != 0;
}

bool category_goes_left(const ForestSpec& spec, size_t node, double value) {
  const auto words = spec.category_bits.subspan(static_cast<size_t>(spec.category_offset[node]),
                                                static_cast<size_t>(spec.category_words[node]));
  const bool missing_left = spec.missing[node] == 1;
  const bool large = value >= static_cast<double>(kMaxCategory);
  const auto category = [&] { return static_cast<int64_t>(value); };
  switch (spec.rule) {
    case CategoryRule::xgboost:
      if (value != value) return missing_left;
      return value < 0 || large || !in_set(words, category());
    case CategoryRule::lightgbm: return value > -1 && !large && in_set(words, category());  // not for NaN
    default: break;
  }
  if (!(value >= 0) || large) return missing_left;
  const size_t half = words.size() / 2;
  if (in_set(words.first(half), category())) return true;
  return !in_set(words.subspan(half), category()) && missing_left;
}

// Floating-point numbers by their place in the order of all numbers: forest::key_of and its inverse.
template <class T>
using Place = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <class T>
T number_at(Place<T> place) {
  constexpr Place<T> kSign = Place<T>{1} << (sizeof(T) * 8 - 1);
  return std::bit_cast<T>((place & kSign) != 0 ? static_cast<Place<T>>(place ^ kSign)
                                               : static_cast<Place<T>>(~place));
}

// How much of the numbers, from -infinity on, satisfies each predicate.
struct Beginning {
  enum class Size : uint8_t { none, some, all } size;
  double last = 0;  // some: the largest of them
};
using Predicate = std::function<bool(size_t, double)>;  // of predicate i and a value of the chain

// For each i, `holds(i, y)` holds for the values of a beginning of the origin's numbers.
template <class T>
std::vector<Beginning> beginnings(const ColumnChain& chain, size_t count, const Predicate& holds) {
  using Size = Beginning::Size;
  const std::vector<double> ends = chain.values({-kInfinity, kInfinity});
  std::vector<Beginning> out(count);
  struct Open {
    size_t index;
    Place<T> inside, outside;
  };
  std::vector<Open> open;
  for (size_t i = 0; i < count; ++i) {
    out[i].size = !holds(i, ends[0]) ? Size::none : holds(i, ends[1]) ? Size::all : Size::some;
    if (out[i].size == Size::some)
      open.push_back({i, forest::key_of<Place<T>>(static_cast<T>(-kInfinity)),
                      forest::key_of<Place<T>>(static_cast<T>(kInfinity))});
  }
  std::vector<double> middles(open.size());
  const auto middle = [](const Open& one) {
    return static_cast<Place<T>>(one.inside + (one.outside - one.inside) / 2);
  };
  for (size_t bit = 0; bit < sizeof(T) * 8; ++bit) {
    for (size_t k = 0; k < open.size(); ++k) middles[k] = static_cast<double>(number_at<T>(middle(open[k])));
    const std::vector<double> values = chain.values(middles);
    for (size_t k = 0; k < open.size(); ++k) {
      const auto place = middle(open[k]);
      (holds(open[k].index, values[k]) ? open[k].inside : open[k].outside) = place;
    }
  }
  for (const Open& one : open) out[one.index].last = static_cast<double>(number_at<T>(one.inside));
  return out;
}

std::vector<Beginning> beginnings(const ColumnChain& chain, size_t count, const Predicate& holds) {
  return chain.origin_type() == DType::f64 ? beginnings<double>(chain, count, holds)
                                           : beginnings<float>(chain, count, holds);
}

std::vector<FoldedSplit> fold_numbers(const Forests& forests, const ColumnChain& chain,
                                      const std::vector<SplitKey>& keys) {
  const bool falls = chain.order() == Order::falling;
  const double of_missing = chain.values({std::numeric_limits<double>::quiet_NaN()})[0];
  const std::vector<Beginning> found = beginnings(
      chain, keys.size(), [&](size_t i, double y) { return number_goes_left(forests, keys[i], y) != falls; });
  using Size = Beginning::Size;
  std::vector<FoldedSplit> out(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    FoldedSplit& split = out[i];
    split.kind = FoldedSplit::Kind::cut;
    split.swapped = falls;
    split.missing_left = goes_left(forests, keys[i], of_missing) != falls;
    split.below_all = found[i].size == Size::none;
    split.cut = found[i].size == Size::some ? found[i].last : split.below_all ? -kInfinity : kInfinity;
  }
  return out;
}

std::vector<FoldedSplit> fold_codes(const Forests& forests, const ColumnChain& chain,
                                    const std::vector<SplitKey>& keys) {
  const auto [first, last] = chain.codes();
  const auto single = chain.single_code();
  std::vector<double> codes;
  if (single) codes = {*single == first ? first + 1.0 : first * 1.0, *single * 1.0};
  else
    for (int32_t code = first; code <= last; ++code) codes.push_back(code);
  const std::vector<double> values = chain.values(codes);
  std::vector<FoldedSplit> out(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    out[i].kind = FoldedSplit::Kind::codes;
    std::vector<bool>& left = out[i].left_codes;
    left.resize(static_cast<size_t>(last - first + 1));
    if (!single) {
      for (size_t k = 0; k < left.size(); ++k) left[k] = goes_left(forests, keys[i], values[k]);
      continue;
    }
    std::fill(left.begin(), left.end(), goes_left(forests, keys[i], values[0]));
    if (*single >= first && *single <= last)
      left[static_cast<size_t>(*single - first)] = goes_left(forests, keys[i], values[1]);
  }
  return out;
}

}  // namespace

bool is_cut(const SplitKey& key) { return key.forest < 0 && key.missing < 4; }

SplitKey key_of(const ForestSpec& spec, int32_t forest, int32_t node) {
  const auto at = static_cast<size_t>(node);
  if (!spec.category_words.empty() && spec.category_words[at] != 0) return {0, 0, forest, node};
  return {spec.threshold_f64.empty() ? static_cast<double>(spec.threshold_f32[at]) : spec.threshold_f64[at],
          spec.missing[at]};
}

bool goes_left(const Forests& forests, const SplitKey& key, double value) {
  if (key.forest >= 0)
    return category_goes_left(forests[static_cast<size_t>(key.forest)], static_cast<size_t>(key.node), value);
  if (value != value) return key.missing == 2 ? number_goes_left(forests, key, 0.0) : key.missing % 2 == 1;
  if (key.missing >= 4 && std::abs(value) <= kZeroAsMissing) return key.missing == 5;
  return number_goes_left(forests, key, value);
}

std::vector<FoldedSplit> fold_splits(const Forests& forests, const ColumnChain& chain,
                                     const std::vector<SplitKey>& keys) {
  if (chain.from_codes()) return fold_codes(forests, chain, keys);
  std::vector<FoldedSplit> out = fold_numbers(forests, chain, keys);
  for (size_t i = 0; i < keys.size(); ++i)  // what a cut cannot say; such a feature is its own origin
    if (!is_cut(keys[i])) out[i] = {};
  return out;
}

Interval finite_interval(const ColumnChain& chain) {
  const bool falls = chain.order() == Order::falling;
  // of rising values: those below infinity, and those that are -infinity
  const std::vector<Beginning> found = beginnings(chain, 2, [falls](size_t i, double y) {
    const double rising = falls ? -y : y;
    return i == 0 ? rising < kInfinity : rising == -kInfinity;
  });
  using Size = Beginning::Size;
  const auto next = [&](double x) {
    return chain.origin_type() == DType::f64
               ? std::nextafter(x, kInfinity)
               : static_cast<double>(std::nextafter(static_cast<float>(x), static_cast<float>(kInfinity)));
  };
  if (found[0].size == Size::none || found[1].size == Size::all) return {kInfinity, -kInfinity};
  const double high = found[0].size == Size::all ? kInfinity : found[0].last;
  const double low = found[1].size == Size::none ? -kInfinity : next(found[1].last);
  return {low, high};
}

}  // namespace mlcore

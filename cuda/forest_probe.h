// Which form of a forest is fastest for how many rows: each is run on rows that are generated near the
// forest's own cuts, so that their paths differ, and timed.
#pragma once

#include <vector>

#include "forest_forms.h"

namespace mlcore::device {

// Rows for a measurement.
template <class Float>
struct ProbeRows {
  const int32_t* first;  // by column of the block, and behind the last: its numbers
  const Float* numbers;
  Columns<Float> out;

  MLCORE_BODY void operator()(int64_t row, int64_t column) const {
    uint64_t dice = (static_cast<uint64_t>(row) << 20 ^ static_cast<uint64_t>(column)) + 1;
    dice *= 0x9e3779b97f4a7c15u;
    dice ^= dice >> 32;
    dice *= 0xd6e8feb86659fd93u;
    const auto count = static_cast<uint64_t>(first[column + 1] - first[column]);
    Float x = count > 0 ? numbers[static_cast<uint64_t>(first[column]) + (dice >> 40) % count] : Float{0};
    const uint64_t side = dice >> 36 & 15;
    if (side < 7) x -= Float{1e-3f} * (x < 0 ? -x : x);
    else if (side < 14) x += Float{1e-3f} * (x < 0 ? -x : x);
    else if (side == 15) x = std::numeric_limits<Float>::quiet_NaN();
    out.at(row, column) = x;
  }
};

// From so many rows on, that form.
struct FormRange {
  int64_t rows;
  ForestForm form;
};

inline constexpr int64_t kProbeRows[] = {1, 16, 64, 256, 512, 1024, 4096, 16384, 131072};
inline constexpr double kProbeMicroseconds = 30'000;  // of all measurements of a forest
inline constexpr size_t kProbeBytes = size_t{256} << 20;

// Numbers of each column of a block that its splits compare with, and categories that they ask for.
template <class Float>
struct ProbeNumbers {
  std::vector<int32_t> first;
  std::vector<Float> numbers;

  ProbeNumbers(const ForestSpec& spec, int64_t width) : first(static_cast<size_t>(width) + 1) {
    const auto each_split = [&](auto f) {
      for (size_t node = 0; node < spec.feature.size(); ++node)
        if (spec.feature[node] >= 0) f(static_cast<size_t>(spec.feature[node]), node);
    };
    each_split([&](size_t feature, size_t) { ++first[feature + 1]; });
    for (size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];
    numbers.resize(static_cast<size_t>(first.back()));
    std::vector<int32_t> next = first;
    each_split([&](size_t feature, size_t node) {
      Float& to = numbers[static_cast<size_t>(next[feature]++)];
      if (!spec.category_words.empty() && spec.category_words[node] > 0)
        to = static_cast<Float>(node % (32 * static_cast<size_t>(spec.category_words[node])));
      else if (!spec.threshold_f64.empty()) to = static_cast<Float>(spec.threshold_f64[node]);
      else to = static_cast<Float>(spec.threshold_f32[node]);
    });
  }
};

// The fastest of `forms` by number of rows, those that come first where nothing was measured.
// `launch(form, rows, stride, data, out, stream)`. Throws Unable, std::bad_alloc.
template <class Float, class Launch>
std::vector<FormRange> measure_forms(Device& device, const ForestSpec& spec, int64_t width, int64_t out_width,
                                     const std::vector<ForestForm>& forms, const Launch& launch) {
  const auto row_bytes = static_cast<size_t>(width) * sizeof(Float) + static_cast<size_t>(out_width) * 8 + 1;
  const int64_t most = std::min(Stopwatch::most_rows(), static_cast<int64_t>(kProbeBytes / row_bytes));
  if (forms.size() < 2 || most < 1) return {};
  DeviceMemory memory(device);
  const ProbeNumbers<Float> numbers(spec, width);
  auto* data = static_cast<Float*>(memory.room(static_cast<size_t>(most * width) * sizeof(Float)));
  void* const out = memory.room(static_cast<size_t>(most * out_width) * 8);
  Stopwatch watch(device);
  const ProbeRows<Float> rows{memory.keep_all(numbers.first), memory.keep_all(numbers.numbers), {data, most}};
  if (const Failure failure = each(rows, most, width, watch.stream())) throw Unable(failure);

  std::vector<FormRange> ranges;
  std::vector<double> last(forms.size(), 0);  // of the size before
  double left = kProbeMicroseconds;
  int64_t before = 1;
  for (const int64_t size : kProbeRows) {
    const int64_t count = std::min(size, most);
    size_t best = forms.size();
    for (size_t i = 0; i < forms.size(); ++i) {
      // a small table leaves most of the device idle: only a large one takes longer as it grows
      const double growth = count > 4096 ? static_cast<double>(count) / static_cast<double>(before) : 1;
      last[i] *= growth;
      if (3 * last[i] > left) continue;
      double fastest = 0;
      for (int turn = 0; turn < 3; ++turn) {
        watch.start();
        if (const Failure failure = launch(forms[i], count, most, data, out, watch.stream()))
          throw Unable(failure);
        const double time = watch.stop();
        left -= time;
        if (turn < 2 || time < fastest) fastest = time;  // the first one loads the code
        if (2 * time > left) break;
      }
      last[i] = fastest;
      if (best == forms.size() || fastest < last[best]) best = i;
    }
    if (best < forms.size() && (ranges.empty() || ranges.back().form != forms[best]))
      ranges.push_back({ranges.empty() ? 0 : count, forms[best]});
    before = count;
    if (count == most) break;
  }
  return ranges;
}

}  // namespace mlcore::device

// dot: x W' + bias, each row summed in one fixed order whatever the batch.
//
// blocked: features in groups of eight; a group's products are added as ((0 1)(2 3))((4 5)(6 7)), groups are
// added left to right, a shorter last group is padded with zero products, the bias comes last. float32 blocks
// sum in double and round once. sequential: the bias first, then one feature after the other, in the block's
// dtype.
//
// A column of codes stands for its one-hot columns. A product with one of their zeros changes no sum (finite
// weights; no sum is -0.0, for it begins at something else), so a row adds the one weight of its code. Only
// in a group that columns of several inputs share must the columns be written out: the order of its sum is
// theirs.
#include "ops/dot.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/block_loops.h"
#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

constexpr int64_t kTile = kDotRows;  // rows summed together; their sums stay in the first-level cache

// Neighbouring features that are summed alike.
struct Piece {
  enum class Kind : uint8_t {
    numbers,  // columns of a block of floats; blocked: whole groups but for the last of all
    codes,    // codes of a column of codes
    mixed,    // one group of columns of several inputs
  };
  Kind kind;
  int64_t input;   // mixed: number of the group among those
  int64_t column;  // first column, or code; mixed: unused
  int64_t count;
  int64_t feature;  // the first
};

// Where each input's features begin, and where the last end.
std::vector<int64_t> feature_offsets(const NodeReader& reader) {
  std::vector<int64_t> out{0};
  for (size_t i = 0; i < reader.input_count(); ++i) {
    const int64_t width = reader.input(i).dtype == DType::i32
                              ? reader.constant("widths", DType::i32).as<int32_t>()[i]
                              : reader.input(i).width;
    out.push_back(out.back() + width);
  }
  return out;
}

bool in_order(const NodeReader& reader) {
  return reader.choice("accumulate", {"blocked", "sequential"}) == "sequential";
}

DType dtype_of(const NodeReader& reader) {
  for (size_t i = 0; i < reader.input_count(); ++i)
    if (reader.input(i).dtype != DType::i32) return reader.input(i).dtype;
  return reader.constant_of("weights", {DType::f64, DType::f32}).type();
}

template <class T, bool kSkip>
class DotStep final : public Step {
 public:
  explicit DotStep(const NodeReader& reader)
      : blame_(reader),
        in_order_(in_order(reader)),
        offsets_(feature_offsets(reader)),
        weights_(reader.constant("weights", dtype_of(reader))),
        has_bias_(reader.has_constant("bias")),
        bias_(has_bias_ ? reader.constant("bias", dtype_of(reader)) : Constant()),
        add_group_(block_loops(chosen_isa()).of<T>().add_group[kSkip]) {
    for (size_t i = 0; i < reader.input_count(); ++i)
      is_codes_.push_back(reader.input(i).dtype == DType::i32);
    for (int64_t feature = 0; feature < offsets_.back();) feature = add_piece(feature);
  }

  size_t scratch_bytes(int64_t rows) const override {
    return sizeof(T) * static_cast<size_t>(mixed_ * kDotGroup * std::min(rows, kTile));
  }

  void run(const StepArgs& args) const override {
    for (size_t i = 0; i < is_codes_.size(); ++i)
      if (is_codes_[i]) check_codes(args.inputs[i], offsets_[i + 1] - offsets_[i]);
    for (int64_t first = 0; first < args.output.rows; first += kTile) {
      const int64_t rows = std::min(kTile, args.output.rows - first);
      if (in_order_) sum_in_order(args, first, rows);
      else sum_groups(args, first, rows);
    }
  }

 private:
  // Adds the piece that begins at a feature; returns where the next one begins.
  int64_t add_piece(int64_t feature) {
    const auto input =
        static_cast<int64_t>(std::ranges::upper_bound(offsets_, feature) - offsets_.begin()) - 1;
    const auto at = static_cast<size_t>(input);
    int64_t end = offsets_[at + 1];
    auto kind = is_codes_[at] ? Piece::Kind::codes : Piece::Kind::numbers;
    if (!in_order_ && end < offsets_.back()) {
      end -= (end - feature) % kDotGroup;
      if (end == feature) {  // a group that does not end here
        end = std::min(feature + kDotGroup, offsets_.back());
        kind = Piece::Kind::mixed;
      }
    }
    if (kind == Piece::Kind::mixed) pieces_.push_back({kind, mixed_++, 0, end - feature, feature});
    else pieces_.push_back({kind, input, feature - offsets_[at], end - feature, feature});
    return end;
  }

  void check_codes(const BlockView& codes, int64_t width) const {
    const auto* code = codes.column<int32_t>(0);
    for (int64_t row = 0; row < codes.rows; ++row)
      if (code[row] < -1 || code[row] >= width) [[unlikely]]
        blame_.bad_code(code[row], width);
  }

  // The columns of the mixed groups: [group][kDotGroup][rows].
  void write_out(const StepArgs& args, int64_t first, int64_t rows, T* to) const {
    for (const Piece& piece : pieces_) {
      if (piece.kind != Piece::Kind::mixed) continue;
      size_t input = 0;
      for (int64_t f = piece.feature; f < piece.feature + piece.count; ++f, to += rows) {
        while (f >= offsets_[input + 1]) ++input;
        const int64_t column = f - offsets_[input];
        if (is_codes_[input]) {
          const auto* code = args.inputs[input].column<int32_t>(0) + first;
          for (int64_t r = 0; r < rows; ++r) to[r] = static_cast<T>(code[r] == column);
        } else {
          std::copy_n(args.inputs[input].column<T>(column) + first, rows, to);
        }
      }
      to += (kDotGroup - piece.count) * rows;
    }
  }

  void sum_groups(const StepArgs& args, int64_t first, int64_t rows) const {
    T* mixed = static_cast<T*>(args.scratch);
    write_out(args, first, rows, mixed);
    double sums[kTile];
    for (int64_t out = 0; out < args.output.width; ++out) {
      const T* weights = weights_.as<T>().data() + out * offsets_.back();
      std::fill_n(sums, rows, 0.0);
      for (const Piece& piece : pieces_) {
        const T* weight = weights + piece.feature;
        if (piece.kind == Piece::Kind::codes) {
          add_codes(args, piece, first, rows, weight, sums);
        } else if (piece.kind == Piece::Kind::mixed) {
          add_group_(mixed + piece.input * kDotGroup * rows, rows, rows, weight, piece.count, sums);
        } else {
          const BlockView& in = args.inputs[static_cast<size_t>(piece.input)];
          for (int64_t f = 0; f < piece.count; f += kDotGroup)
            add_group_(in.column<T>(piece.column + f) + first, in.rows, rows, weight + f,
                       std::min(kDotGroup, piece.count - f), sums);
        }
      }
      T* result = args.output.column<T>(out) + first;
      if (!has_bias_)
        for (int64_t r = 0; r < rows; ++r) result[r] = static_cast<T>(sums[r]);
      else
        for (int64_t r = 0; r < rows; ++r)
          result[r] = static_cast<T>(sums[r] + static_cast<double>(bias_.as<T>()[static_cast<size_t>(out)]));
    }
  }

  void sum_in_order(const StepArgs& args, int64_t first, int64_t rows) const {
    T sums[kTile];
    for (int64_t out = 0; out < args.output.width; ++out) {
      const T* weights = weights_.as<T>().data() + out * offsets_.back();
      std::fill_n(sums, rows, has_bias_ ? bias_.as<T>()[static_cast<size_t>(out)] : T{0});
      for (const Piece& piece : pieces_) {
        const T* weight = weights + piece.feature;
        if (piece.kind == Piece::Kind::codes) {
          add_codes(args, piece, first, rows, weight, sums);
          continue;
        }
        const BlockView& in = args.inputs[static_cast<size_t>(piece.input)];
        for (int64_t f = 0; f < piece.count; ++f) {
          const T* x = in.column<T>(piece.column + f) + first;
          for (int64_t r = 0; r < rows; ++r) {
            const T next = sums[r] + x[r] * weight[f];
            sums[r] = kSkip && x[r] != x[r] ? sums[r] : next;
          }
        }
      }
      std::copy_n(sums, rows, args.output.column<T>(out) + first);
    }
  }

  template <class Sum>
  static void add_codes(const StepArgs& args, const Piece& piece, int64_t first, int64_t rows,
                        const T* weight, Sum* sums) {
    const auto* code = args.inputs[static_cast<size_t>(piece.input)].column<int32_t>(0) + first;
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = code[r] - piece.column;
      if (at >= 0 && at < piece.count) sums[r] += static_cast<Sum>(weight[at]);
    }
  }

  Blame blame_;
  bool in_order_;
  std::vector<int64_t> offsets_;
  std::vector<bool> is_codes_;
  std::vector<Piece> pieces_;
  int64_t mixed_ = 0;
  Constant weights_;  // [outputs, features]
  bool has_bias_;
  Constant bias_;  // [outputs]
  void (*add_group_)(const T* x, int64_t stride, int64_t rows, const T* weights, int64_t count, double* sums);
};

Exactness exactness(const NodeReader& reader) {
  return in_order(reader) ? Exactness::exact : Exactness::tolerance;
}

ValueType validate(const NodeReader& reader) {
  reader.expect(reader.input_count() >= 1, "expected at least 1 input but found none");
  const DType dtype = dtype_of(reader);
  bool codes = false;
  for (size_t i = 0; i < reader.input_count(); ++i) {
    const ValueType in = reader.input(i);
    if (in.dtype == DType::i32) {
      codes = true;
      reader.expect(in.width == 1, "expected codes of width 1 but found ", in.width);
    } else {
      reader.expect_dtype(i, {DType::f64, DType::f32});
      reader.expect(in.dtype == dtype, "expected inputs of one type but found ", name_of(dtype), " and ",
                    name_of(in.dtype));
    }
  }
  if (codes) {
    const auto inputs = static_cast<int64_t>(reader.input_count());
    for (int32_t width : reader.constant("widths", DType::i32, inputs).as<int32_t>())
      reader.expect(width >= 1, "expected widths of at least 1 but found ", width);
  }
  in_order(reader);
  reader.flag_or("skip_missing", false);
  const int64_t features = feature_offsets(reader).back();
  const Constant& weights = reader.constant("weights", dtype);
  reader.expect(weights.shape().size() == 2 && weights.shape()[1] == features && weights.shape()[0] >= 1,
                "expected constant 'weights' of shape [k, ", features, "] with k >= 1 but found ",
                weights.shape().size(), " axes and ", weights.size(), " elements");
  const int64_t outputs = weights.shape()[0];
  if (reader.has_constant("bias")) reader.constant("bias", dtype, outputs);
  if (codes) {
    const std::string_view why = why_no_codes(reader);
    reader.expect(why.empty(), why);
  }
  reader.finish();
  return {dtype, outputs};
}

std::unique_ptr<Step> lower(const NodeReader& reader) {
  const bool skip = reader.flag_or("skip_missing", false);
  return for_float(dtype_of(reader), [&](auto zero) -> std::unique_ptr<Step> {
    using T = decltype(zero);
    if (skip) return std::make_unique<DotStep<T, true>>(reader);
    return std::make_unique<DotStep<T, false>>(reader);
  });
}

DeviceStepPtr device_step(const NodeReader& reader) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::dot);
  const DType dtype = dtype_of(reader);
  const std::vector<int64_t> offsets = feature_offsets(reader);
  std::vector<int64_t> pieces;  // as DotPiece
  for (size_t i = 0; i < reader.input_count(); ++i)
    pieces.insert(pieces.end(), {static_cast<int64_t>(i), 0, offsets[i + 1] - offsets[i], offsets[i],
                                 reader.input(i).dtype == DType::i32});
  step->add(reader.constant("weights", dtype));
  step->add(std::move(pieces), DType::i64);
  if (reader.has_constant("bias")) step->add(reader.constant("bias", dtype));
  step->spec().function = in_order(reader) ? 1 : 0;
  step->spec().flag = reader.flag_or("skip_missing", false);
  return step;
}

}  // namespace

std::string_view why_no_codes(const NodeReader& dot) {
  const auto holds = [&](const char* name, auto good) {
    const Constant& constant = dot.constant_of(name, {DType::f64, DType::f32});
    return for_float(constant.type(),
                     [&](auto zero) { return std::ranges::all_of(constant.as<decltype(zero)>(), good); });
  };
  if (!holds("weights", [](auto x) { return std::isfinite(x); }))
    return "expected finite weights, as inputs are codes";
  if (in_order(dot) && dot.has_constant("bias") &&
      !holds("bias", [](auto x) { return x != 0 || !std::signbit(x); }))
    return "expected no bias of -0.0, as inputs are codes and sums are sequential";
  return {};
}

const OpDef kDotOp{"dot", exactness, validate, lower, false, nullptr, device_step};

}  // namespace mlcore

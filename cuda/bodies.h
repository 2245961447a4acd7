// What steps do to a row, or to one number of it. Every body is a function of (row, column).
#pragma once

#include <cstdint>

#include "kernels/elements_inl.h"
#include "kernels/link_inl.h"
#include "kernels/row_inl.h"
#include "launch.h"

namespace mlcore::device {

// Where a body reads and writes: column-major, columns `stride` rows apart.
template <class T>
struct Columns {
  T* data;
  int64_t stride;

  MLCORE_BODY T& at(int64_t row, int64_t column) const { return data[column * stride + row]; }
  // One row, by column.
  MLCORE_BODY rows::Strided<T> row(int64_t index) const { return {data + index, stride}; }
};

struct Elements {
  static constexpr int kMost = 12;  // they travel as arguments of the kernel
  Element chain[kMost];
  int count;
  const void* in;
  void* out;
  int64_t stride;
  int64_t first_row;
  int64_t* fault;

  // Rows `row`, `row` + kThreads ...: their numbers are all asked for, then go through the same code in turn.
  MLCORE_BODY void together(int64_t row, int64_t rows, int64_t column) const {
    Number x[kTogether] = {};
    MLCORE_UNROLL for (int k = 0; k < kTogether; ++k) if (row + k * kThreads < rows) x[k] =
        load(in, chain[0].in, column * stride + row + k * kThreads);
    MLCORE_ROLLED for (int k = 0; k < kTogether && row < rows; ++k, row += kThreads) {
      bool refused = false;
      for (int i = 0; i < count; ++i) x[0] = apply_element(chain[i], x[0], column, refused);
      store(out, chain[count - 1].out, column * stride + row, x[0]);
      if (refused) refuse(fault, first_row + row);
      MLCORE_UNROLL for (int next = 1; next < kTogether; ++next) x[next - 1] = x[next];
    }
  }
};

template <class T>
struct Combine {
  Combination function;
  Columns<const T> left, right;
  bool one_right;  // the right has one column for all
  Columns<T> out;

  MLCORE_BODY void operator()(int64_t row, int64_t column) const {
    const T a = left.at(row, column), b = right.at(row, one_right ? 0 : column);
    out.at(row, column) = rows::combine(function, a, b);
  }
};

// Columns by their numbers. T: any type of that size.
template <class T>
struct Select {
  Columns<const T> in;
  const int64_t* indices;
  Columns<T> out;

  MLCORE_BODY void operator()(int64_t row, int64_t column) const {
    out.at(row, column) = in.at(row, indices[column]);
  }
};

template <class T>
struct Copy {
  Columns<const T> in;
  Columns<T> out;

  MLCORE_BODY void operator()(int64_t row, int64_t column) const { out.at(row, column) = in.at(row, column); }
};

template <class T>
struct Broadcast {
  const T* values;
  Columns<T> out;

  MLCORE_BODY void operator()(int64_t row, int64_t column) const { out.at(row, column) = values[column]; }
};

template <class T>
struct OneHot {
  const int32_t* codes;
  int64_t width;
  Columns<T> out;
  int64_t first_row;
  int64_t* fault;

  MLCORE_BODY void operator()(int64_t row, int64_t column) const {
    const int32_t code = codes[row];
    out.at(row, column) = code == column ? T{1} : T{0};
    if (code < -1 || code >= width) refuse(fault, first_row + row);
  }
};

template <class T>
struct Table {
  const int32_t* codes;
  const T* values;  // by column; the default is the entry behind the last
  int64_t entries;
  bool has_default;
  Columns<T> out;
  int64_t first_row;
  int64_t* fault;

  MLCORE_BODY void operator()(int64_t row, int64_t column) const {
    const int64_t code = codes[row];
    const bool known = code >= 0 && code < entries, missing = code == -1 && has_default;
    if (!known && !missing) return refuse(fault, first_row + row);
    out.at(row, column) = values[column * (entries + (has_default ? 1 : 0)) + (known ? code : entries)];
  }
};

template <class T>
struct Encode {
  const T* in;
  const uint64_t* keys;
  const int32_t* codes;
  int64_t count, unknown, missing;
  int32_t* out;
  int64_t first_row;
  int64_t* fault;

  MLCORE_BODY void operator()(int64_t row, int64_t) const {
    const T x = in[row];
    int64_t code = missing;
    if (x == x) {
      const uint64_t key = rows::category_key(x);
      const int64_t at = edges::partition_point(keys, count, [=](uint64_t other) { return other < key; });
      code = at < count && keys[at] == key ? codes[at] : unknown;
    }
    if (code == kRefuse) return refuse(fault, first_row + row);
    out[row] = static_cast<int32_t>(code);
  }
};

template <class T>
struct Argmax {
  Columns<const T> in;
  int64_t width;
  int64_t* out;

  MLCORE_BODY void operator()(int64_t row, int64_t) const { out[row] = rows::argmax<T>(in.row(row), width); }
};

template <class T>
struct Complement {
  const T* in;
  Columns<T> out;

  MLCORE_BODY void operator()(int64_t row, int64_t) const {
    out.at(row, 0) = T{1} - in[row];
    out.at(row, 1) = in[row];
  }
};

// Inputs of a step that reads several blocks.
template <class T>
struct Inputs {
  const T* data[kMaxInputs];
};

struct Vote {
  Inputs<int64_t> votes;
  int64_t inputs, classes;
  const double* weights;
  int64_t* out;
  int64_t first_row;
  int64_t* fault;

  MLCORE_BODY void operator()(int64_t row, int64_t) const {
    int64_t highest = -1;
    for (int64_t i = 0; i < inputs; ++i) {
      const int64_t vote = votes.data[i][row];
      if (vote < 0 || vote >= classes) return refuse(fault, first_row + row);
      highest = vote > highest ? vote : highest;
    }
    // one class after the other, as there is no memory for their counts: the sums take their votes in order
    int64_t best = 0;
    double most = 0;
    for (int64_t candidate = 0; candidate <= highest; ++candidate) {
      double count = 0;
      for (int64_t i = 0; i < inputs; ++i)
        if (votes.data[i][row] == candidate) count += weights[i];
      if (candidate == 0 || count > most) {
        best = candidate;
        most = count;
      }
    }
    out[row] = best;
  }
};

template <class T>
struct SoftmaxRow {
  Softmax function;
  Columns<const T> in;
  int64_t width;
  Columns<T> out;

  MLCORE_BODY void operator()(int64_t row, int64_t) const {
    for (int64_t i = 0; i < width; ++i) out.at(row, i) = in.at(row, i);
    if constexpr (std::is_same_v<T, float>) {
      if (function == Softmax::xgboost) return links::xgb_softmax(out.row(row), width);
    } else {
      if (function == Softmax::lightgbm) return links::lgb_softmax(out.row(row), width);
    }
    links::sk_softmax<T>(out.row(row), width);
  }
};

template <class T>
struct Poly {
  Columns<const T> in;
  const int64_t* factors;
  const int64_t* products;  // prefix, begin, end of each
  int64_t count;
  Columns<T> out;

  MLCORE_BODY void operator()(int64_t row, int64_t) const {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t prefix = products[3 * i], end = products[3 * i + 2];
      int64_t at = products[3 * i + 1];
      T x = prefix >= 0 ? out.at(row, prefix) : at < end ? in.at(row, factors[at++]) : T{1};
      for (; at < end; ++at) x = x * in.at(row, factors[at]);
      out.at(row, i) = x;
    }
  }
};

template <class T>
struct Normalize {
  Norm norm;
  Columns<const T> in;
  int64_t width;
  Columns<T> out;

  MLCORE_BODY void operator()(int64_t row, int64_t) const {
    const T scale = rows::norm<T>(norm, in.row(row), width);
    for (int64_t i = 0; i < width; ++i) out.at(row, i) = in.at(row, i) / scale;
  }
};

template <class T>
struct RowNormalize {
  ZeroRows zero;
  bool pairwise;
  Columns<const T> in;
  int64_t width;
  Columns<T> out;

  MLCORE_BODY void operator()(int64_t row, int64_t) const {
    const auto x = in.row(row);
    T sum = pairwise ? rows::sum_pairwise<T>(x, width) : rows::sum_sequential<T>(x, width);
    if (zero == ZeroRows::keep && sum == T{0}) sum = T{1};
    const bool uniform = zero == ZeroRows::uniform && sum == T{0};
    const T share = T{1} / static_cast<T>(width);
    for (int64_t i = 0; i < width; ++i) out.at(row, i) = uniform ? share : x[i] / sum;
  }
};

template <class T>
struct WeightedSum {
  Inputs<T> in;
  int64_t inputs;
  const T* weights;
  bool divides;
  T divisor;
  Columns<T> out;

  MLCORE_BODY void operator()(int64_t row, int64_t column) const {
    T sum{0};  // NumPy's sums start at 0.0, so that -0.0 alone gives 0.0
    for (int64_t i = 0; i < inputs; ++i) sum += in.data[i][column * out.stride + row] * weights[i];
    out.at(row, column) = divides ? sum / divisor : sum;
  }
};

// One output of a row; the features of all inputs, in order.
template <class T>
struct Dot {
  Inputs<void> in;
  int64_t stride;
  const DotPiece* pieces;
  int64_t count, features;
  const T* weights;
  const T* bias;  // null: none
  DotOrder order;
  bool skip;
  int64_t first_row;
  int64_t* fault;
  Columns<T> out;

  struct Feature {
    const Dot& dot;
    int64_t row;
    // Of one piece: is it a number, and which.
    MLCORE_BODY T number(const DotPiece& piece, int64_t i) const {
      if (piece.codes == 0)
        return static_cast<const T*>(dot.in.data[piece.input])[(piece.column + i) * dot.stride + row];
      return static_cast<const int32_t*>(dot.in.data[piece.input])[row] == piece.column + i ? T{1} : T{0};
    }
  };

  MLCORE_BODY void operator()(int64_t row, int64_t column) const {
    const Feature feature{*this, row};
    const T* weight = weights + column * features;
    if (order == DotOrder::sequential) {
      T sum = bias != nullptr ? bias[column] : T{0};
      each_feature(feature, [&](int64_t f, T x, bool code) {
        if (code) {
          if (x != T{0}) sum += weight[f];
        } else {
          const T next = sum + x * weight[f];
          sum = skip && x != x ? sum : next;
        }
      });
      out.at(row, column) = sum;
      return;
    }
    double sum = 0, products[kDotGroup] = {};
    each_feature(feature, [&](int64_t f, T x, bool) {
      products[f % kDotGroup] = rows::product(skip, x, static_cast<double>(weight[f]));
      if (f % kDotGroup == kDotGroup - 1 || f == features - 1) {
        for (int64_t k = f % kDotGroup + 1; k < kDotGroup; ++k) products[k] = 0;
        sum += rows::sum_of_group(products);
      }
    });
    if (bias != nullptr) sum += static_cast<double>(bias[column]);
    out.at(row, column) = static_cast<T>(sum);
  }

  // Of codes only those groups that hold a one, or that other pieces share: the others' sums are zero.
  template <class F>
  MLCORE_BODY void each_feature(const Feature& feature, const F& f) const {
    for (int64_t p = 0; p < count; ++p) {
      const DotPiece& piece = pieces[p];
      const auto range = [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          f(piece.feature + i, feature.number(piece, i), piece.codes != 0);
      };
      if (piece.codes == 0) {
        range(0, piece.count);
        continue;
      }
      const int32_t code = static_cast<const int32_t*>(in.data[piece.input])[feature.row];
      if (code < -1 || code >= piece.count) refuse(fault, first_row + feature.row);
      const int64_t to_group = (kDotGroup - piece.feature % kDotGroup) % kDotGroup;
      const int64_t head = to_group < piece.count ? to_group : piece.count;
      const int64_t tail = head + (piece.count - head) / kDotGroup * kDotGroup;
      range(0, head);
      if (code >= head && code < tail) {
        const int64_t group = head + (code - head) / kDotGroup * kDotGroup;
        range(group, group + kDotGroup);
      }
      range(tail, piece.count);
    }
  }
};

}  // namespace mlcore::device

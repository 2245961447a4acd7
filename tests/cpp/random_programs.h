// Random programs, mostly correct and a little wrong, and a table for them.
#pragma once

#include <algorithm>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "op_samples.h"
#include "runtime/plan.h"

namespace samples {

class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  int64_t below(int64_t count) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(count)); }
  bool one_in(int64_t count) { return below(count) == 0; }

  template <class T>
  T of(std::initializer_list<T> values) {
    return values.begin()[below(static_cast<int64_t>(values.size()))];
  }

  // now and then something no op expects
  int64_t integer(int64_t usual) {
    if (!one_in(12)) return usual;
    return of<int64_t>({-2, -1, 0, 1, usual + 1, usual - 1, 1 << 20, int64_t{1} << 32,
                        std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()});
  }

  double number() {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    switch (below(4)) {
      case 0: return of({0.0, -0.0, 1.0, -1.0, 0.5, 5e-324, 1e308, -1e308, kInfinity, -kInfinity});
      case 1: return one_in(4) ? std::numeric_limits<double>::quiet_NaN() : 3.0;
      default: return static_cast<double>(below(2001) - 1000) / 64;
    }
  }

 private:
  std::mt19937_64 engine_;
};

// Schema: two float64, a float32, an int64 and two strings; values depend on column and row only.
inline const std::vector<Kind> kKinds{Kind::float64, Kind::float64, Kind::float32,
                                      Kind::int64,   Kind::string,  Kind::string};

class Table final : public Source {
 public:
  explicit Table(int64_t first_row) : first_row_(first_row) {}

  void read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const override {
    for (int64_t row = 0; row < n; ++row) {
      Dice dice(static_cast<uint64_t>((first_row_ + first + row) * 31 + column));
      dice.below(2);
      switch (dtype) {
        case DType::f64: static_cast<double*>(out)[row] = dice.number(); break;
        case DType::f32: static_cast<float*>(out)[row] = static_cast<float>(dice.number()); break;
        case DType::i64: static_cast<int64_t*>(out)[row] = dice.integer(dice.below(4)); break;
        default:
          static_cast<StringRef*>(out)[row] = dice.of<StringRef>(
              {{"red", 3}, {"red", 2}, {"", 0}, {nullptr, kNull}, {nullptr, kNone}, {nullptr, kNaN}});
      }
    }
  }

 private:
  int64_t first_row_;
};

class Generator {
 public:
  explicit Generator(uint64_t seed) : dice_(seed) {
    for (size_t i = 0; i < kKinds.size(); ++i)
      program_.schema.push_back({"c" + text(i), {kKinds[i], TimeUnit::nano, {}}, true, true});
    const char* dtypes[] = {"f64", "f64", "f32", "i64", "str", "str"};
    for (size_t i = 0; i < kKinds.size(); ++i) append_column(program_, static_cast<int64_t>(i), dtypes[i]);
    for (size_t i = 0; i < kKinds.size(); ++i) validate_node(program_, i);
  }

  // A program of accepted nodes; `accepted` counts them by op.
  Program make(std::map<std::string, int>& accepted) {
    for (int64_t i = 0; i < 14; ++i) {
      const auto nodes = program_.nodes.size();
      const auto constants = program_.constants.size();
      add();
      try {
        validate_node(program_, nodes);
        ++accepted[program_.nodes.back().op];
      } catch (const Error& error) {
        BOOST_REQUIRE(error.code() == ErrorCode::program);
        program_.nodes.resize(nodes);
        program_.constants.resize(constants);
      }
    }
    for (size_t i = 0; i < program_.nodes.size(); ++i) {
      OutputSpec out = output(static_cast<int32_t>(i), "object");
      out.method = "m" + text(i);
      program_.outputs.push_back(out);
    }
    return program_;
  }

 private:
  int32_t any() {
    return static_cast<int32_t>(dice_.integer(dice_.below(static_cast<int64_t>(program_.nodes.size()))) &
                                0x7fffffff);
  }

  // mostly an earlier value of one of the types
  int32_t some(std::initializer_list<DType> types, int64_t width = 0) {
    for (int tries = 0; tries < 30 && !dice_.one_in(40); ++tries) {
      const int64_t id = dice_.below(static_cast<int64_t>(program_.nodes.size()));
      const ValueType type = program_.nodes[static_cast<size_t>(id)].type;
      if (std::find(types.begin(), types.end(), type.dtype) != types.end() &&
          (width == 0 || type.width == width))
        return static_cast<int32_t>(id);
    }
    return any();
  }

  ValueType type_of(int32_t id) const {
    const auto index = static_cast<size_t>(id);
    return index < program_.nodes.size() ? program_.nodes[index].type : ValueType{DType::f64, 1};
  }

  int64_t size(int64_t usual) { return dice_.one_in(15) ? dice_.below(4) : usual; }

  Constant integers(int64_t count, int64_t limit) {
    std::vector<int64_t> out(static_cast<size_t>(count));
    for (auto& value : out) value = dice_.integer(dice_.below(std::max<int64_t>(limit, 1)));
    return slab(out);
  }

  // ascending from 0 to `total`
  Constant offsets(int64_t parts, int64_t total) {
    std::vector<int64_t> out;
    for (int64_t i = 0; i < parts; ++i) out.push_back(dice_.below(total + 1));
    std::sort(out.begin(), out.end());
    out.insert(out.begin(), 0);
    out.back() = total;
    if (dice_.one_in(10)) out[static_cast<size_t>(dice_.below(parts + 1))] = dice_.integer(total);
    return slab(out);
  }

  template <class T>
  Constant floats(int64_t count, bool sorted, bool nan) {
    std::vector<T> out(static_cast<size_t>(count));
    for (auto& value : out) {
      value = static_cast<T>(dice_.number());
      if (value != value && !nan && !dice_.one_in(20)) value = 2;
    }
    if (sorted && !dice_.one_in(15)) std::sort(out.begin(), out.end());
    return slab(out);
  }

  Constant floats_of(DType dtype, int64_t count, bool sorted = false, bool nan = false) {
    return dtype == DType::f32 ? floats<float>(count, sorted, nan) : floats<double>(count, sorted, nan);
  }

  Constant values_of(ValueType type, int64_t count) {
    if (type.dtype == DType::str) {
      std::vector<std::string_view> out;
      for (int64_t i = 0; i < count; ++i) out.push_back(dice_.of<std::string_view>({"", "red", "blue"}));
      return Constant::strings(out);
    }
    return type.dtype == DType::i64 ? integers(count, 4) : floats_of(type.dtype, count, false, true);
  }

  std::string word(std::initializer_list<const char*> words) {
    return dice_.one_in(40) ? "?" : dice_.of(words);
  }
  int64_t per_column(int64_t width) { return size(dice_.one_in(3) ? 1 : width); }

  void add() {
    const std::initializer_list<DType> kFloat{DType::f64, DType::f32};
    const std::initializer_list<DType> kAny{DType::f64, DType::f32, DType::i64, DType::i32, DType::str};
    const int32_t x = some(kFloat);
    const auto [dtype, width] = type_of(x);
    const auto node = [&](const std::string& op, std::vector<int32_t> inputs, Attributes attributes = {},
                          const Constants& constants = {}) {
      if (dice_.one_in(60)) inputs.push_back(any());
      if (dice_.one_in(60)) attributes["extra"] = true;
      append(program_, op, std::move(inputs), std::move(attributes), constants);
      if (dice_.one_in(40))
        for (auto& [name, index] : program_.nodes.back().constants)
          index = static_cast<int32_t>(dice_.integer(static_cast<int64_t>(program_.constants.size())) &
                                       0x7fffffff);
    };
    switch (dice_.below(26)) {
      case 0:
        return node("cast", {some({DType::f64, DType::f32, DType::i64, DType::i32})},
                    {{"dtype", word({"f64", "f32", "i64"})}});
      case 1: {
        const int32_t first = some(kAny);
        std::vector<int32_t> inputs{first};
        for (int64_t i = dice_.below(4); i > 0; --i) inputs.push_back(some({type_of(first).dtype}));
        return node("concat", inputs);
      }
      case 2: {
        const int32_t block = some(kAny);
        return node("select", {block}, {}, {{"indices", integers(1 + dice_.below(5), type_of(block).width)}});
      }
      case 3:
        return node(
            "check", {some({DType::f64, DType::f32, DType::str})},
            {{"nan", word({"allow", "allow", "forbid"})}, {"inf", word({"allow", "allow", "forbid"})}});
      case 4:
        return node("broadcast", {}, {},
                    {{"value", floats_of(dice_.of({DType::f64, DType::f32}), 1 + dice_.below(3))}});
      case 5:
        return node("arith", {x}, {{"fn", word({"add", "sub", "mul", "div", "rsub", "rdiv"})}},
                    {{"value", floats_of(dice_.one_in(3) ? DType::f64 : dtype, per_column(width))}});
      case 6:
        return node("combine", {x, some({dtype}, dice_.one_in(2) ? 1 : width)},
                    {{"fn", word({"add", "sub", "mul", "div", "min", "max"})}});
      case 7:
        return node(
            "clip", {x}, {},
            {{"lo", floats_of(dtype, per_column(width))}, {"hi", floats_of(dtype, per_column(width))}});
      case 8: return node("binarize", {x}, {}, {{"threshold", floats_of(DType::f64, size(1))}});
      case 25:
        return node("range", {x}, {},
                    {{"low", floats_of(dtype, size(width))},
                     {"high", floats_of(dtype, size(width))},
                     {"missing", slab(std::vector<uint8_t>(static_cast<size_t>(width), 1))}});
      case 9: {
        const int64_t factors = dice_.below(9);
        return node(
            "poly", {x}, {},
            {{"offsets", offsets(1 + dice_.below(6), factors)}, {"factors", integers(factors, width)}});
      }
      case 10: return node("normalize", {x}, {{"norm", word({"l1", "l2", "max"})}});
      case 11:
        return node(
            "row_normalize", {x},
            {{"zero", word({"keep", "uniform", "divide"})}, {"order", word({"sequential", "pairwise"})}});
      case 12: {
        std::vector<int32_t> inputs{x};
        for (int64_t i = dice_.below(4); i > 0; --i) inputs.push_back(some({dtype}, width));
        return node("weighted_sum", inputs, {},
                    {{"weights", slab(std::vector<double>(
                                     static_cast<size_t>(size(static_cast<int64_t>(inputs.size()))), 0.5))}});
      }
      case 13:
      case 14: {
        const int32_t block = some({DType::f64, DType::f32, DType::i64, DType::str});
        const ValueType type = type_of(block);
        const std::string match =
            type.dtype == DType::str ? word({"missing", "none", "nan", "value"}) : word({"missing", "value"});
        Constants constants;
        if (match == "value") constants.emplace_back("match_value", values_of(type, size(1)));
        if (dice_.one_in(2))
          return node("is_missing", {block}, {{"match", match}, {"dtype", word({"f64", "f32", "i64"})}},
                      constants);
        constants.emplace_back("value", values_of(type, size(type.width)));
        return node("fill", {block}, {{"match", match}}, constants);
      }
      case 15: {
        const int64_t edges = dice_.one_in(3) ? 0 : width * 20;
        std::vector<int64_t> places;
        std::vector<double> all;
        for (int64_t i = 0; i <= width; ++i) places.push_back(i * edges / std::max<int64_t>(width, 1));
        for (int64_t i = 0; i < edges; ++i) all.push_back(static_cast<double>(i % 20) - 5);
        return node(
            "bin", {x}, {{"side", word({"left", "right"})}, {"dtype", word({"f64", "f32", "i32", "i32"})}},
            {{"offsets", dice_.one_in(8) ? offsets(width, edges) : slab(places)}, {"edges", slab(all)}});
      }
      case 16:
      case 17: {
        const int32_t block = some({DType::str, DType::i64, DType::f64, DType::f32}, 1);
        const DType keyed = type_of(block).dtype;
        Constants constants;
        if (keyed == DType::str) constants.emplace_back("keys", texts({"red", "", "re"}));
        else if (keyed == DType::i64) constants.emplace_back("keys", slab<int64_t>({0, 1, 2}));
        else constants.emplace_back("keys", slab<double>({0, 1, 3}));
        if (dice_.one_in(3))
          constants.emplace_back("codes", slab<int32_t>({static_cast<int32_t>(dice_.integer(1)), 0, 1}));
        Attributes attributes{{"unknown", word({"code", "code", "error"})}};
        if (dice_.one_in(2)) attributes["null_code"] = dice_.integer(1);
        if (dice_.one_in(3)) attributes["nan_code"] = dice_.integer(2);
        return node("encode", {block}, attributes, constants);
      }
      case 18:
        return node("one_hot", {some({DType::i32}, 1)},
                    {{"width", dice_.integer(3)}, {"dtype", word({"f64", "f32"})}});
      case 19: {
        const ValueType type{dice_.of({DType::f64, DType::f32, DType::i64, DType::str}), 1};
        Constants constants{{"values", values_of(type, size(3))}};
        if (!dice_.one_in(4)) constants.emplace_back("default", values_of(type, size(1)));
        return node("table", {some({DType::i32}, 1)}, {}, constants);
      }
      case 24: return node("guard", {some(kAny), any()});
      case 20: return node("complement", {some(kFloat, 1)});
      case 21: return node("argmax", {x});
      case 22:
        return node("threshold", {x}, {{"compare", word({"gt", "ge"})}},
                    {{"cut", floats_of(dtype, per_column(width))}});
      default: {
        if (dice_.one_in(2)) {
          const int64_t points = size(4);
          return node("interp", {x}, {},
                      {{"x", floats_of(dtype, points, true)}, {"y", floats_of(dtype, points)}});
        }
        std::vector<int32_t> inputs;
        for (int64_t i = dice_.below(4); i >= 0; --i) inputs.push_back(some({DType::i64}, 1));
        return node("vote", inputs, {{"classes", dice_.integer(4)}});
      }
    }
  }

  Dice dice_;
  Program program_;
};

}  // namespace samples

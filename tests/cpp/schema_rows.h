// Tables for any schema: edge values of every type, decided by seed, row and column alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/program.h"
#include "runtime/batch.h"

namespace samples {

// splitmix64
inline uint64_t mixed(uint64_t state) {
  state += 0x9e3779b97f4a7c15;
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
  state = (state ^ (state >> 27)) * 0x94d049bb133111eb;
  return state ^ (state >> 31);
}

class SchemaRows {
 public:
  // The program's own texts are among the values. It must outlive the rows and their batches.
  SchemaRows(const mlcore::Program& program, int64_t rows, uint64_t seed) : program_(program), rows_(rows) {
    for (const mlcore::Constant& constant : program.constants)
      if (constant.type() == mlcore::DType::str)
        for (int64_t i = 0; i < std::min<int64_t>(constant.size(), 100); ++i)
          words_.push_back(constant.string_at(i));
    std::vector<std::string> names;
    for (size_t column = 0; column < program.schema.size(); ++column) {
      names.push_back(program.schema[column].name);
      columns_.push_back(fill(program.schema[column], mixed(seed + column)));
    }
    names_ = std::make_shared<const std::vector<std::string>>(std::move(names));
  }

  // Rows [first, first + count).
  mlcore::Batch batch(int64_t first, int64_t count) const {
    std::vector<mlcore::ColumnView> views;
    for (size_t i = 0; i < columns_.size(); ++i) {
      mlcore::ColumnView view;
      view.storage = columns_[i].layout.storage;
      view.type = program_.schema[i].type;
      view.length = rows_;
      view.stride = static_cast<int64_t>(columns_[i].layout.width);
      view.data = columns_[i].values.data();
      view.kinds = columns_[i].kinds.data();
      views.push_back(mlcore::slice(view, first, count));
    }
    return mlcore::Batch(count, names_, std::move(views), {});
  }

 private:
  struct Layout {
    mlcore::Storage storage;
    size_t width;
  };
  struct Column {
    Layout layout;
    std::vector<std::byte> values;
    std::vector<uint8_t> kinds;
  };

  static Layout layout_of(mlcore::Kind kind) {
    using mlcore::Kind;
    using mlcore::Storage;
    switch (kind) {
      case Kind::boolean: return {Storage::bytes, 1};
      case Kind::int8: return {Storage::int8, 1};
      case Kind::int16: return {Storage::int16, 2};
      case Kind::int32:
      case Kind::date32: return {Storage::int32, 4};
      case Kind::int64:
      case Kind::date64:
      case Kind::timestamp: return {Storage::int64, 8};
      case Kind::uint8: return {Storage::uint8, 1};
      case Kind::uint16: return {Storage::uint16, 2};
      case Kind::uint32: return {Storage::uint32, 4};
      case Kind::uint64: return {Storage::uint64, 8};
      case Kind::float16: return {Storage::float16, 2};
      case Kind::float32: return {Storage::float32, 4};
      case Kind::float64: return {Storage::float64, 8};
      case Kind::string: return {Storage::refs, sizeof(mlcore::StringRef)};
    }
    return {Storage::none, 0};
  }

  template <class T>
  static T number(uint64_t random) {
    using Limits = std::numeric_limits<T>;
    const auto magnitude = static_cast<T>((random >> 8) % 4096) / 64;
    switch (random % 8) {
      case 0: return static_cast<T>(-0.0);
      case 1: return Limits::denorm_min();
      case 2: return Limits::max();
      case 3: return (random >> 8) % 2 == 0 ? Limits::infinity() : -Limits::infinity();
      case 4: return Limits::quiet_NaN();
      case 5: return static_cast<T>((random >> 8) % 10);
      case 6: return -magnitude;
      default: return magnitude;
    }
  }

  mlcore::StringRef text(uint64_t random) const {
    static constexpr std::string_view kPlain[] = {"", "a", "\xc3\xa9", "no such category"};
    const std::string_view found = random % 2 == 0 && !words_.empty()
                                       ? words_[(random >> 8) % words_.size()]
                                       : kPlain[(random >> 8) % std::size(kPlain)];
    return {found.data(), static_cast<int64_t>(found.size())};
  }

  Column fill(const mlcore::ColumnSpec& spec, uint64_t seed) const {
    Column out{layout_of(spec.type.kind), {}, {}};
    const size_t width = out.layout.width;
    out.values.resize(width * static_cast<size_t>(rows_));
    out.kinds.resize(static_cast<size_t>(rows_));
    for (size_t row = 0; row < out.kinds.size(); ++row) {
      const uint64_t random = mixed(seed ^ mixed(row));
      const auto put = [&](auto value) { std::memcpy(out.values.data() + row * width, &value, width); };
      switch (out.layout.storage) {
        case mlcore::Storage::bytes: put(static_cast<uint8_t>(random % 2)); break;
        case mlcore::Storage::float64: put(number<double>(random)); break;
        case mlcore::Storage::float32: put(number<float>(random)); break;
        case mlcore::Storage::refs: put(text(random)); break;
        case mlcore::Storage::float16: put(static_cast<uint16_t>(random)); break;
        // the low bytes of an integer: small counts, the ends of the type's range, anything
        default:
          put(random % 3 == 0 ? (random >> 8) % 10 : random % 3 == 1 ? uint64_t{0} - (random >> 63) : random);
      }
      if (spec.nullable && (random >> 32) % 6 == 0)
        out.kinds[row] = static_cast<uint8_t>(1 + (random >> 40) % 3);
    }
    return out;
  }

  const mlcore::Program& program_;
  int64_t rows_;
  std::vector<std::string_view> words_;
  mlcore::Names names_;
  std::vector<Column> columns_;
};

}  // namespace samples

#include "base/types.h"

#include <array>
#include <utility>

namespace mlcore {
namespace {

constexpr std::array<std::pair<DType, std::string_view>, 7> kDTypes{{
    {DType::f64, "f64"},
    {DType::f32, "f32"},
    {DType::i64, "i64"},
    {DType::i32, "i32"},
    {DType::u32, "u32"},
    {DType::u8, "u8"},
    {DType::str, "str"},
}};

constexpr std::array<std::pair<Kind, std::string_view>, 15> kKinds{{
    {Kind::boolean, "bool"},
    {Kind::int8, "int8"},
    {Kind::int16, "int16"},
    {Kind::int32, "int32"},
    {Kind::int64, "int64"},
    {Kind::uint8, "uint8"},
    {Kind::uint16, "uint16"},
    {Kind::uint32, "uint32"},
    {Kind::uint64, "uint64"},
    {Kind::float16, "float16"},
    {Kind::float32, "float32"},
    {Kind::float64, "float64"},
    {Kind::string, "string"},
    {Kind::date32, "date32"},
    {Kind::date64, "date64"},
}};

constexpr std::array<std::pair<TimeUnit, std::string_view>, 4> kUnits{{
    {TimeUnit::second, "s"},
    {TimeUnit::milli, "ms"},
    {TimeUnit::micro, "us"},
    {TimeUnit::nano, "ns"},
}};

template <class Table, class Key>
std::string_view name_in(const Table& table, Key key) {
  for (const auto& [entry, name] : table)
    if (entry == key) return name;
  return "?";
}

}  // namespace

std::string_view name_of(DType type) { return name_in(kDTypes, type); }

std::optional<DType> dtype_named(std::string_view name) {
  for (const auto& [entry, text] : kDTypes)
    if (text == name) return entry;
  return std::nullopt;
}

std::string name_of(const LogicalType& type) {
  if (type.kind != Kind::timestamp) return std::string(name_in(kKinds, type.kind));
  std::string out = "timestamp[";
  out += name_in(kUnits, type.unit);
  if (!type.timezone.empty()) out += ", " + type.timezone;
  return out + "]";
}

std::optional<LogicalType> logical_type_named(std::string_view name) {
  for (const auto& [kind, text] : kKinds)
    if (text == name) return LogicalType{kind, TimeUnit::nano, {}};
  constexpr std::string_view kPrefix = "timestamp[";
  if (!name.starts_with(kPrefix) || !name.ends_with("]")) return std::nullopt;
  std::string_view inside = name.substr(kPrefix.size(), name.size() - kPrefix.size() - 1);
  std::string_view zone;
  if (const size_t comma = inside.find(", "); comma != std::string_view::npos) {
    zone = inside.substr(comma + 2);
    inside = inside.substr(0, comma);
    if (zone.empty()) return std::nullopt;
  }
  for (const auto& [unit, text] : kUnits)
    if (text == inside) return LogicalType{Kind::timestamp, unit, std::string(zone)};
  return std::nullopt;
}

}  // namespace mlcore

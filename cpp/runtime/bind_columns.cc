// Matching a table's columns to a schema, with every disagreement in one message.
#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "base/status.h"
#include "runtime/decode.h"

namespace mlcore {
namespace {

constexpr size_t kListed = 50;  // problems spelled out; a table of another schema may have thousands

bool same_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

std::string missing_column(const ColumnSpec& spec, std::span<const std::string> names) {
  std::string out =
      "column " + quoted(spec.name) + ": expected " + name_of(spec.type) + " but found no such column";
  for (const std::string& name : names)
    if (same_ignoring_case(name, spec.name)) return out + " (the table has " + quoted(name) + ")";
  return out;
}

}  // namespace

std::string list_problems(std::string_view subject, const std::vector<std::string>& problems) {
  if (problems.size() == 1) return problems.front();
  std::string out = "the " + std::string(subject) +
                    " does not fit the model's columns: " + text(problems.size()) + " problems";
  for (size_t i = 0; i < std::min(problems.size(), kListed); ++i)
    out += "\n  " + text(i + 1) + ". " + problems[i];
  if (problems.size() > kListed) out += "\n  and " + text(problems.size() - kListed) + " more";
  return out;
}

std::vector<int32_t> bind_columns(const std::vector<ColumnSpec>& schema, const std::vector<bool>& used,
                                  const Batch& batch) {
  const std::span<const std::string> names = batch.names();
  std::vector<int32_t> bound(schema.size(), -1);
  std::vector<std::string> problems;

  const bool in_order =
      std::equal(schema.begin(), schema.end(), names.begin(), names.end(),
                 [](const ColumnSpec& spec, const std::string& name) { return spec.name == name; });
  if (in_order) {
    for (size_t i = 0; i < schema.size(); ++i) bound[i] = static_cast<int32_t>(i);
  } else {
    std::unordered_map<std::string_view, size_t> expected;
    for (size_t i = 0; i < schema.size(); ++i) expected.emplace(schema[i].name, i);
    std::unordered_map<std::string_view, int64_t> seen;
    for (const std::string& name : names) ++seen[name];
    for (size_t i = 0; i < names.size(); ++i) {
      const auto found = expected.find(names[i]);
      if (found == expected.end()) {
        if (int64_t& count = seen[names[i]]; count > 0) {
          problems.push_back("column " + quoted(names[i]) + ": expected no column of this name but found " +
                             found_type(batch.column(i)));
          count = 0;
        }
      } else {
        bound[found->second] = static_cast<int32_t>(i);
      }
    }
    for (size_t i = 0; i < schema.size(); ++i) {
      if (bound[i] < 0) {
        if (used[i]) problems.push_back(missing_column(schema[i], names));
      } else if (const int64_t count = seen[schema[i].name]; count > 1) {
        problems.push_back("column " + quoted(schema[i].name) +
                           ": expected one column of this name but found " + text(count));
      }
    }
  }
  for (size_t i = 0; i < schema.size(); ++i) {
    if (bound[i] < 0 || !used[i]) continue;
    const ColumnView& found = batch.column(static_cast<size_t>(bound[i]));
    if (!accepts(schema[i], found))
      problems.push_back("column " + quoted(schema[i].name) + ": expected " + name_of(schema[i].type) +
                         (schema[i].nullable ? "" : " without missing values") + " but found " +
                         found_type(found));
  }
  if (!problems.empty()) fail(ErrorCode::input, list_problems("table", problems));
  return bound;
}

}  // namespace mlcore

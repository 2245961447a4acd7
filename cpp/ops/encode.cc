// encode: from a value to the code of its category.
#include <algorithm>
#include <bit>
#include <limits>
#include <optional>
#include <span>

#include <boost/container_hash/hash.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include "kernels/row_inl.h"
#include "kernels/string_map.h"
#include "ops/all_ops.h"
#include "ops/device_step.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

DType key_type(const NodeReader& reader) {
  const DType block = reader.input(0).dtype;
  return block == DType::f32 ? DType::f64 : block;
}

// An attribute that is a code: -1 (no category) or more.
int32_t code_attribute(const NodeReader& reader, std::string_view name, int64_t fallback) {
  const int64_t code = reader.integer_or(name, fallback);
  reader.expect(code >= -1 && code <= std::numeric_limits<int32_t>::max(), "expected attribute '", name,
                "' from -1 to 2147483647 but found ", code);
  return static_cast<int32_t>(code);
}

// What a value without a key becomes; no code: it is refused.
struct Fallbacks {
  std::optional<int32_t> unknown;
  std::optional<int32_t> missing[3];  // by MissingKind

  explicit Fallbacks(const NodeReader& reader) {
    if (reader.choice("unknown", {"code", "error"}) == "code")
      unknown = code_attribute(reader, "unknown_code", -1);
    const auto code_or = [&](std::string_view name, std::optional<int32_t> otherwise) {
      return reader.has_attribute(name) ? std::optional(code_attribute(reader, name, -1)) : otherwise;
    };
    missing[kNull] = code_or("null_code", std::nullopt);
    const auto other = reader.flag_or("by_kind", false) ? std::nullopt : missing[kNull];
    missing[kNone] = code_or("none_code", other);
    missing[kNaN] = code_or("nan_code", other);
    for (auto& code : missing)
      if (!code) code = unknown;
  }
};

ValueType validate_encode(const NodeReader& reader) {
  reader.expect_inputs(1);
  reader.expect_dtype(0, {DType::str, DType::i64, DType::f64, DType::f32});
  reader.expect(reader.input(0).width == 1, "expected an input of width 1 but found ", reader.input(0).width);
  const Fallbacks fallbacks(reader);
  const Constant& keys = reader.constant("keys", key_type(reader));
  reader.expect(keys.size() <= std::numeric_limits<int32_t>::max(),
                "expected fewer than 2^31 keys but found ", keys.size());
  expect_no_nan(reader, "keys", keys);
  if (reader.has_constant("codes"))
    for (int32_t code : reader.constant("codes", DType::i32, keys.size()).as<int32_t>())
      reader.expect(code >= -1, "expected codes from -1 but found ", code);
  return {DType::i32, 1};
}

std::optional<MissingKind> missing_kind(double value) {
  return value != value ? std::optional(kNaN) : std::nullopt;
}
std::optional<MissingKind> missing_kind(int64_t) { return std::nullopt; }
std::optional<MissingKind> missing_kind(const StringRef& value) {
  if (value.data) return std::nullopt;
  return value.size == kNone ? kNone : value.size == kNaN ? kNaN : kNull;
}

std::string shown(double value) { return text(value); }
std::string shown(float value) { return text(value); }
std::string shown(int64_t value) { return text(value); }
std::string shown(const StringRef& value) { return quoted({value.data, static_cast<size_t>(value.size)}); }

std::string shown(MissingKind kind) {
  return kind == kNone  ? "a missing value (None)"
         : kind == kNaN ? "a missing value (NaN)"
                        : "a missing value (null)";
}

std::string expectation(const Constant& keys) {
  return "one of the " + text(keys.size()) + " known categories";
}

std::span<const int32_t> codes_of(const NodeReader& reader) {
  if (!reader.has_constant("codes")) return {};
  return reader.constant("codes", DType::i32).as<int32_t>();
}

template <class T>
class NumberEncodeStep final : public Step {
 public:
  explicit NumberEncodeStep(const NodeReader& reader)
      : blame_(reader), keys_(reader.constant("keys", key_type(reader))), fallbacks_(reader) {
    const auto keys = keys_.as<Stored>();
    const auto codes = codes_of(reader);
    map_.reserve(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto code = codes.empty() ? static_cast<int32_t>(i) : codes[i];
      const bool fresh = map_.try_emplace(rows::category_key(keys[i]), code).second;
      reader.expect(fresh, "expected distinct keys but found ", shown(keys[i]), " twice");
    }
  }

  void run(const StepArgs& args) const override {
    const auto* from = args.inputs[0].column<T>(0);
    auto* to = args.output.column<int32_t>(0);
    for (int64_t row = 0; row < args.output.rows; ++row) {
      std::optional<int32_t> code;
      const auto kind = missing_kind(from[row]);
      if (kind) {
        code = fallbacks_.missing[*kind];
      } else {
        const auto found = map_.find(rows::category_key(from[row]));
        code = found != map_.end() ? std::optional(found->second) : fallbacks_.unknown;
      }
      if (!code) [[unlikely]]
        blame_.refuse(expectation(keys_), 0, kind ? shown(*kind) : shown(from[row]), args.first_row + row);
      to[row] = *code;
    }
  }

 private:
  using Stored = std::conditional_t<std::is_same_v<T, float>, double, T>;

  Blame blame_;
  Constant keys_;
  Fallbacks fallbacks_;
  boost::unordered_flat_map<uint64_t, int32_t, boost::hash<uint64_t>> map_;
};

class TextEncodeStep final : public Step, public TextEncoder {
 public:
  explicit TextEncodeStep(const NodeReader& reader)
      : blame_(reader),
        keys_(reader.constant("keys", DType::str)),
        fallbacks_(reader),
        map_(keys_.string_offsets(), keys_.characters(), codes_of(reader)) {
    if (map_.repeated())
      reader.expect(false, "expected distinct keys but found ", quoted(keys_.string_at(*map_.repeated())),
                    " twice");
  }

  void run(const StepArgs& args) const override {
    const auto* from = args.inputs[0].column<StringRef>(0);
    auto* to = args.output.column<int32_t>(0);
    for (int64_t at = 0; at < args.output.rows; at += StringMap::kGroup) {
      uint32_t absent =
          map_.find_group(from + at, std::min(StringMap::kGroup, args.output.rows - at), to + at);
      for (; absent != 0; absent &= absent - 1) {
        const int64_t row = at + std::countr_zero(absent);
        to[row] = code_without_key(from[row], args.first_row + row);
      }
    }
  }

  const TextEncoder* text_encoder() const override { return this; }

  void find(std::span<const StringRef> values, int32_t* codes) const override {
    map_.find(values.data(), static_cast<int64_t>(values.size()), codes);
  }

  void run_translated(const StepArgs& args, std::span<const StringRef> entries,
                      std::span<const int32_t> codes) const override {
    const auto* from = args.inputs[0].column<int32_t>(0);
    auto* to = args.output.column<int32_t>(0);
    for (int64_t row = 0; row < args.output.rows; ++row) {
      const int32_t entry = from[row];
      to[row] = entry >= 0 ? codes[static_cast<size_t>(entry)] : StringMap::kAbsent;
      if (to[row] == StringMap::kAbsent) [[unlikely]]
        to[row] =
            code_without_key(entry >= 0 ? entries[static_cast<size_t>(entry)] : StringRef{nullptr, ~entry},
                             args.first_row + row);
    }
  }

 private:
  // Of an unknown or missing value; throws where the step refuses it.
  int32_t code_without_key(const StringRef& value, int64_t row) const {
    const auto kind = missing_kind(value);
    const auto code = kind ? fallbacks_.missing[*kind] : fallbacks_.unknown;
    if (!code) [[unlikely]]
      blame_.refuse(expectation(keys_), 0, kind ? shown(*kind) : shown(value), row);
    return *code;
  }

  Blame blame_;
  Constant keys_;  // owns the text of the map's keys
  Fallbacks fallbacks_;
  StringMap map_;
};

std::unique_ptr<Step> lower_encode(const NodeReader& reader) {
  switch (reader.input(0).dtype) {
    case DType::str: return std::make_unique<TextEncodeStep>(reader);
    case DType::i64: return std::make_unique<NumberEncodeStep<int64_t>>(reader);
    case DType::f32: return std::make_unique<NumberEncodeStep<float>>(reader);
    default: return std::make_unique<NumberEncodeStep<double>>(reader);
  }
}

DeviceStepPtr encode_device(const NodeReader& reader) {
  if (reader.input(0).dtype == DType::str) return nullptr;
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::encode);
  const Constant& keys = reader.constant("keys", key_type(reader));
  const auto codes = codes_of(reader);
  std::vector<std::pair<uint64_t, int32_t>> entries;
  for (size_t i = 0; i < static_cast<size_t>(keys.size()); ++i)
    entries.emplace_back(keys.type() == DType::i64 ? rows::category_key(keys.as<int64_t>()[i])
                                                   : rows::category_key(keys.as<double>()[i]),
                         codes.empty() ? static_cast<int32_t>(i) : codes[i]);
  std::ranges::sort(entries);
  std::vector<uint64_t> sorted;
  std::vector<int32_t> sorted_codes;
  for (const auto& [key, code] : entries) {
    sorted.push_back(key);
    sorted_codes.push_back(code);
  }
  step->add(std::move(sorted), DType::i64);
  step->add(std::move(sorted_codes), DType::i32);
  const Fallbacks fallbacks(reader);
  step->spec().integer = fallbacks.unknown ? *fallbacks.unknown : device::kRefuse;
  step->spec().missing = fallbacks.missing[kNaN] ? *fallbacks.missing[kNaN] : device::kRefuse;
  return step;
}

}  // namespace

constinit const OpDef kEncodeOp{"encode", always_exact, validate_encode, lower_encode,
                                false,    nullptr,      encode_device};

}  // namespace mlcore

#include "ir/program.h"

#include <cstring>
#include <new>
#include <utility>

#include "base/utf8.h"

namespace mlcore {
namespace {

constexpr std::align_val_t kAlignment{64};
constexpr size_t kMaxRank = 8;

struct AlignedDelete {
  void operator()(const std::byte* data) const {
    ::operator delete[](const_cast<std::byte*>(data), kAlignment);
  }
};

std::shared_ptr<const std::byte[]> aligned_copy(std::span<const std::byte> bytes) {
  if (bytes.empty()) return nullptr;
  auto* data = static_cast<std::byte*>(::operator new[](bytes.size(), kAlignment));
  std::memcpy(data, bytes.data(), bytes.size());
  return std::shared_ptr<const std::byte[]>(data, AlignedDelete{});
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + text(shape[i]);
  return out + "]";
}

int64_t element_count(const std::vector<int64_t>& shape) {
  require(shape.size() <= kMaxRank, ErrorCode::program, "constant: expected at most ", kMaxRank,
          " dimensions but found ", shape.size());
  int64_t count = 1;
  int64_t extent = 1;  // as count, with empty dimensions counted as 1: no partial product may overflow either
  for (int64_t dimension : shape) {
    require(dimension >= 0, ErrorCode::program, "constant: expected dimensions >= 0 but found shape ",
            shape_text(shape));
    const int64_t at_least_one = dimension == 0 ? 1 : dimension;
    // 2^56 elements of 8 bytes still fit an int64 byte count.
    require(extent <= (int64_t{1} << 56) / at_least_one, ErrorCode::program,
            "constant: expected a shape of fewer than 2^56 elements but found ", shape_text(shape));
    extent *= at_least_one;
    count *= dimension;
  }
  return count;
}

int64_t offset_at(std::span<const std::byte> bytes, size_t index) {
  int64_t value;
  std::memcpy(&value, bytes.data() + index * sizeof(int64_t), sizeof value);
  return value;
}

void check_strings(std::span<const std::byte> bytes, int64_t count) {
  const size_t entries = static_cast<size_t>(count) + 1;
  require(bytes.size() / sizeof(int64_t) >= entries, ErrorCode::program, "constant: expected ", entries,
          " string offsets but found ", bytes.size(), " bytes");
  const auto payload = bytes.subspan(entries * sizeof(int64_t));
  const char* characters = reinterpret_cast<const char*>(payload.data());
  require(offset_at(bytes, 0) == 0, ErrorCode::program,
          "constant: expected the first string offset to be 0 but found ", offset_at(bytes, 0));
  int64_t begin = 0;
  for (size_t i = 1; i < entries; ++i) {
    const int64_t end = offset_at(bytes, i);
    require(end >= begin && static_cast<size_t>(end) <= payload.size(), ErrorCode::program,
            "constant: expected string offset ", i, " between ", begin, " and ", payload.size(),
            " but found ", end);
    require(is_utf8({characters + begin, static_cast<size_t>(end - begin)}), ErrorCode::program,
            "constant: expected UTF-8 but string ", i - 1, " holds other bytes");
    begin = end;
  }
  require(static_cast<size_t>(begin) == payload.size(), ErrorCode::program, "constant: expected ", begin,
          " bytes of text but found ", payload.size());
}

}  // namespace

Constant::Constant(DType type, std::vector<int64_t> shape, std::span<const std::byte> bytes)
    : type_(type), shape_(std::move(shape)), size_(element_count(shape_)), byte_size_(bytes.size()) {
  if (type == DType::str) {
    check_strings(bytes, size_);
  } else {
    const size_t expected = static_cast<size_t>(size_) * size_of(type);
    require(bytes.size() == expected, ErrorCode::program, "constant: expected ", expected, " bytes for ",
            name_of(type), " ", shape_text(shape_), " but found ", bytes.size());
  }
  data_ = aligned_copy(bytes);
}

Constant Constant::strings(std::span<const std::string_view> values) {
  std::vector<int64_t> offsets{0};
  offsets.reserve(values.size() + 1);
  size_t total = 0;
  for (std::string_view value : values) offsets.push_back(static_cast<int64_t>(total += value.size()));
  const size_t head = offsets.size() * sizeof(int64_t);
  std::vector<std::byte> bytes(head + total);
  std::memcpy(bytes.data(), offsets.data(), head);
  std::byte* out = bytes.data() + head;
  for (std::string_view value : values) {
    if (!value.empty()) std::memcpy(out, value.data(), value.size());
    out += value.size();
  }
  return {DType::str, {static_cast<int64_t>(values.size())}, bytes};
}

std::string_view Constant::string_at(int64_t index) const {
  const auto offsets = string_offsets().subspan(static_cast<size_t>(index), 2);
  return {characters() + offsets[0], static_cast<size_t>(offsets[1] - offsets[0])};
}

std::vector<bool> Program::ancestors(std::span<const int32_t> values) const {
  std::vector<bool> out(nodes.size());
  for (int32_t value : values) out[static_cast<size_t>(value)] = true;
  for (size_t i = nodes.size(); i-- > 0;)
    if (out[i])
      for (int32_t input : nodes[i].inputs) out[static_cast<size_t>(input)] = true;
  return out;
}

const Constant& Program::constant(const Node& node, std::string_view name) const {
  // std::map<std::string, ...> has no heterogeneous lookup without a transparent comparator.
  const auto found = node.constants.find(std::string(name));
  require(found != node.constants.end(), ErrorCode::program, "op '", node.op, "' of step ", quoted(node.path),
          ": expected constant '", name, "' but found none");
  const auto index = static_cast<size_t>(found->second);
  require(found->second >= 0 && index < constants.size(), ErrorCode::program, "op '", node.op, "' of step ",
          quoted(node.path), ": expected constant '", name, "' to be one of ", constants.size(),
          " slabs but found index ", found->second);
  return constants[index];
}

}  // namespace mlcore

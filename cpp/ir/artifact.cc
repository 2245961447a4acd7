#include "ir/artifact.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "base/file.h"
#include "base/sha256.h"
#include "ir/header.h"
#include "ir/structure.h"

namespace mlcore {
namespace {

static_assert(std::endian::native == std::endian::little, "slabs are used as they lie in the file");

constexpr size_t kLengthBytes = 8;
constexpr size_t kDigestBytes = sizeof(Sha256);
constexpr size_t kMaxHeader = size_t{16} << 20;
constexpr size_t kSmallest = kAlignment + kDigestBytes;
// Memory of a decoded program beside the content of its slabs, once nothing of the parser is left.
constexpr size_t kProgramMemory = size_t{56} << 20;
constexpr size_t kNameMemory = 40;  // what a name takes as a std::string beyond its bytes in the file

constexpr size_t aligned(size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string hex(std::span<const std::byte> bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (std::byte value : bytes) {
    const auto number = std::to_integer<size_t>(value);
    out += {kHex[number >> 4], kHex[number & 15]};
  }
  return out;
}

template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  fail(ErrorCode::artifact, parts...);
}

uint64_t read_length(std::span<const std::byte> bytes) {
  uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof length);
  return length;
}

// What can be said of a file from its first kProbe bytes, before any memory is spent on it.
void check_head(std::span<const std::byte> head, size_t size) {
  if (size == 0) refuse("expected an mlcore artifact but found an empty file");
  const std::string_view start = as_text(head.subspan(std::min(head.size(), kLengthBytes)));
  if (!start.starts_with(kHeaderStart)) refuse("expected an mlcore artifact but found other content");
  const uint64_t length = read_length(head);
  if (length > kMaxHeader)
    refuse("expected a header of at most ", kMaxHeader, " bytes but found one of ", std::to_string(length));
  if (size < kSmallest || length > size - kLengthBytes - kDigestBytes)
    refuse("expected a header of ", static_cast<size_t>(length), " bytes but the file ends after ", size,
           "; it is damaged or incomplete");
  if ((kLengthBytes + length) % kAlignment != 0)
    refuse("expected a header that ends at a multiple of ", kAlignment, " bytes but found ",
           kLengthBytes + length);
}

// Every slab where the one before ends, nothing between and behind them but zeros up to the alignment.
void check_layout(const std::vector<Slab>& slabs, std::span<const std::byte> data) {
  size_t at = 0;
  for (size_t i = 0; i < slabs.size(); ++i) {
    const Slab& slab = slabs[i];
    if (slab.offset < 0 || static_cast<size_t>(slab.offset) != at)
      refuse("slab ", i, ": expected offset ", at, " but found ", slab.offset);
    if (slab.bytes < 0 || static_cast<size_t>(slab.bytes) > data.size() - at)
      refuse("slab ", i, ": expected at most ", data.size() - at, " bytes but found ", slab.bytes);
    const size_t end = at + static_cast<size_t>(slab.bytes);
    at = aligned(end);
    if (at > data.size())
      refuse("slab ", i, ": expected zeros up to byte ", at, " but the data ends at ", data.size());
    for (size_t k = end; k < at; ++k)
      if (data[k] != std::byte{0}) refuse("slab ", i, ": expected zeros behind it but found another byte");
  }
  if (at != data.size()) refuse("expected ", at, " bytes of data but found ", data.size());
}

std::vector<std::string> names_of(const Slab& slab, std::span<const std::byte> content, size_t& memory) {
  // No more names than offsets: the table itself is checked below, this only bounds what it may cost.
  memory += kNameMemory * std::min(content.size() / sizeof(int64_t), static_cast<size_t>(slab.shape[0]));
  if (memory > kProgramMemory)
    refuse("expected names that fit in ", kProgramMemory, " bytes of memory with the header but found more");
  const Constant table(slab.type, slab.shape, content);
  std::vector<std::string> out;
  out.reserve(static_cast<size_t>(table.size()));
  for (int64_t i = 0; i < table.size(); ++i) out.emplace_back(table.string_at(i));
  return out;
}

Program decode(std::span<const std::byte> bytes) {
  check_head(bytes.first(std::min(bytes.size(), kProbe)), bytes.size());
  const auto signed_bytes = bytes.first(bytes.size() - kDigestBytes);
  const auto stored = bytes.last(kDigestBytes);
  const Sha256 digest = sha256(signed_bytes);
  if (!std::ranges::equal(stored, digest))
    refuse("expected SHA-256 ", hex(stored), " as the file says but its content has ", hex(digest),
           "; it is damaged or incomplete");

  const size_t header_end = kLengthBytes + static_cast<size_t>(read_length(bytes));
  Header header = read_header(as_text(signed_bytes.first(header_end).subspan(kLengthBytes)));
  const auto data = signed_bytes.subspan(header_end);
  check_layout(header.slabs, data);

  Program program = std::move(header.program);
  const size_t constants = header.slabs.size() - program.outputs.size();
  program.constants.reserve(constants);
  for (size_t i = 0; i < header.slabs.size(); ++i) {
    const Slab& slab = header.slabs[i];
    const auto content = data.subspan(static_cast<size_t>(slab.offset), static_cast<size_t>(slab.bytes));
    if (i < constants) program.constants.emplace_back(slab.type, slab.shape, content);
    else program.outputs[i - constants].names = names_of(slab, content, header.memory);
  }
  check_structure(program);
  return program;
}

// The same text under another code: the one thing that differs is whose fault it is.
template <class Run>
auto with_code(ErrorCode from, ErrorCode to, std::string_view prefix, const Run& run) {
  try {
    return run();
  } catch (const Error& error) {
    if (error.code() != from && error.code() != to) throw;
    fail(to, prefix, error.what());
  }
}

std::vector<std::byte> encode(const Program& program) {
  check_structure(program);
  std::vector<Constant> names;
  for (const OutputSpec& output : program.outputs) {
    const std::vector<std::string_view> views(output.names.begin(), output.names.end());
    names.push_back(Constant::strings(views));
  }
  std::vector<const Constant*> contents;
  for (const Constant& constant : program.constants) contents.push_back(&constant);
  for (const Constant& constant : names) contents.push_back(&constant);

  std::vector<Slab> slabs;
  size_t data_size = 0;
  for (const Constant* constant : contents) {
    const size_t size = constant->bytes().size();
    slabs.push_back(
        {constant->type(), constant->shape(), static_cast<int64_t>(data_size), static_cast<int64_t>(size)});
    data_size = aligned(data_size + size);
  }
  std::string header = header_text(program, slabs);
  const size_t header_end = aligned(kLengthBytes + header.size());
  header.resize(header_end - kLengthBytes, ' ');
  require(header.size() <= kMaxHeader, ErrorCode::artifact, "expected a header of at most ", kMaxHeader,
          " bytes but it takes ", header.size());
  size_t memory = read_header(header).memory;  // a reader's limits hold, so what is saved can be loaded
  for (const Constant& constant : names) memory += kNameMemory * static_cast<size_t>(constant.size());
  require(memory <= kProgramMemory, ErrorCode::artifact, "expected names that fit in ", kProgramMemory,
          " bytes of memory with the header but they take ", memory);

  std::vector<std::byte> out(header_end + data_size + kDigestBytes);
  const uint64_t length = header.size();
  std::memcpy(out.data(), &length, kLengthBytes);
  std::memcpy(out.data() + kLengthBytes, header.data(), header.size());
  for (size_t i = 0; i < slabs.size(); ++i) {
    const auto content = contents[i]->bytes();
    if (!content.empty())
      std::memcpy(out.data() + header_end + slabs[i].offset, content.data(), content.size());
  }
  const Sha256 digest = sha256(std::span(out).first(out.size() - kDigestBytes));
  std::memcpy(out.data() + out.size() - kDigestBytes, digest.data(), kDigestBytes);
  return out;
}

}  // namespace

std::vector<std::byte> encode_artifact(const Program& program) {
  return with_code(ErrorCode::artifact, ErrorCode::program,
                   "cannot write this program: ", [&] { return encode(program); });
}

Program decode_artifact(std::span<const std::byte> bytes) {
  return with_code(ErrorCode::program, ErrorCode::artifact, "", [&] { return decode(bytes); });
}

void save_artifact(const Program& program, const std::string& path) {
  save_bytes(encode_artifact(program), path);
}

void save_bytes(std::span<const std::byte> bytes, const std::string& path) { replace_file(bytes, path); }

Program load_artifact(const std::string& path) {
  const auto named = [&](const auto& run) {
    return with_code(ErrorCode::artifact, ErrorCode::artifact, "cannot load " + quoted_path(path) + ": ",
                     run);
  };
  const FileBytes file = read_file(
      path, [&](std::span<const std::byte> head, size_t size) { named([&] { check_head(head, size); }); });
  return named([&] { return decode_artifact(file.span()); });
}

std::string digest_of(std::span<const std::byte> bytes) { return hex(sha256(bytes)); }

}  // namespace mlcore

// Any bytes as an artifact: refused with an error, or a model that runs without a finding of the sanitizers,
// gives the same bytes by row and in a batch, and encodes to the bytes it was read from.
//
// Inputs are resealed, so that the digest does not hide what is behind it; that a digest which does not fit
// is refused is checked on the way.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/sha256.h"
#include "ir/artifact.h"
#include "runtime/model.h"
#include "schema_rows.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using namespace mlcore;
using Bytes = std::vector<std::byte>;

constexpr size_t kDigest = sizeof(Sha256);
constexpr size_t kLength = 8;
constexpr size_t kAlignment = 64;
constexpr int64_t kRows = 5;
constexpr size_t kMaxResult = size_t{16} << 20;  // bytes of an output that is worth computing

[[noreturn]] void report(const char* finding) {
  std::fprintf(stderr, "finding: %s\n", finding);
  std::abort();
}

void expect(bool condition, const char* finding) {
  if (!condition) report(finding);
}

std::shared_ptr<const Model> load(std::span<const std::byte> bytes) {
  try {
    return Model::from_bytes(bytes);
  } catch (const Error& error) {
    expect(error.code() == ErrorCode::artifact, "a file was refused as something else than a bad artifact");
    return nullptr;
  }
}

bool has_fitting_digest(std::span<const std::byte> bytes) {
  if (bytes.size() < kDigest) return false;
  const Sha256 digest = sha256(bytes.first(bytes.size() - kDigest));
  return std::memcmp(digest.data(), bytes.data() + bytes.size() - kDigest, kDigest) == 0;
}

void reseal(std::span<std::byte> bytes) {
  if (bytes.size() < kDigest) return;
  const Sha256 digest = sha256(bytes.first(bytes.size() - kDigest));
  std::memcpy(bytes.data() + bytes.size() - kDigest, digest.data(), kDigest);
}

struct Run {
  bool refused;
  Bytes bytes;
};

Run run(const Model& model, int32_t output, const Batch& batch, size_t row_bytes, Workspace& workspace) {
  Run out{false, Bytes(row_bytes * static_cast<size_t>(batch.rows()))};
  void* const destination = out.bytes.data();
  try {
    model.run(batch, std::span(&output, 1), std::span(&destination, 1), workspace);
  } catch (const Error& error) {
    // ErrorCode::program: a code beyond its table or one-hot, which no front end gives and each row is
    // checked for
    expect(error.code() == ErrorCode::input || error.code() == ErrorCode::program,
           "a row was refused as something else than bad input or a bad program");
    out.refused = true;
  }
  return out;
}

// By content: the references of a text block point wherever the model keeps its texts, the same for every
// run.
void check_runs(const Model& model, uint64_t seed) {
  const Program& program = model.program();
  const samples::SchemaRows rows(program, kRows, seed);
  Workspace workspace;
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    const ValueType type = program.nodes[static_cast<size_t>(program.outputs[i].value)].type;
    const size_t row_bytes = size_of(type.dtype) * static_cast<size_t>(type.width);
    if (row_bytes * kRows > kMaxResult) continue;
    const auto output = static_cast<int32_t>(i);
    const Run whole = run(model, output, rows.batch(0, kRows), row_bytes, workspace);
    bool refused = false;
    for (int64_t row = 0; row < kRows; ++row) {
      const Run one = run(model, output, rows.batch(row, 1), row_bytes, workspace);
      refused = refused || one.refused;
      if (!whole.refused && !one.refused && row_bytes > 0)
        expect(std::memcmp(one.bytes.data(), whole.bytes.data() + static_cast<size_t>(row) * row_bytes,
                           row_bytes) == 0,
               "a row alone gave other bytes than in a batch");
    }
    expect(refused == whole.refused, "a batch was refused but no row of it, or the other way round");
  }
}

// -- mutations that keep the outer form
// ---------------------------------------------------------------------------

struct Parts {
  std::string header;
  Bytes data;
};

bool split(std::span<const std::byte> bytes, Parts& out) {
  uint64_t length;
  if (bytes.size() < kLength + kDigest) return false;
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > bytes.size() - kLength - kDigest) return false;
  out.header.assign(reinterpret_cast<const char*>(bytes.data()) + kLength, length);
  out.header.resize(out.header.find_last_not_of(' ') + 1);
  const auto data = bytes.subspan(kLength + length, bytes.size() - kLength - length - kDigest);
  out.data.assign(data.begin(), data.end());
  return true;
}

Bytes join(Parts parts) {
  while ((kLength + parts.header.size()) % kAlignment != 0) parts.header += ' ';
  const uint64_t length = parts.header.size();
  Bytes out(kLength + parts.header.size() + parts.data.size() + kDigest);
  std::memcpy(out.data(), &length, sizeof length);
  std::memcpy(out.data() + kLength, parts.header.data(), parts.header.size());
  if (!parts.data.empty())
    std::memcpy(out.data() + kLength + parts.header.size(), parts.data.data(), parts.data.size());
  reseal(out);
  return out;
}

struct Place {
  size_t first;
  size_t size;
};

// Where the header has a number, a quoted text or a flat object.
std::vector<Place> places(const std::string& header, char kind) {
  std::vector<Place> out;
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || c == '-'; };
  for (size_t at = 0; at < header.size(); ++at) {
    size_t end = at;
    if (kind == '0' && is_digit(header[at]) &&
        (at == 0 || header[at - 1] == ':' || header[at - 1] == ',' || header[at - 1] == '[')) {
      while (end < header.size() && is_digit(header[end])) ++end;
    } else if (kind == '"' && header[at] == '"') {
      end = header.find('"', at + 1);
      end = end == std::string::npos ? at : end + 1;
    } else if (kind == '{' && header[at] == '{') {
      end = header.find_first_of("{}", at + 1);
      end = end == std::string::npos || header[end] == '{' ? at : end + 1;
    }
    if (end > at) {
      out.push_back({at, end - at});
      at = end - 1;
    }
  }
  return out;
}

void mutate_header(std::string& header, std::mt19937_64& random) {
  const char kind = "0\"{"[random() % 3];
  const std::vector<Place> found = places(header, kind);
  if (found.empty()) return;
  const auto any = [&] { return found[random() % found.size()]; };
  const Place to = any();
  const Place from = any();
  std::string replacement = header.substr(from.first, from.size);
  if (kind == '0' && random() % 2 == 0) {
    static constexpr const char* kNumbers[] = {"0",        "1",          "-1",         "2",
                                               "16777216", "2147483647", "4294967296", "9223372036854775807"};
    replacement = kNumbers[random() % std::size(kNumbers)];
  }
  if (kind == '{' && random() % 2 == 0) replacement += "," + header.substr(to.first, to.size);
  header.replace(to.first, to.size, replacement);
}

void mutate_data(Bytes& data, std::mt19937_64& random) {
  if (data.empty()) return;
  const size_t width = random() % 2 == 0 ? 4 : 8;
  const size_t at = random() % data.size() / width * width;
  const size_t size = std::min(width, data.size() - at);
  LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(data.data()) + at, size, size);
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  std::mt19937_64 random(seed);
  Parts parts;
  if (random() % 10 == 0 || !split(std::as_bytes(std::span(data, size)), parts))
    return LLVMFuzzerMutate(data, size, max_size);
  for (uint64_t i = 0; i <= random() % 3; ++i) {
    if (random() % 2 == 0) {
      mutate_data(parts.data, random);
    } else if (random() % 8 != 0) {
      mutate_header(parts.header, random);
    } else {
      std::string& header = parts.header;
      const size_t text_size = header.size();
      header.resize(text_size + 64);
      header.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(header.data()), text_size, header.size()));
    }
  }
  const Bytes out = join(std::move(parts));
  if (out.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, out.data(), out.size());
  return out.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto given = std::as_bytes(std::span(data, size));
  if (!has_fitting_digest(given)) expect(load(given) == nullptr, "a digest that does not fit was accepted");
  Bytes bytes(given.begin(), given.end());
  reseal(bytes);
  const auto model = load(bytes);
  if (!model) return 0;
  expect(encode_artifact(model->program()) == bytes, "a file was accepted that no writer writes");
  check_runs(*model, size);
  return 0;
}

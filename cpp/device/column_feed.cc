#include "device/column_feed.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/status.h"
#include "base/utf8.h"
#include "device/chunk.h"
#include "ops/op.h"
#include "runtime/warm_workspace.h"

namespace mlcore {
namespace {

// The program's part that these of its outputs need.
Program part_of(const Program& program, std::span<const int32_t> outputs) {
  std::vector<int32_t> values;
  for (int32_t output : outputs) values.push_back(program.outputs[static_cast<size_t>(output)].value);
  const std::vector<bool> needed = program.ancestors(values);
  Program out;
  out.schema = program.schema;
  out.constants = program.constants;
  std::vector<int32_t> moved(program.nodes.size(), -1);
  for (size_t i = 0; i < needed.size(); ++i) {
    if (!needed[i]) continue;
    Node node = program.nodes[i];
    for (int32_t& input : node.inputs) input = moved[static_cast<size_t>(input)];
    moved[i] = static_cast<int32_t>(out.nodes.size());
    out.nodes.push_back(std::move(node));
  }
  for (int32_t output : outputs) {
    OutputSpec spec = program.outputs[static_cast<size_t>(output)];
    spec.value = moved[static_cast<size_t>(spec.value)];
    out.outputs.push_back(std::move(spec));
  }
  return out;
}

// Steps that tell texts apart by comparing them with constants, and know nothing else of them.
bool only_compares(std::string_view op) {
  constexpr std::string_view kSuch[] = {"column", "fill",   "is_missing", "check",
                                        "encode", "select", "concat",     "guard"};
  return std::ranges::find(kSuch, op) != std::end(kSuch);
}

}  // namespace

// The map of the known texts, and what they, any other text and none at all become; both on the device.
struct ColumnFeed::Text {
  explicit Text(const OpenDevice& on) : device(on) {}
  ~Text() {
    if (map != nullptr) device.library->free_text_map(device.device, map);
    if (tables != nullptr) device.library->release(device.device, tables);
  }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;

  const OpenDevice& device;
  int64_t entries = 0;
  device::TextMap* map = nullptr;  // null: there can be none
  void* tables = nullptr;
};

ColumnFeed::ColumnFeed(const Cut& cut, int32_t column, std::vector<int32_t> crossings,
                       const OpenDevice& device)
    : cut_(cut), column_(column), crossings_(std::move(crossings)), device_(device) {}

ColumnFeed::~ColumnFeed() = default;

const Model& ColumnFeed::model() const {
  std::call_once(model_once_, [this] { model_ = std::make_unique<Model>(part_of(cut_.feed, crossings_)); });
  return *model_;
}

size_t ColumnFeed::value_bytes(size_t index) const {
  const ValueType type = cut_.crossings[static_cast<size_t>(crossings_[index])].type;
  return size_of(type.dtype) * static_cast<size_t>(type.width);
}

// Of each crossing the values of all entries and of the missing, and a byte for each that says whether it is
// refused.
size_t ColumnFeed::bytes(int64_t entries) const {
  size_t out = 0;
  for (size_t i = 0; i < crossings_.size(); ++i)
    out += align_up(value_bytes(i) * static_cast<size_t>(entries + 1)) +
           align_up(static_cast<size_t>(entries + 1));
  return out;
}

device::Entries ColumnFeed::entries(int32_t crossing, int64_t count, const std::byte* tables) const {
  device::Entries out;
  out.count = count;
  for (size_t i = 0; i < crossings_.size(); ++i) {
    const std::byte* const refused = tables + align_up(value_bytes(i) * static_cast<size_t>(count + 1));
    if (crossings_[i] == crossing) {
      out.values = tables;
      out.refused = reinterpret_cast<const uint8_t*>(refused);
      return out;
    }
    tables = refused + align_up(static_cast<size_t>(count + 1));
  }
  fail(ErrorCode::program, "expected a crossing of this column but found ", crossing);
}

void ColumnFeed::fill(const ColumnView& dictionary, std::byte* to) const {
  const int64_t count = dictionary.length;
  std::vector<int64_t> indices(static_cast<size_t>(count + 1));
  std::iota(indices.begin(), indices.end() - 1, int64_t{0});
  std::vector<uint8_t> missing(indices.size());
  missing.back() = 1;
  ColumnView view;
  view.storage = Storage::int64;
  view.type = dictionary.type;
  view.length = count + 1;
  view.stride = sizeof(int64_t);
  view.data = indices.data();
  view.mask = missing.data();
  view.dictionary = &dictionary;
  const std::string& name = cut_.feed.schema[static_cast<size_t>(column_)].name;
  const Batch batch(count + 1, std::make_shared<const std::vector<std::string>>(1, name), {view}, {});
  for (size_t i = 0; i < crossings_.size(); ++i) {
    std::byte* const refused = to + align_up(value_bytes(i) * static_cast<size_t>(count + 1));
    std::memset(refused, 0, static_cast<size_t>(count + 1));
    fill_rows(batch, static_cast<int32_t>(i), to, refused);
    to = refused + align_up(static_cast<size_t>(count + 1));
  }
}

// All rows at once, or, where some are refused, each half by itself.
void ColumnFeed::fill_rows(const Batch& batch, int32_t output, std::byte* values, std::byte* refused) const {
  const int32_t outputs[] = {output};
  void* const destinations[] = {values};
  try {
    const WarmWorkspace workspace;
    model().run(batch, outputs, destinations, *workspace);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::input) throw;
    const int64_t rows = batch.rows(), half = rows / 2;
    if (rows == 1) {
      *refused = std::byte{1};
      return;
    }
    const auto names =
        std::make_shared<const std::vector<std::string>>(batch.names().begin(), batch.names().end());
    const auto part = [&](int64_t first, int64_t count) {
      const Batch some(count, names, {slice(batch.column(0), first, count)}, {});
      fill_rows(some, output, values + value_bytes(static_cast<size_t>(output)) * static_cast<size_t>(first),
                refused + first);
    };
    part(0, half);
    part(half, rows - half);
  }
}

// Every text that some step compares with, each once; empty where a step does more.
std::optional<std::vector<std::string_view>> ColumnFeed::known_texts() const {
  const Program& program = model().program();
  std::vector<std::string_view> out;
  for (const Node& node : program.nodes) {
    const bool reads_text = std::ranges::any_of(node.inputs, [&](int32_t input) {
      return program.nodes[static_cast<size_t>(input)].type.dtype == DType::str;
    });
    if (!reads_text && node.type.dtype != DType::str) continue;
    if (!only_compares(node.op)) return std::nullopt;
    for (const auto& [name, index] : node.constants) {
      const Constant& constant = program.constants[static_cast<size_t>(index)];
      if (constant.type() != DType::str) continue;
      for (int64_t i = 0; i < constant.size(); ++i)
        if (is_utf8(constant.string_at(i))) out.push_back(constant.string_at(i));  // no value is another
    }
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::unique_ptr<ColumnFeed::Text> ColumnFeed::build_text() const {
  auto out = std::make_unique<Text>(device_);
  const auto known = known_texts();
  if (!known) return out;
  std::string other = "another text";
  while (std::ranges::binary_search(*known, other)) other += '.';
  std::vector<StringRef> entries;
  std::vector<int64_t> offsets{0};
  std::string bytes;
  for (std::string_view text : *known) {
    entries.push_back({text.empty() ? "" : text.data(), static_cast<int64_t>(text.size())});
    bytes += text;
    offsets.push_back(static_cast<int64_t>(bytes.size()));
  }
  entries.push_back({other.data(), static_cast<int64_t>(other.size())});
  ColumnView dictionary;
  dictionary.storage = Storage::refs;
  dictionary.type.kind = Kind::string;
  dictionary.length = out->entries = static_cast<int64_t>(entries.size());
  dictionary.stride = sizeof(StringRef);
  dictionary.data = entries.data();
  std::vector<std::byte> tables(this->bytes(out->entries));
  fill(dictionary, tables.data());
  const device::Library& library = *device_.library;
  device_.check(library.allocate(device_.device, tables.size(), &out->tables));
  device_.check(library.copy(device_.device, out->tables, tables.data(), tables.size(), nullptr));
  device_.check(library.wait(device_.device, nullptr));
  device_.check(library.build_text_map(device_.device, offsets.data(), bytes.data(),
                                       static_cast<int64_t>(known->size()), &out->map));
  return out;
}

std::optional<device::Entries> ColumnFeed::text_entries(int32_t crossing) const {
  const std::scoped_lock lock(mutex_);
  if (!text_) text_ = build_text();
  if (text_->map == nullptr) return std::nullopt;
  device::Entries out = entries(crossing, text_->entries, static_cast<const std::byte*>(text_->tables));
  out.map = text_->map;
  return out;
}

}  // namespace mlcore

#include <algorithm>
#include <boost/json/parser.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <new>
#include <utility>

#include "ir/artifact.h"
#include "ir/header.h"

namespace mlcore {
namespace {

namespace json = boost::json;

// The format nests 4 deep.
constexpr size_t kMaxDepth = 8;
// Attributes or constants of a node, entries of the provenance.
constexpr size_t kMaxMembers = 256;
// What one element of the header may take while it is parsed, and all of them once they are read; these bound
// a header that is all braces and commas, so that a load keeps the promise of artifact.h.
constexpr size_t kParseMemory = size_t{16} << 20;
constexpr size_t kHeaderMemory = size_t{40} << 20;
// Rough cost of a heap block or a map node beside its content.
constexpr size_t kBlock = 16;
constexpr size_t kMapNode = 64;

// Memory for one element. What is freed is not counted back: Boost gives back keys under another size.
class BoundedMemory final : public boost::container::pmr::memory_resource {
 private:
  void* do_allocate(size_t bytes, size_t alignment) override {
    require(bytes <= left_ && kBlock <= left_ - bytes && alignment <= alignof(std::max_align_t),
            ErrorCode::artifact, "header: expected an element that fits in ", kParseMemory,
            " bytes of memory but found a larger one");
    left_ -= bytes + kBlock;
    return ::operator new(bytes);
  }
  void do_deallocate(void* memory, size_t, size_t) override { ::operator delete(memory); }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  size_t left_ = kParseMemory;
};

// The element of the header that is being read, for messages.
struct Place {
  std::string_view section;
  int64_t index = -1;

  std::string text() const {
    std::string out = "header, " + std::string(section);
    return index < 0 ? out : out + "[" + mlcore::text(index) + "]";
  }
};

template <class... Parts>
void expect(bool condition, const Place& place, const Parts&... parts) {
  if (!condition) fail(ErrorCode::artifact, place.text(), ": expected ", parts...);
}

std::string_view kind_name(const json::value& value) {
  const auto name = json::to_string(value.kind());
  return {name.data(), name.size()};
}

std::string read_text(const json::value& value, const Place& place, std::string_view key) {
  expect(value.is_string(), place, "a string as '", key, "' but found ", kind_name(value));
  const json::string& held = value.get_string();
  return {held.data(), held.size()};
}

bool read_flag(const json::value& value, const Place& place, std::string_view key) {
  expect(value.is_bool(), place, "true or false as '", key, "' but found ", kind_name(value));
  return value.get_bool();
}

int64_t read_integer(const json::value& value, const Place& place, std::string_view key) {
  expect(value.is_int64(), place, "a 64-bit integer as '", key, "' but found ", kind_name(value));
  return value.get_int64();
}

int32_t read_id(const json::value& value, const Place& place, std::string_view key) {
  const int64_t found = read_integer(value, place, key);
  expect(found >= -1 && found <= std::numeric_limits<int32_t>::max(), place, "an index as '", key,
         "' but found ", found);
  return static_cast<int32_t>(found);
}

const json::array& read_array(const json::value& value, const Place& place, std::string_view key) {
  expect(value.is_array(), place, "an array as '", key, "' but found ", kind_name(value));
  return value.get_array();
}

const json::object& read_object(const json::value& value, const Place& place, std::string_view key) {
  expect(value.is_object(), place, "an object as '", key, "' but found ", kind_name(value));
  return value.get_object();
}

// An object with keys of the file's own choice.
const json::object& read_map(const json::value& value, const Place& place, std::string_view key) {
  const json::object& object = read_object(value, place, key);
  expect(object.size() <= kMaxMembers, place, "at most ", kMaxMembers, " entries in '", key, "' but found ",
         object.size());
  return object;
}

// An object that has exactly these keys.
class Members {
 public:
  Members(const json::value& value, const Place& place, std::initializer_list<std::string_view> keys)
      : object_(read_object(value, place, place.section)), place_(place) {
    for (std::string_view key : keys)
      expect(object_.contains(key), place, "key '", key, "' but it is missing");
    for (const auto& member : object_) {
      const std::string_view key(member.key().data(), member.key().size());
      expect(std::find(keys.begin(), keys.end(), key) != keys.end(), place,
             "no key beyond the format's but found ", quoted(key));
    }
  }

  const json::value& at(std::string_view key) const { return *object_.if_contains(key); }
  std::string text(std::string_view key) const { return read_text(at(key), place_, key); }
  bool flag(std::string_view key) const { return read_flag(at(key), place_, key); }
  int64_t integer(std::string_view key) const { return read_integer(at(key), place_, key); }
  int32_t id(std::string_view key) const { return read_id(at(key), place_, key); }
  std::vector<int32_t> ids(std::string_view key) const {
    const json::array& values = read_array(at(key), place_, key);
    std::vector<int32_t> out;
    out.reserve(values.size());
    for (const json::value& value : values) out.push_back(read_id(value, place_, key));
    return out;
  }

 private:
  const json::object& object_;
  const Place& place_;
};

Attribute read_attribute(const json::value& value, const Place& place, std::string_view key) {
  if (value.is_bool()) return value.get_bool();
  if (value.is_int64()) return value.get_int64();
  expect(value.is_string(), place, "a bool, 64-bit integer or string as attribute ", quoted(key),
         " but found ", kind_name(value));
  return read_text(value, place, key);
}

ColumnSpec read_column(const json::value& value, const Place& place) {
  const Members members(value, place, {"name", "type", "nullable", "distinguishes_missing"});
  const std::string type = members.text("type");
  const auto logical = logical_type_named(type);
  expect(logical.has_value(), place, "a column type but found ", quoted(type));
  return {members.text("name"), *logical, members.flag("nullable"), members.flag("distinguishes_missing")};
}

Node read_node(const json::value& value, const Place& place) {
  const Members members(value, place, {"op", "path", "inputs", "attributes", "constants"});
  Node node;
  node.op = members.text("op");
  node.path = members.text("path");
  node.inputs = members.ids("inputs");
  for (const auto& member : read_map(members.at("attributes"), place, "attributes")) {
    std::string key(member.key().data(), member.key().size());
    Attribute attribute = read_attribute(member.value(), place, key);
    node.attributes.emplace(std::move(key), std::move(attribute));
  }
  for (const auto& member : read_map(members.at("constants"), place, "constants")) {
    std::string key(member.key().data(), member.key().size());
    const int32_t index = read_id(member.value(), place, key);
    node.constants.emplace(std::move(key), index);
  }
  return node;
}

Slab read_slab(const json::value& value, const Place& place) {
  const Members members(value, place, {"dtype", "shape", "offset", "bytes"});
  Slab slab;
  const std::string dtype = members.text("dtype");
  const auto type = dtype_named(dtype);
  expect(type.has_value(), place, "an element type but found ", quoted(dtype));
  slab.type = *type;
  const json::array& shape = read_array(members.at("shape"), place, "shape");
  slab.shape.reserve(shape.size());
  for (const json::value& dimension : shape) slab.shape.push_back(read_integer(dimension, place, "shape"));
  slab.offset = members.integer("offset");
  slab.bytes = members.integer("bytes");
  return slab;
}

struct NamedOutput {
  OutputSpec output;
  int32_t names = -1;
};

NamedOutput read_output(const json::value& value, const Place& place) {
  const Members members(value, place, {"method", "index", "value", "dtype", "vector", "names", "labels"});
  OutputSpec output;
  output.method = members.text("method");
  output.index = members.id("index");
  output.value = members.id("value");
  output.dtype = members.text("dtype");
  output.vector = members.flag("vector");
  output.labels = members.id("labels");
  return {std::move(output), members.id("names")};
}

GoldenRows read_golden(const json::value& value, const Place& place) {
  const Members members(value, place, {"rows", "columns", "missing", "expected"});
  return {members.integer("rows"), members.ids("columns"), members.ids("missing"), members.ids("expected")};
}

std::map<std::string, std::string> read_texts(const json::value& value, const Place& place) {
  std::map<std::string, std::string> out;
  for (const auto& member : read_map(value, place, place.section)) {
    std::string key(member.key().data(), member.key().size());
    std::string held = read_text(member.value(), place, quoted(key));
    out.emplace(std::move(key), std::move(held));
  }
  return out;
}

size_t memory_of(const std::string& value) { return value.capacity() > 15 ? value.capacity() + kBlock : 0; }
template <class T>
size_t memory_of(const std::vector<T>& values) {
  return values.capacity() * sizeof(T) + kBlock;
}
size_t memory_of(const ColumnSpec& column) {
  return sizeof column + memory_of(column.name) + memory_of(column.type.timezone);
}
size_t memory_of(const Node& node) {
  size_t total = sizeof node + memory_of(node.op) + memory_of(node.path) + memory_of(node.inputs);
  for (const auto& [key, value] : node.attributes) {
    const auto* held = std::get_if<std::string>(&value);
    total += kMapNode + sizeof key + sizeof value + memory_of(key) + (held ? memory_of(*held) : 0);
  }
  for (const auto& [key, index] : node.constants)
    total += kMapNode + sizeof key + sizeof index + memory_of(key);
  return total;
}
// A constant takes about as much again, beside its bytes.
size_t memory_of(const Slab& slab) {
  return sizeof slab + sizeof(Constant) + 2 * memory_of(slab.shape) + kMapNode;
}
size_t memory_of(const NamedOutput& item) {
  return sizeof item.output + memory_of(item.output.method) + memory_of(item.output.dtype);
}

// Walks the text once. Its frame is fixed, so only one element at a time goes through the JSON parser; each
// is written again from what was understood and must give the same bytes, which leaves no second spelling.
class Walk {
 public:
  explicit Walk(std::string_view text) : text_(text) {}

  Header run() {
    Header header;
    literal(kHeaderStart);
    check_version();
    section<ColumnSpec>(",\"schema\":", "schema", header.program.schema, read_column);
    section<Node>(",\"nodes\":", "nodes", header.program.nodes, read_node);
    section<Slab>(",\"constants\":", "constants", header.slabs, read_slab);
    std::vector<NamedOutput> outputs;
    section<NamedOutput>(",\"outputs\":", "outputs", outputs, read_output);
    literal(",\"golden\":");
    header.program.golden = element<GoldenRows>({"golden"}, read_golden);
    literal(",\"provenance\":");
    header.program.provenance = element<std::map<std::string, std::string>>({"provenance"}, read_texts);
    literal("}");
    const size_t spaces = std::min(text_.find_first_not_of(' ', at_), text_.size());
    expect(spaces == text_.size() && spaces - at_ < kAlignment, {"end"},
           "only spaces up to the alignment but found more at byte ", std::min(spaces, at_ + kAlignment));
    adopt(header, std::move(outputs));
    header.memory = header_memory_;
    return header;
  }

 private:
  void literal(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected)
      fail(ErrorCode::artifact, "header: expected ", quoted(expected), " at byte ", at_, " but found ",
           quoted(text_.substr(at_, expected.size())));
    at_ += expected.size();
  }

  bool accept(char expected) {
    if (at_ >= text_.size() || text_[at_] != expected) return false;
    ++at_;
    return true;
  }

  json::value parse(const Place& place, BoundedMemory& memory) {
    json::parse_options options;
    options.max_depth = kMaxDepth;
    options.numbers = json::number_precision::precise;
    json::parser parser(&memory, options);
    parser.reset(&memory);
    boost::system::error_code error;
    const size_t used = parser.write_some(text_.data() + at_, text_.size() - at_, error);
    if (error)
      fail(ErrorCode::artifact, place.text(), ": expected JSON but found an error at byte ", at_ + used, ": ",
           error.message());
    at_ += used;
    return parser.release();
  }

  void check_version() {
    const size_t begin = at_;
    const size_t end = std::min(text_.find_first_not_of("0123456789", begin), text_.size());
    const std::string_view digits = text_.substr(begin, end - begin);
    if (digits != text(kArtifactVersion))
      fail(ErrorCode::artifact, "expected format version ", kArtifactVersion, " but found version ",
           quoted(digits),
           digits.size() > 1 || digits > text(kArtifactVersion)
               ? "; a newer mlcore wrote this file, please update"
               : "");
    at_ = end;
  }

  template <class T>
  T element(const Place& place, T (*read)(const json::value&, const Place&)) {
    const size_t begin = at_;
    BoundedMemory memory;
    T item = read(parse(place, memory), place);
    std::string again;
    append_again(again, item);
    const std::string_view found = text_.substr(begin, at_ - begin);
    if (again != found) {
      const auto [left, right] = std::mismatch(again.begin(), again.end(), found.begin(), found.end());
      const auto offset = static_cast<size_t>(left - again.begin());
      fail(ErrorCode::artifact, place.text(), ": expected the one spelling ",
           quoted(again.substr(offset, 24)), " at byte ", begin + offset, " but found ",
           quoted(found.substr(offset, 24)));
    }
    return item;
  }

  template <class T>
  void section(std::string_view head, std::string_view name, std::vector<T>& out,
               T (*read)(const json::value&, const Place&)) {
    literal(head);
    literal("[");
    if (accept(']')) return;
    do {
      T item = element<T>({name, static_cast<int64_t>(out.size())}, read);
      header_memory_ += memory_of(item) + sizeof item + sizeof item / 4;
      if (header_memory_ > kHeaderMemory)
        fail(ErrorCode::artifact, "header: expected content that fits in ", kHeaderMemory,
             " bytes of memory but found more");
      // by a quarter: while it grows, old and new are in memory
      if (out.size() == out.capacity()) out.reserve(out.size() + out.size() / 4 + 16);
      out.push_back(std::move(item));
    } while (accept(','));
    literal("]");
  }

  template <class T>
  static void append_again(std::string& out, const T& item) {
    append_json(out, item);
  }
  static void append_again(std::string& out, const NamedOutput& item) {
    append_json(out, item.output, static_cast<size_t>(item.names));
  }

  // The name tables come last, in the order of the outputs.
  static void adopt(Header& header, std::vector<NamedOutput> outputs) {
    const Place place{"outputs"};
    expect(header.slabs.size() >= outputs.size(), place, "a name table for each of ", outputs.size(),
           " outputs but found ", header.slabs.size(), " slabs");
    const size_t first = header.slabs.size() - outputs.size();
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Place item{"outputs", static_cast<int64_t>(i)};
      expect(outputs[i].names >= 0 && static_cast<size_t>(outputs[i].names) == first + i, item, "slab ",
             first + i, " as 'names' but found ", outputs[i].names);
      const Slab& names = header.slabs[first + i];
      expect(names.type == DType::str && names.shape.size() == 1, item,
             "a list of strings as 'names' but found ", name_of(names.type), " with ", names.shape.size(),
             " dimensions");
      header.program.outputs.push_back(std::move(outputs[i].output));
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t header_memory_ = 0;
};

}  // namespace

Header read_header(std::string_view text) { return Walk(text).run(); }

}  // namespace mlcore

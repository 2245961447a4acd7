#include "server/json.h"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse_options.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cmath>
#include <limits>

#include "base/release.h"
#include "base/status.h"
#include "server/http.h"

namespace mlcore::server {
namespace {

constexpr size_t kKeptBytes = size_t{1} << 20;
constexpr size_t kMaxValues = size_t{1} << 22;  // of a document: 100 MB of tape
constexpr uint32_t kFewMembers = 8;             // whose keys are compared with each other

// The keys of an object, whose members begin at `tape[at + 1]`, are all different.
bool has_a_key_twice(const std::vector<JsonValue>& tape, uint32_t at,
                     boost::unordered_flat_set<std::string_view>& seen) {
  const uint32_t count = tape[at].size;
  if (count < 2) return false;
  std::string_view few[kFewMembers];
  if (count > kFewMembers) seen.clear();
  uint32_t key = at + 1;
  for (uint32_t i = 0; i < count; ++i) {
    const std::string_view name = tape[key].text();
    if (count > kFewMembers) {
      if (!seen.insert(name).second) return true;
    } else {
      if (std::find(few, few + i, name) != few + i) return true;
      few[i] = name;
    }
    key = tape[key + 1].after;
  }
  return false;
}

}  // namespace

std::string_view name_of(JsonKind kind) {
  switch (kind) {
    case JsonKind::null: return "null";
    case JsonKind::boolean: return "a boolean";
    case JsonKind::integer:
    case JsonKind::unsigned_integer: return "an integer";
    case JsonKind::number: return "a number";
    case JsonKind::string: return "a string";
    case JsonKind::array: return "a list";
    case JsonKind::object: break;
  }
  return "an object";
}

struct Json::Parser {
  // What Boost.JSON calls; false stops it.
  struct Handler {
    static constexpr size_t max_object_size = std::numeric_limits<uint32_t>::max();
    static constexpr size_t max_array_size = std::numeric_limits<uint32_t>::max();
    static constexpr size_t max_key_size = std::numeric_limits<uint32_t>::max();
    static constexpr size_t max_string_size = std::numeric_limits<uint32_t>::max();
    using Code = boost::system::error_code;
    using View = boost::json::string_view;

    std::vector<JsonValue> tape;
    std::vector<uint32_t> open;  // containers
    std::unique_ptr<char[]> characters;
    size_t room = 0, used = 0, started = 0;
    boost::unordered_flat_set<std::string_view> seen;
    std::string_view problem;
    bool too_many = false;

    JsonValue& add(JsonKind kind) {
      JsonValue& value = tape.emplace_back();
      value.kind = kind;
      value.after = static_cast<uint32_t>(tape.size());
      return value;
    }
    // False, and the parser stops, where the document has too many values.
    bool room_for_one(Code& code) {
      if (tape.size() < kMaxValues) return true;
      too_many = true;
      code = boost::json::error::exception;
      return false;
    }
    bool begin(JsonKind kind, Code& code) {
      if (!room_for_one(code)) return false;
      open.push_back(static_cast<uint32_t>(tape.size()));
      add(kind);
      return true;
    }
    void end(size_t count) {
      JsonValue& value = tape[open.back()];
      value.size = static_cast<uint32_t>(count);
      value.after = static_cast<uint32_t>(tape.size());
    }
    // All texts of a document fit where the document fits: none is longer than it was written.
    bool part(View text) {
      std::copy(text.begin(), text.end(), characters.get() + used);
      used += text.size();
      return true;
    }
    bool finish(View text, Code& code) {
      if (!room_for_one(code)) return false;
      part(text);
      JsonValue& value = add(JsonKind::string);
      value.characters = characters.get() + started;
      value.size = static_cast<uint32_t>(used - started);
      started = used;
      return true;
    }

    bool on_document_begin(Code&) { return true; }
    bool on_document_end(Code&) { return true; }
    bool on_object_begin(Code& code) { return begin(JsonKind::object, code); }
    bool on_object_end(size_t count, Code& code) {
      end(count);
      if (has_a_key_twice(tape, open.back(), seen)) {
        problem = "a key of an object stands twice";
        code = boost::json::error::exception;
        return false;
      }
      open.pop_back();
      return true;
    }
    bool on_array_begin(Code& code) { return begin(JsonKind::array, code); }
    bool on_array_end(size_t count, Code&) {
      end(count);
      open.pop_back();
      return true;
    }
    bool on_key_part(View text, size_t, Code&) { return part(text); }
    bool on_key(View text, size_t, Code& code) { return finish(text, code); }
    bool on_string_part(View text, size_t, Code&) { return part(text); }
    bool on_string(View text, size_t, Code& code) { return finish(text, code); }
    bool on_number_part(View, Code&) { return true; }
    bool on_int64(int64_t value, View, Code& code) {
      if (!room_for_one(code)) return false;
      add(JsonKind::integer).integer = value;
      return true;
    }
    bool on_uint64(uint64_t value, View, Code& code) {
      if (!room_for_one(code)) return false;
      add(JsonKind::unsigned_integer).unsigned_integer = value;
      return true;
    }
    bool on_double(double value, View written, Code& code) {
      if (!room_for_one(code)) return false;
      if (std::isinf(value) && !written.ends_with('y')) {  // not the word
        problem = "a number is beyond what a float64 holds";
        code = boost::json::error::exception;
        return false;
      }
      add(JsonKind::number).number = value;
      return true;
    }
    bool on_bool(bool value, Code& code) {
      if (!room_for_one(code)) return false;
      add(JsonKind::boolean).boolean = value;
      return true;
    }
    bool on_null(Code& code) {
      if (!room_for_one(code)) return false;
      add(JsonKind::null);
      return true;
    }
    bool on_comment_part(View, Code&) { return true; }
    bool on_comment(View, Code&) { return true; }
  };

  explicit Parser(const boost::json::parse_options& options) : json(options) {}

  boost::json::basic_parser<Handler> json;
};

Json::Json(size_t max_depth) : max_depth_(max_depth) { renew(); }
Json::~Json() = default;

void Json::renew() {
  boost::json::parse_options options;
  options.numbers = boost::json::number_precision::precise;
  options.allow_infinity_and_nan = true;
  options.max_depth = max_depth_;
  auto parser = std::make_unique<Parser>(options);
  if (parser_) parser->json.handler() = std::move(parser_->json.handler());
  parser_ = std::move(parser);
}

JsonRef Json::parse(std::string_view text) {
  if (is_grown_) renew();
  // Boost doubles a buffer whenever a text ends within a number, and keeps it: 2 GB after some 25 of them
  is_grown_ = text.find_last_of("0123456789+-.eE") + 1 == text.size();
  Parser::Handler& handler = parser_->json.handler();
  require(text.size() < std::numeric_limits<uint32_t>::max() / 2, ErrorCode::input,
          "expected a JSON text below 2 GiB but found ", text.size(), " bytes");
  handler.tape.clear();
  handler.open.clear();
  handler.used = handler.started = 0;
  handler.problem = {};
  handler.too_many = false;
  if (handler.room < text.size()) {
    handler.characters = std::make_unique_for_overwrite<char[]>(text.size());
    handler.room = text.size();
  }
  parser_->json.reset();
  boost::system::error_code code;
  const size_t read = parser_->json.write_some(false, text.data(), text.size(), code);
  if (handler.too_many) throw HttpError(413, "expected at most 4 million values but found more");
  if (!handler.problem.empty()) fail(ErrorCode::input, "expected JSON but found that ", handler.problem);
  require(code != boost::json::error::too_deep, ErrorCode::input, "expected JSON nested at most ", max_depth_,
          " deep but found more, at byte ", read);
  require(!code, ErrorCode::input, "expected JSON but found, at byte ", read, ", ",
          std::string(code.message()));
  require(read == text.size(), ErrorCode::input, "expected one JSON value but found more, at byte ", read);
  return {handler.tape.data(), 0};
}

void Json::trim() {
  Parser::Handler& handler = parser_->json.handler();
  if (handler.tape.capacity() * sizeof(JsonValue) > kKeptBytes) release(handler.tape);
  if (handler.room > kKeptBytes) {
    handler.characters.reset();
    handler.room = 0;
  }
}

JsonRef find(JsonRef object, std::string_view name, std::string_view what) {
  require(object.is(JsonKind::object), ErrorCode::input, what, ": expected an object but found ",
          name_of(object->kind));
  JsonRef found;
  for_members(object, [&](std::string_view key, JsonRef value) {
    if (key == name) found = value;
  });
  return found;
}

}  // namespace mlcore::server

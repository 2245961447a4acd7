// A JSON text as a flat tape: every value after the other, containers before what they hold. Nothing is
// allocated per value, and the memory is reused from text to text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mlcore::server {

enum class JsonKind : uint8_t { null, boolean, integer, unsigned_integer, number, string, array, object };

// "a string", "an object": what a message calls a value, without showing it.
std::string_view name_of(JsonKind kind);

class Json;

struct JsonValue {
  JsonKind kind = JsonKind::null;
  uint32_t size = 0;   // of a string in bytes; elements; members
  uint32_t after = 0;  // position behind the value and all it holds
  union {
    bool boolean;
    int64_t integer = 0;
    uint64_t unsigned_integer;  // above INT64_MAX
    double number;
    const char* characters;
  };

  std::string_view text() const { return {characters, size}; }
};

// Where a value stands on a tape. Valid until its Json parses the next text.
class JsonRef {
 public:
  JsonRef() = default;
  JsonRef(const JsonValue* tape, uint32_t at) : tape_(tape), at_(at) {}

  explicit operator bool() const { return tape_ != nullptr; }
  const JsonValue& operator*() const { return tape_[at_]; }
  const JsonValue* operator->() const { return tape_ + at_; }
  bool is(JsonKind kind) const { return tape_[at_].kind == kind; }
  // First of what a container holds; the keys of an object are strings before their values.
  JsonRef first() const { return {tape_, at_ + 1}; }
  JsonRef next() const { return {tape_, tape_[at_].after}; }

 private:
  const JsonValue* tape_ = nullptr;
  uint32_t at_ = 0;
};

class Json {
 public:
  explicit Json(size_t max_depth);
  ~Json();
  Json(const Json&) = delete;
  Json& operator=(const Json&) = delete;

  // Throws ErrorCode::input: where the text is no JSON, is nested deeper than it may be, is not UTF-8, or has
  // a key of an object twice; HttpError for too many values. Bare NaN, Infinity and -Infinity are numbers.
  JsonRef parse(std::string_view text);
  // Gives back what is more than an ordinary text needs.
  void trim();

 private:
  struct Parser;
  void renew();

  size_t max_depth_;
  bool is_grown_ = false;
  std::unique_ptr<Parser> parser_;
};

// The member of an object; nothing when it has none of this name. Throws ErrorCode::input, naming `what`,
// unless `object` is one.
JsonRef find(JsonRef object, std::string_view name, std::string_view what = "the body");

// Calls f(key, value) for each member.
template <class F>
void for_members(JsonRef object, const F& f) {
  JsonRef at = object.first();
  for (uint32_t i = 0; i < object->size; ++i) {
    const JsonRef value = at.next();
    f(at->text(), value);
    at = value.next();
  }
}

// Calls f(index, value) for each element.
template <class F>
void for_elements(JsonRef array, const F& f) {
  JsonRef at = array.first();
  for (uint32_t i = 0; i < array->size; ++i, at = at.next()) f(i, at);
}

}  // namespace mlcore::server

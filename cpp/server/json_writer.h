// Values as JSON, appended to a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/tensor.h"

namespace mlcore::server {

// In quotes, escaped. `text` is UTF-8; what is not is replaced.
void append_text(std::string& out, std::string_view text);
void append_number(std::string& out, int64_t number);
void append_number(std::string& out, uint64_t number);
// The shortest form that reads back to the same bits; NaN and infinities in quotes, which JSON has no words
// for.
void append_number(std::string& out, double number);
void append_number(std::string& out, float number);

// The elements of a tensor, one after the other.
class ElementWriter {
 public:
  ElementWriter(const TensorType& type, const std::byte* elements) : type_(type), at_(elements) {}
  void append(std::string& out);
  // "[1,2]" for count elements.
  void append_list(std::string& out, int64_t count);

 private:
  const TensorType& type_;
  const std::byte* at_;
};

}  // namespace mlcore::server

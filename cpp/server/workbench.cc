#include "server/workbench.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "base/status.h"

namespace mlcore::server {
namespace {

constexpr size_t kKeptBytes = size_t{1} << 20;

bool is_number(std::string_view word) {
  if (!word.empty() && (word.front() == '-' || word.front() == '+')) word.remove_prefix(1);
  return !word.empty() && word.front() >= '0' && word.front() <= '9';
}

// What the core says of a value names it; what a client sent is not sent back, nor logged. Behind "but
// found", texts stand in quotes, and numbers alone, but for those of rows.
std::string without_value(std::string_view message) {
  constexpr std::string_view kFound = " but found ";
  const size_t at = message.find(kFound);
  if (at == std::string_view::npos) return std::string(message);
  std::string out(message.substr(0, at + kFound.size()));
  std::string_view found = message.substr(out.size());
  std::string shown;
  if (const size_t first = found.find('\''), last = found.rfind('\''); first != last)
    shown = std::string(found.substr(0, first)) + "a text" + std::string(found.substr(last + 1));
  else shown = found;
  std::string_view before;
  for (std::string_view left = shown; !left.empty();) {
    const size_t end = std::min(left.find_first_of(" ,()[]"), left.size());
    const std::string_view word = left.substr(0, end);
    out += is_number(word) && before != "row" ? std::string_view("a number") : word;
    if (end < left.size()) out += left[end];
    if (!word.empty()) before = word;
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return out;
}

}  // namespace

void Workbench::run(const Served& served, const Batch& batch, std::span<const size_t> outputs) {
  try {
    blocks_.run(*served.model, served.outputs, outputs, batch);
  } catch (const Error& error) {
    if (shows_values_ || error.code() != ErrorCode::input) throw;
    throw Error(ErrorCode::input, without_value(error.what()));
  }
  const int64_t rows = batch.rows();
  tensors_.resize(std::max(tensors_.size(), outputs.size()));
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorOutput& output = served.outputs[outputs[i]];
    const std::byte* block = blocks_.block(outputs[i]);
    const int64_t count = rows * output.width();
    tensors_[i].resize(output.bytes(block, count));
    output.write(block, count, tensors_[i].data());
  }
  served.watch->look(batch);
  served.counts->rows.fetch_add(static_cast<uint64_t>(rows), std::memory_order_relaxed);
}

void Workbench::trim() {
  blocks_.trim(kKeptBytes);
  for (std::vector<std::byte>& tensor : tensors_)
    if (tensor.capacity() > kKeptBytes) tensor = {};
  json.trim();
  table.trim();
}

}  // namespace mlcore::server

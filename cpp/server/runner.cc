#include "server/runner.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "base/release.h"
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

void Runner::run(std::span<const Workbench* const> requests) {
  const Served& served = *requests.front()->served;
  const std::vector<size_t>& outputs = requests.front()->prepared->outputs;
  batches_.clear();
  for (const Workbench* request : requests) batches_.push_back(&request->prepared->batch);
  try {
    blocks_.run(*served.model, served.outputs, outputs, batches_);
  } catch (const Error& error) {
    if (shows_values_ || error.code() != ErrorCode::input) throw;
    throw Error(ErrorCode::input, without_value(error.what()));
  }
}

bool Runner::run_joined(std::span<const Workbench* const> requests) {
  try {
    run(requests);
  } catch (const std::exception&) {
    return false;  // one is at fault, and the others are not to know it
  }
  uint64_t rows = 0;
  for (const Batch* batch : batches_) rows += static_cast<uint64_t>(batch->rows());
  ModelCounts& counts = *requests.front()->served->counts;
  counts.joined_runs.fetch_add(1, std::memory_order_relaxed);
  counts.joined_rows.fetch_add(rows, std::memory_order_relaxed);
  return true;
}

Answer Runner::write(const Workbench& request, int64_t first) {
  const Served& served = *request.served;
  const Prepared& prepared = *request.prepared;
  const int64_t rows = prepared.batch.rows();
  tensors_.resize(std::max(tensors_.size(), prepared.outputs.size()));
  for (size_t i = 0; i < prepared.outputs.size(); ++i) {
    const TensorOutput& output = served.outputs[prepared.outputs[i]];
    const std::byte* const block =
        blocks_.block(prepared.outputs[i]) + static_cast<size_t>(first) * output.block_bytes();
    const int64_t count = rows * output.width();
    tensors_[i].resize(output.bytes(block, count));
    output.write(block, count, tensors_[i].data());
  }
  served.watch->look(prepared.batch);
  served.counts->rows.fetch_add(static_cast<uint64_t>(rows), std::memory_order_relaxed);
  return prepared.write({served, rows, prepared.outputs, tensors_});
}

void Runner::trim() {
  blocks_.trim(kKeptBytes);
  for (std::vector<std::byte>& tensor : tensors_)
    if (tensor.capacity() > kKeptBytes) release(tensor);
}

}  // namespace mlcore::server

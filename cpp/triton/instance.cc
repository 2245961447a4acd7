#include "triton/instance.h"

#include <chrono>

#include "base/status.h"
#include "triton/calls.h"

namespace mlcore::triton {
namespace {

uint64_t now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
}

}  // namespace

Instance::Instance(TRITONBACKEND_ModelInstance* handle, std::shared_ptr<const Served> served)
    : handle_(handle),
      served_(std::move(served)),
      table_(served_->model->program(), served_->inputs, served_->nulls),
      blocks_(served_->outputs.size()) {}

void Instance::execute(std::span<TRITONBACKEND_Request* const> requests) {
  Times times{.start = now()};
  std::vector<Item> items(requests.size());
  std::vector<Item*> read;
  read.reserve(items.size());
  // from here on nothing is thrown: the requests are ours

  for (size_t i = 0; i < items.size(); ++i) {
    Item& item = items[i];
    item.handle = requests[i];
    TRITONSERVER_Error* error = guarded([&] { item.request.emplace(item.handle, *served_); });
    if (error) {
      respond(item, 0, error);
      continue;
    }
    read.push_back(&item);
  }
  if (!read.empty()) {
    TRITONSERVER_Error* error = guarded([&] { run(read, times); });
    if (error && read.size() > 1) {
      // one of them is to blame: each runs alone, and the others never know
      TRITONSERVER_ErrorDelete(error);
      for (size_t i = 0; i < read.size(); ++i)
        respond(*read[i], 0, guarded([&] { run(std::span(read).subspan(i, 1), times); }));
    } else {
      int64_t first = 0;
      for (Item* item : read) {
        respond(*item, first, error);
        first += item->request->rows().rows;
      }
    }
  }
  times.end = now();
  report(items, times);
}

// Every output that one of the requests asks for, for the rows of all of them.
void Instance::run(std::span<Item* const> items, Times& times) {
  std::vector<const TensorRows*> parts;
  std::vector<bool> wanted(blocks_.size());
  for (const Item* item : items) {
    parts.push_back(&item->request->rows());
    for (const size_t output : item->request->outputs()) wanted[output] = true;
  }
  const Batch batch = table_.of(parts);
  std::vector<int32_t> outputs;
  std::vector<void*> destinations;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    if (!wanted[i]) continue;
    blocks_[i].resize(static_cast<size_t>(batch.rows()) * served_->outputs[i].block_bytes());
    outputs.push_back(served_->outputs[i].index());
    destinations.push_back(blocks_[i].data());
  }
  const uint64_t start = now();
  if (times.compute_start == 0) times.compute_start = start;
  served_->model->run(batch, outputs, destinations, workspace_);
  times.compute_end = now();
}

// Sends the rows of the last run from `first` on, or `error`, which it takes.
void Instance::respond(Item& item, int64_t first, TRITONSERVER_Error* error) const noexcept {
  TRITONBACKEND_Response* response = nullptr;
  if (TRITONSERVER_Error* failed = TRITONBACKEND_ResponseNew(&response, item.handle)) {
    note(failed);
    if (error) TRITONSERVER_ErrorDelete(error);
    return;
  }
  if (!error) error = guarded([&] { answer(*item.request, first, response); });
  item.succeeded = !error;
  note(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, error));
  if (error) TRITONSERVER_ErrorDelete(error);
}

void Instance::answer(const Request& request, int64_t first, TRITONBACKEND_Response* response) const {
  for (const size_t index : request.outputs()) {
    const TensorOutput& output = served_->outputs[index];
    const std::string& name = served_->output_names[index];
    const std::byte* block = blocks_[index].data() + static_cast<size_t>(first) * output.block_bytes();
    const std::vector<int64_t> shape = request.shape(output, *served_);
    const int64_t count = request.rows().rows * output.width();
    const size_t size = output.bytes(block, count);
    TRITONBACKEND_Output* tensor = nullptr;
    check(TRITONBACKEND_ResponseOutput(response, &tensor, name.c_str(), code_of(output.type()), shape.data(),
                                       static_cast<uint32_t>(shape.size())));
    void* buffer = nullptr;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    int64_t memory_id = 0;
    check(TRITONBACKEND_OutputBuffer(tensor, &buffer, size, &memory, &memory_id));
    require(memory != TRITONSERVER_MEMORY_GPU, ErrorCode::input, "output ", quoted(name),
            ": expected memory of the CPU but found a GPU's");
    if (size > 0) output.write(block, count, static_cast<std::byte*>(buffer));
  }
}

void Instance::report(std::span<const Item> items, const Times& times) const noexcept {
  uint64_t batch_size = 0;
  for (const Item& item : items) {
    if (item.succeeded) batch_size += item.request->batch_size();
    note(TRITONBACKEND_ModelInstanceReportStatistics(handle_, item.handle, item.succeeded, times.start,
                                                     times.compute_start, times.compute_end, times.end));
  }
  if (batch_size > 0)
    note(TRITONBACKEND_ModelInstanceReportBatchStatistics(handle_, batch_size, times.start,
                                                          times.compute_start, times.compute_end, times.end));
  // statistics belong to a request, so that it goes last
  for (const Item& item : items)
    note(TRITONBACKEND_RequestRelease(item.handle, TRITONSERVER_REQUEST_RELEASE_ALL));
}

}  // namespace mlcore::triton

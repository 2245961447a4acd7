#include "triton/instance.h"

#include <chrono>

#include "base/status.h"

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
      table_(served_->model->program(), served_->inputs, served_->nulls) {}

void Instance::execute(std::span<TRITONBACKEND_Request* const> handles) {
  Times times{.start = now()};
  std::vector<Request> requests(handles.size());
  std::vector<Request*> read;
  read.reserve(requests.size());
  // from here on nothing is thrown: the requests are ours

  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].handle = handles[i];
    Failure failure(guarded([&] { requests[i].read(*served_); }));
    if (failure) respond(requests[i], 0, std::move(failure));
    else read.push_back(&requests[i]);
  }
  Failure failure(guarded([&] { run(read, times); }));
  if (failure && read.size() > 1) {
    // one of them is to blame: each runs alone, and the others never know
    for (Request*& request : read) respond(*request, 0, Failure(guarded([&] { run({&request, 1}, times); })));
  } else {
    int64_t first = 0;
    for (Request* request : read) {
      respond(*request, first, std::move(failure));
      first += request->rows.rows;
    }
  }
  times.end = now();
  report(requests, times);
}

// Every output that one of the requests asks for, for the rows of all of them.
void Instance::run(std::span<Request* const> requests, Times& times) {
  if (requests.empty()) return;
  std::vector<const TensorRows*> parts;
  std::vector<size_t> outputs;
  for (const Request* request : requests) {
    parts.push_back(&request->rows);
    outputs.insert(outputs.end(), request->outputs.begin(), request->outputs.end());
  }
  const Batch batch = table_.of(parts);
  const uint64_t start = now();
  if (times.compute_start == 0) times.compute_start = start;
  const Batch* const batches[] = {&batch};
  blocks_.run(*served_->model, served_->outputs, outputs, batches);
  times.compute_end = now();
}

// Sends the rows of the last run from `first` on, or what failed.
void Instance::respond(Request& request, int64_t first, Failure failure) const noexcept {
  TRITONBACKEND_Response* response = nullptr;
  if (TRITONSERVER_Error* unsent = TRITONBACKEND_ResponseNew(&response, request.handle)) return note(unsent);
  if (!failure) failure.reset(guarded([&] { answer(request, first, response); }));
  request.succeeded = !failure;
  note(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, failure.get()));
}

void Instance::answer(const Request& request, int64_t first, TRITONBACKEND_Response* response) const {
  for (const size_t place : request.outputs) {
    const TensorOutput& output = served_->outputs[place];
    std::vector<int64_t> shape = request.rows.lead;
    if (!served_->lists) shape.resize(1);
    if (!served_->lists || !output.is_vector()) shape.push_back(output.width());
    const std::byte* block = blocks_.block(place) + static_cast<size_t>(first) * output.block_bytes();
    const int64_t count = request.rows.rows * output.width();
    const size_t size = output.bytes(block, count);
    TRITONBACKEND_Output* tensor = nullptr;
    check(TRITONBACKEND_ResponseOutput(response, &tensor, output.name().c_str(), code_of(output.type()),
                                       shape.data(), static_cast<uint32_t>(shape.size())));
    void* buffer = nullptr;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    int64_t memory_id = 0;
    check(TRITONBACKEND_OutputBuffer(tensor, &buffer, size, &memory, &memory_id));
    require(memory != TRITONSERVER_MEMORY_GPU, ErrorCode::input, "output ", quoted(output.name()),
            ": expected memory of the CPU but found a GPU's");
    if (size > 0) output.write(block, count, static_cast<std::byte*>(buffer));
  }
}

void Instance::report(std::span<const Request> requests, const Times& times) const noexcept {
  uint64_t batch_size = 0;
  for (const Request& request : requests) {
    if (request.succeeded) batch_size += request.batch_size;
    note(TRITONBACKEND_ModelInstanceReportStatistics(handle_, request.handle, request.succeeded, times.start,
                                                     times.compute_start, times.compute_end, times.end));
  }
  if (batch_size > 0)
    note(TRITONBACKEND_ModelInstanceReportBatchStatistics(handle_, batch_size, times.start,
                                                          times.compute_start, times.compute_end, times.end));
  // statistics belong to a request, so that it goes last
  for (const Request& request : requests)
    note(TRITONBACKEND_RequestRelease(request.handle, TRITONSERVER_REQUEST_RELEASE_ALL));
}

}  // namespace mlcore::triton

#include "triton/requests.h"

#include <algorithm>
#include <cstring>

#include "base/status.h"
#include "triton/calls.h"

namespace mlcore::triton {
namespace {

// The bytes of an input, or of its mask, in one piece.
std::span<const std::byte> tensor(Request& request, TRITONBACKEND_Input* sent, const std::string& name,
                                  const TensorInput& input, const TensorType& type) {
  TRITONSERVER_DataType code;
  const int64_t* dims = nullptr;
  uint32_t rank = 0, buffers = 0;
  uint64_t size = 0;
  check(TRITONBACKEND_InputProperties(sent, nullptr, &code, &dims, &rank, &size, &buffers));
  require(code == code_of(type), ErrorCode::input, "input ", quoted(name), ": expected ", type.name,
          " but found another type");
  request.rows.expect(name, input, type, {dims, rank}, size);
  const std::byte* out = nullptr;
  std::byte* target = nullptr;
  if (buffers > 1) target = request.gathered.emplace_back(size).data();
  size_t done = 0;
  for (uint32_t i = 0; i < buffers; ++i) {
    const void* piece = nullptr;
    uint64_t bytes = 0;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    int64_t memory_id = 0;
    check(TRITONBACKEND_InputBuffer(sent, i, &piece, &bytes, &memory, &memory_id));
    require(memory != TRITONSERVER_MEMORY_GPU, ErrorCode::input, "input ", quoted(name),
            ": expected memory of the CPU but found a GPU's");
    require(bytes <= size - done, ErrorCode::input, "input ", quoted(name), ": expected ", size,
            " bytes but found more");
    if (target && bytes > 0) std::memcpy(target + done, piece, bytes);
    out = target ? target : static_cast<const std::byte*>(piece);
    done += bytes;
  }
  require(done == size, ErrorCode::input, "input ", quoted(name), ": expected ", size, " bytes but found ",
          done);
  return {out, done};
}

}  // namespace

void Request::read(const Served& served) {
  const size_t inputs = served.inputs.size();
  rows.values.resize(inputs);
  rows.valid.resize(inputs);
  if (get<bool>(TRITONBACKEND_RequestIsCancelled, handle))
    fail(TRITONSERVER_ERROR_CANCELLED, "the request was cancelled before it was run");
  const size_t sent = get<uint32_t>(TRITONBACKEND_RequestInputCount, handle);
  for (size_t i = 0; i < inputs; ++i) {
    const TensorInput& input = served.inputs[i];
    auto* const found = get<TRITONBACKEND_Input*>(TRITONBACKEND_RequestInput, handle, input.name.c_str());
    rows.values[i] = tensor(*this, found, input.name, input, *input.type);
  }
  // what is more than the columns are masks
  for (size_t i = 0, left = sent - std::min(sent, inputs); i < inputs && left > 0; ++i) {
    const TensorInput& input = served.inputs[i];
    TRITONBACKEND_Input* found = nullptr;
    if (input.valid.empty()) continue;
    const Failure absent(TRITONBACKEND_RequestInput(handle, input.valid.c_str(), &found));
    if (absent) continue;
    rows.valid[i] = tensor(*this, found, input.valid, input, *tensor_type_named("BOOL"));
    --left;
  }
  if (served.batched) batch_size = static_cast<uint64_t>(rows.lead.front());
  const auto asked = get<uint32_t>(TRITONBACKEND_RequestOutputCount, handle);
  for (uint32_t i = 0; i < asked; ++i) {
    const char* const name = get<const char*>(TRITONBACKEND_RequestOutputName, handle, i);
    const std::optional<size_t> place = find_tensor_output(served.outputs, name);
    require(place.has_value(), ErrorCode::input, "expected an output of the model but found ", quoted(name));
    outputs.push_back(*place);
  }
}

}  // namespace mlcore::triton

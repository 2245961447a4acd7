#include "triton/requests.h"

#include <algorithm>
#include <cstring>

#include "base/status.h"
#include "triton/calls.h"

namespace mlcore::triton {
namespace {

int64_t product(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (const int64_t dim : shape)
    require(dim >= 0 && !__builtin_mul_overflow(count, dim, &count), ErrorCode::input,
            "expected a shape of numbers from 0 on but found ", dim);
  return count;
}

std::string shown(std::span<const int64_t> shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i > 0 ? "," : "") + text(shape[i]);
  return out + "]";
}

}  // namespace

Request::Request(TRITONBACKEND_Request* request, const Served& served) {
  rows_.values.resize(served.inputs.size());
  rows_.valid.resize(served.inputs.size());
  bool cancelled = false;
  check(TRITONBACKEND_RequestIsCancelled(request, &cancelled));
  if (cancelled) throw Failure(TRITONSERVER_ERROR_CANCELLED, "the request was cancelled before it was run");
  uint32_t count = 0;
  check(TRITONBACKEND_RequestInputCount(request, &count));
  TRITONBACKEND_Input* found = nullptr;
  for (size_t i = 0; i < served.inputs.size(); ++i) {
    const TensorInput& input = served.inputs[i];
    check(TRITONBACKEND_RequestInput(request, input.name.c_str(), &found));
    rows_.values[i] = tensor(found, input.name, *input.type, input.matrix ? input.width : 0);
  }
  // what is more than the columns are masks
  for (size_t i = 0, left = count - std::min<size_t>(count, served.inputs.size());
       i < served.inputs.size() && left > 0; ++i) {
    const TensorInput& input = served.inputs[i];
    if (input.valid.empty()) continue;
    if (TRITONSERVER_Error* absent = TRITONBACKEND_RequestInput(request, input.valid.c_str(), &found)) {
      TRITONSERVER_ErrorDelete(absent);
      continue;
    }
    rows_.valid[i] = tensor(found, input.valid, *tensor_type_named("BOOL"), input.matrix ? input.width : 0);
    --left;
  }
  batch_size_ = served.batched ? static_cast<uint64_t>(lead_.front()) : 1;
  if (!served.lists) lead_.resize(1);

  check(TRITONBACKEND_RequestOutputCount(request, &count));
  for (uint32_t i = 0; i < count; ++i) {
    const char* name = nullptr;
    check(TRITONBACKEND_RequestOutputName(request, i, &name));
    const TensorOutput* output = served.output(name);
    require(output, ErrorCode::input, "expected an output of the model but found ", quoted(name));
    outputs_.push_back(static_cast<size_t>(output - served.outputs.data()));
  }
}

// `columns`: of a matrix, 0 for a column.
std::span<const std::byte> Request::tensor(TRITONBACKEND_Input* input, const std::string& name,
                                           const TensorType& type, int64_t columns) {
  TRITONSERVER_DataType code;
  const int64_t* dims = nullptr;
  uint32_t rank = 0, buffers = 0;
  uint64_t size = 0;
  check(TRITONBACKEND_InputProperties(input, nullptr, &code, &dims, &rank, &size, &buffers));
  const std::span<const int64_t> shape(dims, rank);
  require(code == code_of(type), ErrorCode::input, "input ", quoted(name), ": expected ", type.name,
          " but found another type");
  const size_t own = columns == 0 ? 0 : 1;  // dimensions that are not rows
  require(rank > own && (own == 0 || shape.back() == columns), ErrorCode::input, "input ", quoted(name),
          ": expected rows", own == 0 ? "" : " of " + text(columns) + " values", " but found shape ",
          shown(shape));
  const std::span<const int64_t> lead = shape.first(rank - own);
  if (lead_.empty()) {
    rows_.rows = product(lead);
    lead_.assign(lead.begin(), lead.end());
  }
  require(std::ranges::equal(lead, lead_), ErrorCode::input, "input ", quoted(name),
          ": expected rows of shape ", shown(lead_), ", as in the first input, but found ", shown(lead));
  const int64_t values = product(shape);
  require(type.bytes == 0 || (size % type.bytes == 0 && static_cast<int64_t>(size / type.bytes) == values),
          ErrorCode::input, "input ", quoted(name), ": expected ", values, " values but found ",
          static_cast<int64_t>(size), " bytes");

  const std::byte* out = nullptr;
  std::byte* target = nullptr;
  if (buffers > 1) target = gathered_.emplace_back(size).data();
  size_t done = 0;
  for (uint32_t i = 0; i < buffers; ++i) {
    const void* piece = nullptr;
    uint64_t bytes = 0;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    int64_t memory_id = 0;
    check(TRITONBACKEND_InputBuffer(input, i, &piece, &bytes, &memory, &memory_id));
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

std::vector<int64_t> Request::shape(const TensorOutput& output, const Served& served) const {
  std::vector<int64_t> out = lead_;
  if (!served.lists || !output.is_vector()) out.push_back(output.width());
  return out;
}

}  // namespace mlcore::triton

// Golden rows on the device: a model that does not reproduce them is not loaded.
#include <cstring>

#include "base/status.h"
#include "device/chunk.h"
#include "runtime/golden.h"

namespace mlcore {
namespace {

// Golden rows compare equal where bytes do, or where both are NaN: a device has NaNs of its own.
bool same_numbers(DType type, const std::byte* a, const std::byte* b, int64_t count) {
  if (std::memcmp(a, b, size_of(type) * static_cast<size_t>(count)) == 0) return true;
  const auto equal = [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < count; ++i) {
      T x, y;
      std::memcpy(&x, a + static_cast<size_t>(i) * sizeof(T), sizeof(T));
      std::memcpy(&y, b + static_cast<size_t>(i) * sizeof(T), sizeof(T));
      if (std::memcmp(&x, &y, sizeof(T)) != 0 && !(x != x && y != y)) return false;
    }
    return true;
  };
  return type == DType::f64 ? equal(double{}) : type == DType::f32 ? equal(float{}) : false;
}

}  // namespace

// Every output for the golden rows, against the bytes in the file.
void DeviceModel::replay() const {
  const Program& program = model_->program();
  const GoldenRows& golden = program.golden;
  std::vector<int32_t> outputs;
  for (size_t i = 0; i < program.outputs.size(); ++i)
    if (cut_.rest.outputs[i].value >= 0) outputs.push_back(static_cast<int32_t>(i));
  if (golden.rows == 0 || outputs.empty()) return;
  const Route& route = route_for(outputs);
  const int64_t capacity = room_for(golden.rows);
  std::vector<std::vector<std::byte>> results;
  std::vector<void*> destinations;
  for (int32_t output : outputs)
    destinations.push_back(
        results.emplace_back(row_bytes(program, output) * static_cast<size_t>(golden.rows)).data());
  const LanePool::Loan loan(lanes_);
  reserve(*loan, route, capacity);
  const Task task{&route, outputs, destinations, 0, golden.rows, capacity, (*loan).own};
  const GoldenSource source(program);
  feed(*loan, &source, nullptr, task);
  launch(*loan, task);
  require(!refused(*loan, task), ErrorCode::device, "golden rows: expected ", device_.name,
          " to take them but found one that it refuses");
  collect(*loan, task);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto output = static_cast<size_t>(outputs[i]);
    const Constant& expected = program.constants[static_cast<size_t>(golden.expected[output])];
    require(same_numbers(expected.type(), expected.bytes().data(), results[i].data(), expected.size()),
            ErrorCode::device, "golden rows: output ", quoted(program.outputs[output].method),
            " differs from the bytes stored in the file; ", device_.name, " (", device_.hardware,
            ") does not reproduce the model");
  }
}

}  // namespace mlcore

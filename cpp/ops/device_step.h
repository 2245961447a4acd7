// A node as another device is told of it; owns or borrows from the program what the spec points to.
#pragma once

#include <deque>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/device.h"
#include "ops/op.h"

namespace mlcore {

class DeviceStep {
 public:
  DeviceStep(const NodeReader& reader, device::StepKind kind) {
    spec_.kind = kind;
    if (reader.input_count() > 0) {
      spec_.in = reader.input(0).dtype;
      spec_.in_width = reader.input(0).width;
    }
    spec_.out = reader.node().type.dtype;
    spec_.out_width = reader.node().type.width;
  }
  DeviceStep(DeviceStep&&) = delete;

  // Also of a chain that is a single function.
  device::StepSpec& spec() { return spec_; }
  ForestSpec& forest() {
    spec_.forest = &forest_;
    return forest_;
  }

  void add(const Constant& constant) {
    arrays_.push_back({constant.bytes().data(), constant.size(), constant.type()});
  }
  template <class T>
  void add(std::vector<T> values, DType type) {
    const auto bytes = std::as_bytes(std::span(values));
    const auto& kept = owned_.emplace_back(bytes.begin(), bytes.end());
    arrays_.push_back({kept.data(), static_cast<int64_t>(kept.size() / size_of(type)), type});
  }

  device::Element& add(device::ElementFn fn) {
    device::Element& out = chain_.emplace_back();
    out.fn = fn;
    out.in = spec_.in;
    out.out = spec_.out;
    out.constant = spec_.in;
    return out;
  }
  // The functions of a step that takes what this one gives.
  void append(const DeviceStep& next) {
    chain_.insert(chain_.end(), next.chain_.begin(), next.chain_.end());
    spec_.out = next.spec_.out;
  }
  size_t chain_length() const { return chain_.size(); }

  const device::StepSpec& finished() {
    spec_.arrays = arrays_;
    spec_.chain = chain_;
    return spec_;
  }

 private:
  device::StepSpec spec_;
  ForestSpec forest_;
  std::vector<device::Array> arrays_;
  std::vector<device::Element> chain_;
  std::deque<std::vector<std::byte>> owned_;
};

using DeviceStepPtr = std::unique_ptr<DeviceStep>;

// A constant of one number for each column, or of one for all.
inline void set_a(device::Element& element, const Constant& constant) {
  element.constant = constant.type();
  element.a = constant.bytes().data();
  element.a_count = constant.size();
  element.a_step = constant.size() > 1;
}
inline void set_b(device::Element& element, const Constant& constant) {
  element.b = constant.bytes().data();
  element.b_count = constant.size();
  element.b_step = constant.size() > 1;
}

// A step of one function of one number.
inline DeviceStepPtr one_function(const NodeReader& reader, device::ElementFn fn) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::elements);
  step->add(fn);
  return step;
}
inline DeviceStepPtr one_function(const NodeReader& reader, device::ElementFn fn, const Constant& a) {
  auto step = std::make_unique<DeviceStep>(reader, device::StepKind::elements);
  set_a(step->add(fn), a);
  return step;
}

// Where a name stands in a list whose order is that of an enum.
template <class E>
E named(std::string_view name, std::initializer_list<std::string_view> names) {
  uint8_t at = 0;
  for (std::string_view one : names) {
    if (one == name) break;
    ++at;
  }
  return static_cast<E>(at);
}

}  // namespace mlcore

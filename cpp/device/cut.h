// A program cut in two: what the host computes of a table, which is whatever touches text, and what a device
// makes of that.
#pragma once

#include <memory>
#include <vector>

#include "ir/program.h"
#include "ops/device_step.h"

namespace mlcore {

// What crosses from the host to the device; of text only that the host's checks let it pass.
struct Crossing {
  int32_t node;  // of the program
  ValueType type;
  int32_t column;               // schema column that it is, read as `type`; -1: the host has computed it
  std::vector<int32_t> behind;  // schema columns that it depends on
};

struct Cut {
  std::vector<Crossing> crossings;
  // The same schema; its outputs are the crossings, in order, and then `host_outputs`.
  Program feed;
  std::vector<int32_t> host_outputs;  // outputs of the program that the device has no part in

  // For the device. Its first nodes are the crossings that are numbers, as columns; functions of one number
  // that follow one another are one node. Outputs as in the program; those of the host show no node (-1).
  Program rest;
  std::vector<DeviceStepPtr> steps;  // per node of `rest`; null: nothing to launch
};

// The schema columns that a value of the program depends on, ascending.
std::vector<int32_t> columns_behind(const Program& program, int32_t value);

// `program` must be validated and must outlive the cut. Throws ErrorCode::device, naming every step that no
// device can run.
Cut cut_for_device(const Program& program);

}  // namespace mlcore

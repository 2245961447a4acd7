// Batches through whatever computes them, as arrays of Python.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "bindings/bindings.h"
#include "runtime/batch.h"
#include "runtime/model.h"

namespace mlcore {

// Throws ErrorCode::program unless the model has that output.
const ValueType& output_type(const Model& model, int32_t output);
pybind11::dtype numpy_dtype(DType type);

// Blocks of the asked outputs for all batches, one after the other, as arrays of shape (rows, width). `run`
// is called without the interpreter's lock.
pybind11::list run_batches(const Model& model, const std::vector<std::shared_ptr<Batch>>& batches,
                           const std::vector<int32_t>& outputs,
                           const std::function<void(const Batch&, std::span<void* const>)>& run);

}  // namespace mlcore

// A model as its configuration in the repository has it served.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model.h"
#include "runtime/tensor_table.h"
#include "triton/abi.h"

namespace mlcore::triton {

struct Served {
  std::shared_ptr<const Model> model;
  std::vector<TensorInput> inputs;
  std::vector<TensorOutput> outputs;  // named as the configuration calls them
  NullPolicy nulls = NullPolicy::nan;
  bool batched = true;  // the first dimension of every tensor is Triton's batch
  bool lists = false;   // a request gives lists of rows, [n] or [batch, n], and gets them back
};

// Triton's number of a type.
TRITONSERVER_DataType code_of(const TensorType& type);

// Reads the model's file, `folder`/`version`/`default_model_filename` (model.mlc), and the configuration,
// JSON as the server gives it. With `complete`, tensors and batching that it leaves out are added to it.
// Throws ErrorCode::input with every contradiction, both sides named.
Served serve(const std::string& folder, uint64_t version, std::string& config, bool complete);

}  // namespace mlcore::triton

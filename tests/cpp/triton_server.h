// The server's side of the backend interface, for faults that the real server cannot be made to have: any
// call may fail, tensors come in pieces or from a GPU, requests are cancelled. Every answer and release is
// counted.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "triton/abi.h"

namespace samples {

// Calls of the server that may fail, since the last `fail_call`; the one with this number does. -1: none
// does.
void fail_call(int64_t number);
int64_t calls();
int64_t live_errors();    // made and not deleted
int64_t live_messages();  // the same
void set_api_version(uint32_t major, uint32_t minor);

std::string message_of(TRITONSERVER_Error* error);  // deletes it; empty for none

}  // namespace samples

struct TRITONBACKEND_Model {
  std::string folder;  // of the model; the file lies in `version`
  std::string config = "{}";
  bool complete = true;
  void* state = nullptr;
};

struct TRITONBACKEND_ModelInstance {
  TRITONBACKEND_Model* model = nullptr;
  TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
  void* state = nullptr;
  int succeeded = 0, failed = 0, batches = 0;
  uint64_t batch_size = 0;
};

struct TRITONBACKEND_Input {
  TRITONSERVER_DataType type;
  std::vector<int64_t> shape;
  std::vector<std::string> pieces;
  TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
};

struct TRITONBACKEND_Output {
  TRITONSERVER_DataType type = TRITONSERVER_TYPE_INVALID;
  std::vector<int64_t> shape;
  std::string bytes;
  TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
};

struct TRITONBACKEND_Request {
  std::map<std::string, TRITONBACKEND_Input> inputs;
  std::vector<std::string> outputs;
  bool cancelled = false;
  TRITONSERVER_MemoryType output_memory = TRITONSERVER_MEMORY_CPU;
  // what became of it
  int answers = 0, releases = 0, reports = 0;
  std::string error;
  std::map<std::string, TRITONBACKEND_Output> answer;
};

extern "C" {
TRITONSERVER_Error* TRITONBACKEND_Initialize(TRITONBACKEND_Backend* backend);
TRITONSERVER_Error* TRITONBACKEND_GetBackendAttribute(TRITONBACKEND_Backend* backend,
                                                      TRITONBACKEND_BackendAttribute* attributes);
TRITONSERVER_Error* TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* model);
TRITONSERVER_Error* TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model* model);
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance* instance);
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* instance);
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* instance,
                                                       TRITONBACKEND_Request** requests, uint32_t count);
}

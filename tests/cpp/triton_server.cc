#include "triton_server.h"

#include <cstdlib>
#include <cstring>

#include "counted_new.h"

// Memory of the server's own never runs out here, so that only the backend's does.
struct TRITONSERVER_Error {
  TRITONSERVER_Error_Code code;
  char text[600];
};
struct TRITONSERVER_Message {
  char* text;
  size_t size;
};
struct TRITONBACKEND_Response {
  TRITONBACKEND_Request* request;
  std::map<std::string, TRITONBACKEND_Output> outputs;
};

namespace {

int64_t failing = -1, made_calls = 0, errors = 0, messages = 0;
uint32_t api_major = 1, api_minor = 19;

// The server's code runs with memory, whatever the backend is left with.
class OwnMemory {
 public:
  OwnMemory() : left_(samples::news_left()) { samples::fail_news_after(-1); }
  ~OwnMemory() { samples::fail_news_after(left_); }
  OwnMemory(const OwnMemory&) = delete;
  OwnMemory& operator=(const OwnMemory&) = delete;

 private:
  int64_t left_;
};

template <class Action>
TRITONSERVER_Error* call(const Action& action) {
  if (made_calls++ == failing)
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, "the server failed as it was told to");
  const OwnMemory memory;
  return action();
}

TRITONSERVER_Error* done() { return nullptr; }

}  // namespace

namespace samples {

void fail_call(int64_t number) {
  failing = number;
  made_calls = 0;
}
int64_t calls() { return made_calls; }
int64_t live_errors() { return errors; }
int64_t live_messages() { return messages; }
void set_api_version(uint32_t major, uint32_t minor) {
  api_major = major;
  api_minor = minor;
}
std::string message_of(TRITONSERVER_Error* error) {
  if (!error) return {};
  std::string text = error->text;
  TRITONSERVER_ErrorDelete(error);
  return text;
}

}  // namespace samples

extern "C" {

TRITONSERVER_Error* TRITONSERVER_ErrorNew(TRITONSERVER_Error_Code code, const char* message) {
  auto* error = static_cast<TRITONSERVER_Error*>(std::malloc(sizeof(TRITONSERVER_Error)));
  error->code = code;
  std::strncpy(error->text, message, sizeof error->text - 1);
  error->text[sizeof error->text - 1] = '\0';
  ++errors;
  return error;
}
void TRITONSERVER_ErrorDelete(TRITONSERVER_Error* error) {
  --errors;
  std::free(error);
}
TRITONSERVER_Error_Code TRITONSERVER_ErrorCode(TRITONSERVER_Error* error) { return error->code; }
const char* TRITONSERVER_ErrorMessage(TRITONSERVER_Error* error) { return error->text; }
TRITONSERVER_Error* TRITONSERVER_LogMessage(TRITONSERVER_LogLevel, const char*, int, const char*) {
  return call(done);
}

TRITONSERVER_Error* TRITONSERVER_MessageNewFromSerializedJson(TRITONSERVER_Message** message,
                                                              const char* text, size_t size) {
  return call([&] {
    *message = static_cast<TRITONSERVER_Message*>(std::malloc(sizeof(TRITONSERVER_Message)));
    (*message)->text = static_cast<char*>(std::malloc(size + 1));
    std::memcpy((*message)->text, text, size);
    (*message)->size = size;
    ++messages;
    return done();
  });
}
TRITONSERVER_Error* TRITONSERVER_MessageDelete(TRITONSERVER_Message* message) {
  std::free(message->text);
  std::free(message);
  --messages;
  return call(done);
}
TRITONSERVER_Error* TRITONSERVER_MessageSerializeToJson(TRITONSERVER_Message* message, const char** text,
                                                        size_t* size) {
  return call([&] {
    *text = message->text;
    *size = message->size;
    return done();
  });
}

TRITONSERVER_Error* TRITONBACKEND_ApiVersion(uint32_t* major, uint32_t* minor) {
  return call([&] {
    *major = api_major;
    *minor = api_minor;
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(TRITONBACKEND_BackendAttribute*,
                                                                            TRITONSERVER_InstanceGroupKind,
                                                                            uint64_t, const uint64_t*,
                                                                            uint64_t) {
  return call(done);
}
TRITONSERVER_Error* TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(
    TRITONBACKEND_BackendAttribute*, bool) {
  return call(done);
}

TRITONSERVER_Error* TRITONBACKEND_ModelVersion(TRITONBACKEND_Model*, uint64_t* version) {
  return call([&] {
    *version = 1;
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_ModelRepository(TRITONBACKEND_Model* model,
                                                  TRITONBACKEND_ArtifactType* type, const char** location) {
  return call([&] {
    *type = TRITONBACKEND_ARTIFACT_FILESYSTEM;
    *location = model->folder.c_str();
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_ModelConfig(TRITONBACKEND_Model* model, uint32_t,
                                              TRITONSERVER_Message** config) {
  return TRITONSERVER_MessageNewFromSerializedJson(config, model->config.data(), model->config.size());
}
TRITONSERVER_Error* TRITONBACKEND_ModelAutoCompleteConfig(TRITONBACKEND_Model* model, bool* wanted) {
  return call([&] {
    *wanted = model->complete;
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_ModelSetConfig(TRITONBACKEND_Model* model, uint32_t,
                                                 TRITONSERVER_Message* config) {
  return call([&] {
    model->config.assign(config->text, config->size);
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_ModelState(TRITONBACKEND_Model* model, void** state) {
  return call([&] {
    *state = model->state;
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_ModelSetState(TRITONBACKEND_Model* model, void* state) {
  return call([&] {
    model->state = state;
    return done();
  });
}

TRITONSERVER_Error* TRITONBACKEND_ModelInstanceKind(TRITONBACKEND_ModelInstance* instance,
                                                    TRITONSERVER_InstanceGroupKind* kind) {
  return call([&] {
    *kind = instance->kind;
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceModel(TRITONBACKEND_ModelInstance* instance,
                                                     TRITONBACKEND_Model** model) {
  return call([&] {
    *model = instance->model;
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceState(TRITONBACKEND_ModelInstance* instance, void** state) {
  return call([&] {
    *state = instance->state;
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceSetState(TRITONBACKEND_ModelInstance* instance, void* state) {
  return call([&] {
    instance->state = state;
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceReportStatistics(TRITONBACKEND_ModelInstance* instance,
                                                                TRITONBACKEND_Request* request, bool success,
                                                                uint64_t start, uint64_t compute_start,
                                                                uint64_t compute_end, uint64_t end) {
  ++request->reports;
  return call([&] {
    const bool ordered =
        start > 0 && start <= compute_start && compute_start <= compute_end && compute_end <= end;
    if (success && !ordered) std::abort();
    ++(success ? instance->succeeded : instance->failed);
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceReportBatchStatistics(TRITONBACKEND_ModelInstance* instance,
                                                                     uint64_t batch_size, uint64_t, uint64_t,
                                                                     uint64_t, uint64_t) {
  return call([&] {
    ++instance->batches;
    instance->batch_size += batch_size;
    return done();
  });
}

TRITONSERVER_Error* TRITONBACKEND_RequestIsCancelled(TRITONBACKEND_Request* request, bool* cancelled) {
  return call([&] {
    *cancelled = request->cancelled;
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_RequestInputCount(TRITONBACKEND_Request* request, uint32_t* count) {
  return call([&] {
    *count = static_cast<uint32_t>(request->inputs.size());
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_RequestInput(TRITONBACKEND_Request* request, const char* name,
                                               TRITONBACKEND_Input** input) {
  return call([&] {
    const auto found = request->inputs.find(name);
    if (found == request->inputs.end())
      return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INVALID_ARG, "no such input");
    *input = &found->second;
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_RequestOutputCount(TRITONBACKEND_Request* request, uint32_t* count) {
  return call([&] {
    *count = static_cast<uint32_t>(request->outputs.size());
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_RequestOutputName(TRITONBACKEND_Request* request, uint32_t index,
                                                    const char** name) {
  return call([&] {
    *name = request->outputs[index].c_str();
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_RequestRelease(TRITONBACKEND_Request* request, uint32_t) {
  ++request->releases;
  return call(done);
}
TRITONSERVER_Error* TRITONBACKEND_InputProperties(TRITONBACKEND_Input* input, const char**,
                                                  TRITONSERVER_DataType* type, const int64_t** shape,
                                                  uint32_t* rank, uint64_t* bytes, uint32_t* buffers) {
  return call([&] {
    *type = input->type;
    *shape = input->shape.data();
    *rank = static_cast<uint32_t>(input->shape.size());
    *bytes = 0;
    for (const std::string& piece : input->pieces) *bytes += piece.size();
    *buffers = static_cast<uint32_t>(input->pieces.size());
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_InputBuffer(TRITONBACKEND_Input* input, uint32_t index, const void** buffer,
                                              uint64_t* bytes, TRITONSERVER_MemoryType* memory, int64_t*) {
  return call([&] {
    *buffer = input->pieces[index].data();
    *bytes = input->pieces[index].size();
    *memory = input->memory;
    return done();
  });
}

TRITONSERVER_Error* TRITONBACKEND_ResponseNew(TRITONBACKEND_Response** response,
                                              TRITONBACKEND_Request* request) {
  return call([&] {
    *response = new TRITONBACKEND_Response{request, {}};
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_ResponseOutput(TRITONBACKEND_Response* response,
                                                 TRITONBACKEND_Output** output, const char* name,
                                                 TRITONSERVER_DataType type, const int64_t* shape,
                                                 uint32_t rank) {
  return call([&] {
    TRITONBACKEND_Output& made = response->outputs[name];
    made.type = type;
    made.memory = response->request->output_memory;
    made.shape.assign(shape, shape + rank);
    *output = &made;
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output* output, void** buffer, uint64_t bytes,
                                               TRITONSERVER_MemoryType* memory, int64_t*) {
  return call([&] {
    output->bytes.assign(bytes, '?');
    *buffer = output->bytes.data();
    *memory = output->memory;
    return done();
  });
}
TRITONSERVER_Error* TRITONBACKEND_ResponseSend(TRITONBACKEND_Response* response, uint32_t flags,
                                               TRITONSERVER_Error* error) {
  // sent or not, the response is gone
  TRITONBACKEND_Request& request = *response->request;
  request.answers += flags == TRITONSERVER_RESPONSE_COMPLETE_FINAL;
  {
    const OwnMemory memory;
    if (error) request.error = error->text;
    else request.answer = std::move(response->outputs);
    delete response;
  }
  return call(done);
}

}  // extern "C"

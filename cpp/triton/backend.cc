// What Triton calls: the life of the backend, of a model and of its instances.
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "triton/calls.h"
#include "triton/config.h"
#include "triton/instance.h"

using namespace mlcore;
using namespace mlcore::triton;

namespace {

using Shared = std::shared_ptr<const Served>;  // a model's state, one reference of it

struct MessageDeleter {
  void operator()(TRITONSERVER_Message* message) const { note(TRITONSERVER_MessageDelete(message)); }
};
using Message = std::unique_ptr<TRITONSERVER_Message, MessageDeleter>;

std::string config_of(TRITONBACKEND_Model* model) {
  TRITONSERVER_Message* message = nullptr;
  check(TRITONBACKEND_ModelConfig(model, 1, &message));
  const Message owner(message);
  const char* text = nullptr;
  size_t size = 0;
  check(TRITONSERVER_MessageSerializeToJson(message, &text, &size));
  return {text, size};
}

void set_config(TRITONBACKEND_Model* model, const std::string& config) {
  TRITONSERVER_Message* message = nullptr;
  check(TRITONSERVER_MessageNewFromSerializedJson(&message, config.data(), config.size()));
  const Message owner(message);
  check(TRITONBACKEND_ModelSetConfig(model, 1, message));
}

}  // namespace

extern "C" {

TRITONSERVER_Error* TRITONBACKEND_Initialize(TRITONBACKEND_Backend*) {
  return guarded([] {
    uint32_t major = 0, minor = 0;
    check(TRITONBACKEND_ApiVersion(&major, &minor));
    if (major != kApiMajor || minor < kApiMinor)
      throw Failure(TRITONSERVER_ERROR_UNSUPPORTED,
                    "mlcore: expected a server with version " + text(size_t{kApiMajor}) + "." +
                        text(size_t{kApiMinor}) + " or a later " + text(size_t{kApiMajor}) +
                        ".x of the backend interface but found " + text(size_t{major}) + "." +
                        text(size_t{minor}));
  });
}

TRITONSERVER_Error* TRITONBACKEND_GetBackendAttribute(TRITONBACKEND_Backend*,
                                                      TRITONBACKEND_BackendAttribute* attributes) {
  return guarded([&] {
    check(TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(
        attributes, TRITONSERVER_INSTANCEGROUPKIND_CPU, 0, nullptr, 0));
    check(TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attributes, true));
  });
}

TRITONSERVER_Error* TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* model) {
  return guarded([&] {
    const char* folder = nullptr;
    TRITONBACKEND_ArtifactType type = TRITONBACKEND_ARTIFACT_FILESYSTEM;
    uint64_t version = 0;
    bool complete = false;
    check(TRITONBACKEND_ModelRepository(model, &type, &folder));
    if (type != TRITONBACKEND_ARTIFACT_FILESYSTEM)
      throw Failure(TRITONSERVER_ERROR_UNSUPPORTED,
                    "expected a model repository of files but found another kind");
    check(TRITONBACKEND_ModelVersion(model, &version));
    check(TRITONBACKEND_ModelAutoCompleteConfig(model, &complete));
    std::string completed;
    auto state = std::make_unique<Shared>(
        std::make_shared<const Served>(serve(folder, version, config_of(model), complete, completed)));
    if (complete) set_config(model, completed);
    check(TRITONBACKEND_ModelSetState(model, state.get()));
    state.release();
  });
}

TRITONSERVER_Error* TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model* model) {
  return guarded([&] {
    void* state = nullptr;
    check(TRITONBACKEND_ModelState(model, &state));
    delete static_cast<Shared*>(state);
  });
}

TRITONSERVER_Error* TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance* instance) {
  return guarded([&] {
    TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
    check(TRITONBACKEND_ModelInstanceKind(instance, &kind));
    if (kind != TRITONSERVER_INSTANCEGROUPKIND_CPU)
      throw Failure(TRITONSERVER_ERROR_INVALID_ARG,
                    std::string("instance_group: expected KIND_CPU but found ") +
                        (kind == TRITONSERVER_INSTANCEGROUPKIND_GPU ? "KIND_GPU" : "another kind"));
    TRITONBACKEND_Model* model = nullptr;
    void* state = nullptr;
    check(TRITONBACKEND_ModelInstanceModel(instance, &model));
    check(TRITONBACKEND_ModelState(model, &state));
    auto made = std::make_unique<Instance>(instance, *static_cast<Shared*>(state));
    check(TRITONBACKEND_ModelInstanceSetState(instance, made.get()));
    made.release();
  });
}

TRITONSERVER_Error* TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* instance) {
  return guarded([&] {
    void* state = nullptr;
    check(TRITONBACKEND_ModelInstanceState(instance, &state));
    delete static_cast<Instance*>(state);
  });
}

TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* instance,
                                                       TRITONBACKEND_Request** requests,
                                                       const uint32_t count) {
  return guarded([&] {
    void* state = nullptr;
    check(TRITONBACKEND_ModelInstanceState(instance, &state));
    static_cast<Instance*>(state)->execute({requests, count});
  });
}

}  // extern "C"

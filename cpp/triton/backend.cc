// What Triton calls: the life of the backend, of a model and of its instances.
#include <memory>
#include <string>

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
  const Message message(get<TRITONSERVER_Message*>(TRITONBACKEND_ModelConfig, model, 1u));
  const char* text = nullptr;
  size_t size = 0;
  check(TRITONSERVER_MessageSerializeToJson(message.get(), &text, &size));
  return {text, size};
}

void set_config(TRITONBACKEND_Model* model, const std::string& config) {
  TRITONSERVER_Message* message = nullptr;
  check(TRITONSERVER_MessageNewFromSerializedJson(&message, config.data(), config.size()));
  const Message owner(message);
  check(TRITONBACKEND_ModelSetConfig(model, 1, message));
}

std::string version(size_t major, size_t minor) { return text(major) + "." + text(minor); }

}  // namespace

extern "C" {

TRITONSERVER_Error* TRITONBACKEND_Initialize(TRITONBACKEND_Backend*) {
  return guarded([] {
    uint32_t major = 0, minor = 0;
    check(TRITONBACKEND_ApiVersion(&major, &minor));
    if (major != kApiMajor || minor < kApiMinor)
      fail(TRITONSERVER_ERROR_UNSUPPORTED,
           "mlcore: expected a server with version " + version(kApiMajor, kApiMinor) + " or a later " +
               text(size_t{kApiMajor}) + ".x of the backend interface but found " + version(major, minor));
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
    check(TRITONBACKEND_ModelRepository(model, &type, &folder));
    if (type != TRITONBACKEND_ARTIFACT_FILESYSTEM)
      fail(TRITONSERVER_ERROR_UNSUPPORTED, "expected a model repository of files but found another kind");
    const auto number = get<uint64_t>(TRITONBACKEND_ModelVersion, model);
    const bool complete = get<bool>(TRITONBACKEND_ModelAutoCompleteConfig, model);
    std::string config = config_of(model);
    auto state =
        std::make_unique<Shared>(std::make_shared<const Served>(serve(folder, number, config, complete)));
    if (complete) set_config(model, config);
    check(TRITONBACKEND_ModelSetState(model, state.get()));
    state.release();
  });
}

TRITONSERVER_Error* TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model* model) {
  return guarded([&] { delete static_cast<Shared*>(get<void*>(TRITONBACKEND_ModelState, model)); });
}

TRITONSERVER_Error* TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance* instance) {
  return guarded([&] {
    const auto kind = get<TRITONSERVER_InstanceGroupKind>(TRITONBACKEND_ModelInstanceKind, instance);
    require(kind == TRITONSERVER_INSTANCEGROUPKIND_CPU, ErrorCode::input,
            "instance_group: expected KIND_CPU but found ",
            kind == TRITONSERVER_INSTANCEGROUPKIND_GPU ? "KIND_GPU" : "another kind");
    auto* const model = get<TRITONBACKEND_Model*>(TRITONBACKEND_ModelInstanceModel, instance);
    const auto& served = *static_cast<Shared*>(get<void*>(TRITONBACKEND_ModelState, model));
    auto state = std::make_unique<Instance>(instance, served);
    check(TRITONBACKEND_ModelInstanceSetState(instance, state.get()));
    state.release();
  });
}

TRITONSERVER_Error* TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* instance) {
  return guarded(
      [&] { delete static_cast<Instance*>(get<void*>(TRITONBACKEND_ModelInstanceState, instance)); });
}

TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* instance,
                                                       TRITONBACKEND_Request** requests,
                                                       const uint32_t count) {
  return guarded([&] {
    auto* const state = static_cast<Instance*>(get<void*>(TRITONBACKEND_ModelInstanceState, instance));
    state->execute({requests, count});
  });
}

}  // extern "C"

// DeviceModel, and arrays in a device's memory by DLPack.
#include <cstring>

#include "bindings/bindings.h"
#include "bindings/dlpack.h"
#include "bindings/gil.h"
#include "bindings/run_batches.h"
#include "device/device_model.h"

namespace py = pybind11;

namespace mlcore {
namespace {

constexpr const char* kTensor = "dltensor";
constexpr const char* kUsedTensor = "used_dltensor";

// Memory on a device, and the model that gave it.
class DeviceBuffer {
 public:
  DeviceBuffer(std::shared_ptr<const DeviceModel> model, DType type, int64_t rows, int64_t width)
      : model_(std::move(model)),
        type_(type),
        rows_(rows),
        width_(width),
        data_(model_->allocate(std::max<size_t>(bytes(), 1))) {}
  ~DeviceBuffer() { model_->release(data_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  size_t bytes() const { return size_of(type_) * static_cast<size_t>(rows_ * width_); }
  void* data() const { return data_; }
  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }
  DType type() const { return type_; }
  const DeviceModel& model() const { return *model_; }

 private:
  std::shared_ptr<const DeviceModel> model_;
  DType type_;
  int64_t rows_, width_;
  void* data_;
};

py::array to_host(const DeviceBuffer& buffer) {
  py::array out(numpy_dtype(buffer.type()), std::vector<py::ssize_t>{buffer.rows(), buffer.width()});
  void* const to = out.mutable_data();
  const GilRelease release;
  buffer.model().copy(to, buffer.data(), buffer.bytes());
  return out;
}

int32_t device_index(const DeviceModel& model) {
  return std::stoi(model.device().substr(model.device().find(':') + 1));
}

struct Export {
  std::shared_ptr<DeviceBuffer> buffer;
  int64_t shape[2];
  DLManagedTensor tensor;
};

// A capsule that owns a share of the buffer; `vector`: of shape (n,).
py::capsule to_dlpack(const std::shared_ptr<DeviceBuffer>& buffer, bool vector) {
  auto* const made = new Export{buffer, {buffer->rows(), buffer->width()}, {}};
  DLTensor& tensor = made->tensor.dl_tensor;
  tensor.data = buffer->data();
  tensor.device = {kDLCUDA, device_index(buffer->model())};
  tensor.ndim = vector ? 1 : 2;
  const DType type = buffer->type();
  tensor.dtype = {static_cast<uint8_t>(type == DType::f64 || type == DType::f32 ? 2 : 0),
                  static_cast<uint8_t>(8 * size_of(type)), 1};
  tensor.shape = made->shape;
  made->tensor.manager_ctx = made;
  made->tensor.deleter = [](DLManagedTensor* self) { delete static_cast<Export*>(self->manager_ctx); };
  PyObject* const capsule = PyCapsule_New(&made->tensor, kTensor, [](PyObject* self) {
    if (PyCapsule_IsValid(self, kTensor) == 0) return;  // who took it gives it back
    auto* const held = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(self, kTensor));
    held->deleter(held);
  });
  if (capsule == nullptr) {
    delete made;
    throw py::error_already_set();
  }
  return py::reinterpret_steal<py::capsule>(capsule);
}

// What a capsule holds, as a dict like `__cuda_array_interface__`, whose "owner" gives it back.
py::dict read_dlpack(const py::capsule& capsule) {
  require(std::strcmp(capsule.name(), kTensor) == 0, ErrorCode::input,
          "expected a DLPack capsule that nobody has used but found another");
  auto* const managed = capsule.get_pointer<DLManagedTensor>();
  const DLTensor& tensor = managed->dl_tensor;
  py::dict out;
  out["owner"] = py::capsule(managed, [](void* data) {
    auto* const held = static_cast<DLManagedTensor*>(data);
    if (held->deleter != nullptr) held->deleter(held);
  });
  PyCapsule_SetName(capsule.ptr(), kUsedTensor);
  require(tensor.device.device_type == kDLCUDA, ErrorCode::input,
          "expected an array of a CUDA device but found one of "
          "DLPack's device type ",
          static_cast<int64_t>(tensor.device.device_type));
  require(tensor.dtype.lanes == 1, ErrorCode::input, "expected an array of numbers but found one of vectors");
  const char code = tensor.dtype.code == 0   ? 'i'
                    : tensor.dtype.code == 1 ? 'u'
                    : tensor.dtype.code == 2 ? 'f'
                    : tensor.dtype.code == 6 ? 'b'
                                             : '?';
  const int64_t size = tensor.dtype.bits / 8;
  std::vector<int64_t> shape(tensor.shape, tensor.shape + tensor.ndim), strides(shape.size(), size);
  for (size_t i = shape.size(); i-- > 0;)
    if (tensor.strides != nullptr) strides[i] = tensor.strides[i] * size;
    else if (i + 1 < shape.size()) strides[i] = strides[i + 1] * shape[i + 1];
  out["typestr"] = std::string(size == 1 ? "|" : "<") + code + std::to_string(size);
  out["shape"] = py::tuple(py::cast(shape));
  out["strides"] = py::tuple(py::cast(strides));
  out["device"] = tensor.device.device_id;
  out["data"] = py::make_tuple(reinterpret_cast<uintptr_t>(tensor.data) + tensor.byte_offset, true);
  return out;
}

Kind kind_named(const std::string& name) {
  const auto type = logical_type_named(name);
  require(type.has_value(), ErrorCode::input, "expected numbers but found ", quoted(name));
  return type->kind;
}

// Columns as (name, address, type, stride in elements).
using PyColumns = std::vector<std::tuple<std::string, uintptr_t, std::string, int64_t>>;

std::vector<std::shared_ptr<DeviceBuffer>> run_on_device(const std::shared_ptr<DeviceModel>& model,
                                                         const PyColumns& columns, int64_t rows,
                                                         const std::vector<int32_t>& outputs,
                                                         uintptr_t stream) {
  std::vector<std::string> names;
  std::vector<DeviceColumn> arrays;
  for (const auto& [name, data, kind, stride] : columns) {
    names.push_back(name);
    arrays.push_back({reinterpret_cast<const void*>(data), kind_named(kind), stride});
  }
  std::vector<std::shared_ptr<DeviceBuffer>> out;
  const GilRelease release;
  std::vector<void*> destinations;
  for (int32_t output : outputs) {
    const ValueType type = output_type(model->model(), output);
    require(type.dtype != DType::str, ErrorCode::input, "expected an output of numbers but found text");
    out.push_back(std::make_shared<DeviceBuffer>(model, type.dtype, rows, type.width));
    destinations.push_back(out.back()->data());
  }
  model->run_on_device(std::make_shared<const std::vector<std::string>>(std::move(names)), arrays, rows,
                       outputs, destinations, reinterpret_cast<device::Stream*>(stream));
  return out;
}

}  // namespace

void register_device(py::module_& module) {
  py::class_<DeviceBuffer, std::shared_ptr<DeviceBuffer>>(module, "DeviceBuffer",
                                                          "An array in a device's memory.")
      .def_property_readonly(
          "address", [](const DeviceBuffer& buffer) { return reinterpret_cast<uintptr_t>(buffer.data()); })
      .def_property_readonly("rows", &DeviceBuffer::rows)
      .def_property_readonly("width", &DeviceBuffer::width)
      .def_property_readonly("dtype", [](const DeviceBuffer& buffer) { return numpy_dtype(buffer.type()); })
      .def_property_readonly("device",
                             [](const DeviceBuffer& buffer) { return device_index(buffer.model()); })
      .def("to_host", &to_host)
      .def("to_dlpack", &to_dlpack, py::arg("vector"));
  py::class_<DeviceModel, std::shared_ptr<DeviceModel>>(module, "DeviceModel",
                                                        "A model whose steps run on a GPU.")
      .def(py::init([](const std::shared_ptr<Model>& model, const std::string& device) {
             return std::make_shared<DeviceModel>(model, device);
           }),
           py::arg("model"), py::arg("device"), py::call_guard<GilRelease>())
      .def_property_readonly("device", &DeviceModel::device)
      .def_property_readonly("hardware", &DeviceModel::hardware)
      .def_property_readonly("forms", &DeviceModel::forms, "Steps that had a choice, and how they run.")
      .def(
          "run",
          [](const DeviceModel& model, const std::vector<std::shared_ptr<Batch>>& batches,
             const std::vector<int32_t>& outputs) {
            return run_batches(model.model(), batches, outputs,
                               [&](const Batch& batch, std::span<void* const> destinations) {
                                 model.run(batch, outputs, destinations);
                               });
          },
          py::arg("batches"), py::arg("outputs"), "Blocks of the outputs, in the host's memory.")
      .def("run_on_device", &run_on_device, py::arg("columns"), py::arg("rows"), py::arg("outputs"),
           py::arg("stream"), "Blocks of the outputs, in the device's memory.");
  module.def("read_dlpack", &read_dlpack, py::arg("capsule"));
}

}  // namespace mlcore

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
        block_(model_->results().take(bytes())) {}
  ~DeviceBuffer() { model_->results().give_back(block_, shown_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  size_t bytes() const { return size_of(type_) * static_cast<size_t>(rows_ * width_); }
  void* data() const { return block_.data; }
  // The same for others, whose work may go on when this has ended.
  void* shown() {
    shown_ = true;
    return block_.data;
  }
  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }
  DType type() const { return type_; }
  const DeviceModel& model() const { return *model_; }

 private:
  std::shared_ptr<const DeviceModel> model_;
  DType type_;
  int64_t rows_, width_;
  ResultPool::Block block_;
  bool shown_ = false;
};

py::array to_host(const DeviceBuffer& buffer) {
  py::array out(numpy_dtype(buffer.type()), std::vector<py::ssize_t>{buffer.rows(), buffer.width()});
  void* const to = out.mutable_data();
  const GilRelease release;
  buffer.model().copy(to, buffer.data(), buffer.bytes());
  return out;
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
  tensor.data = buffer->shown();
  tensor.device = {kDLCUDA, static_cast<int32_t>(buffer->model().device_number())};
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

// Moved out of the capsule, whose destructor then does nothing.
template <class T>
T* held_by(const py::handle& capsule, const char* name) {
  require(PyCapsule_IsValid(capsule.ptr(), name) != 0, ErrorCode::input, "expected a capsule named ", name,
          " but found ", std::string(py::str(py::type::of(capsule).attr("__name__"))));
  return static_cast<T*>(PyCapsule_GetPointer(capsule.ptr(), name));
}
constexpr const char* kSchema = "arrow_schema";
constexpr const char* kDeviceArray = "arrow_device_array";
constexpr const char* kDeviceStream = "arrow_device_array_stream";

Storage storage_of(Kind kind) {
  switch (kind) {
    case Kind::boolean: return Storage::bytes;
    case Kind::int8: return Storage::int8;
    case Kind::int16: return Storage::int16;
    case Kind::int32: return Storage::int32;
    case Kind::int64: return Storage::int64;
    case Kind::uint8: return Storage::uint8;
    case Kind::uint16: return Storage::uint16;
    case Kind::uint32: return Storage::uint32;
    case Kind::uint64: return Storage::uint64;
    case Kind::float16: return Storage::float16;
    case Kind::float32: return Storage::float32;
    default: return Storage::float64;
  }
}

// Numbers at an address, `stride` bytes apart.
ColumnView number_column(uintptr_t data, const std::string& kind, int64_t stride, int64_t rows) {
  const auto type = logical_type_named(kind);
  require(type.has_value(), ErrorCode::input, "expected numbers but found ", quoted(kind));
  ColumnView view;
  view.storage = storage_of(type->kind);
  view.type = *type;
  view.length = rows;
  view.stride = stride;
  view.data = reinterpret_cast<const void*>(data);
  return view;
}

// Columns as (name, address, type, stride in bytes) or (name, Arrow schema, Arrow device array); `device`: of
// the first kind, -1 where it is not known; `rows`: the same, of the second kind alone.
std::shared_ptr<DeviceTable> device_columns(const py::sequence& columns, int64_t rows, int64_t device) {
  DeviceColumns out;
  for (const py::handle& item : columns) {
    const auto column = py::reinterpret_borrow<py::tuple>(item);
    auto name = column[0].cast<std::string>();
    if (column.size() == 3)
      out.add(import_device_column(std::move(name), held_by<ArrowSchema>(column[1], kSchema),
                                   held_by<ArrowDeviceArray>(column[2], kDeviceArray)));
    else
      out.add(std::move(name),
              number_column(column[1].cast<uintptr_t>(), column[2].cast<std::string>(),
                            column[3].cast<int64_t>(), rows),
              device);
  }
  return std::make_shared<DeviceTable>(out.finish(rows < 0 ? out.first_length() : rows));
}

std::vector<std::shared_ptr<DeviceTable>> shared(std::vector<DeviceTable> tables) {
  std::vector<std::shared_ptr<DeviceTable>> out;
  for (DeviceTable& table : tables) out.push_back(std::make_shared<DeviceTable>(std::move(table)));
  return out;
}

// The rows of several tables, one after the other.
std::vector<std::shared_ptr<DeviceBuffer>> run_on_device(
    const std::shared_ptr<DeviceModel>& model, const std::vector<std::shared_ptr<DeviceTable>>& tables,
    const std::vector<int32_t>& outputs, uintptr_t stream) {
  std::vector<std::shared_ptr<DeviceBuffer>> out;
  const GilRelease release;
  int64_t rows = 0;
  for (const auto& table : tables) rows += table->columns.rows();
  std::vector<void*> destinations;
  std::vector<size_t> row_bytes;
  for (int32_t output : outputs) {
    const ValueType type = output_type(model->model(), output);
    require(type.dtype != DType::str, ErrorCode::input, "expected an output of numbers but found text");
    out.push_back(std::make_shared<DeviceBuffer>(model, type.dtype, rows, type.width));
    destinations.push_back(out.back()->data());
    row_bytes.push_back(size_of(type.dtype) * static_cast<size_t>(type.width));
  }
  for (const auto& table : tables) {
    model->run_on_device(*table, outputs, destinations, reinterpret_cast<device::Stream*>(stream));
    for (size_t i = 0; i < outputs.size(); ++i)
      destinations[i] = static_cast<std::byte*>(destinations[i]) +
                        row_bytes[i] * static_cast<size_t>(table->columns.rows());
  }
  return out;
}

}  // namespace

void register_device(py::module_& module) {
  py::class_<DeviceBuffer, std::shared_ptr<DeviceBuffer>>(module, "DeviceBuffer",
                                                          "An array in a device's memory.")
      .def_property_readonly("address",
                             [](DeviceBuffer& buffer) { return reinterpret_cast<uintptr_t>(buffer.shown()); })
      .def_property_readonly("rows", &DeviceBuffer::rows)
      .def_property_readonly("width", &DeviceBuffer::width)
      .def_property_readonly("dtype", [](const DeviceBuffer& buffer) { return numpy_dtype(buffer.type()); })
      .def_property_readonly("device",
                             [](const DeviceBuffer& buffer) { return buffer.model().device_number(); })
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
      .def("run_on_device", &run_on_device, py::arg("tables"), py::arg("outputs"), py::arg("stream"),
           "Blocks of the outputs, in the device's memory.");
  py::class_<DeviceTable, std::shared_ptr<DeviceTable>>(module, "DeviceTable",
                                                        "Columns in a device's memory.");
  module.def("device_columns", &device_columns, py::arg("columns"), py::arg("rows"), py::arg("device"));
  module.def(
      "read_arrow_device_array",
      [](const py::object& schema, const py::object& array) {
        return std::make_shared<DeviceTable>(import_device_table(
            held_by<ArrowSchema>(schema, kSchema), held_by<ArrowDeviceArray>(array, kDeviceArray)));
      },
      py::arg("schema"), py::arg("array"));
  module.def(
      "read_arrow_device_stream",
      [](const py::object& stream) {
        return shared(import_device_stream(held_by<ArrowDeviceArrayStream>(stream, kDeviceStream)));
      },
      py::arg("stream"));
  module.def(
      "arrow_device_type",
      [](const py::object& capsule) {
        return PyCapsule_IsValid(capsule.ptr(), kDeviceStream) != 0
                   ? held_by<ArrowDeviceArrayStream>(capsule, kDeviceStream)->device_type
                   : held_by<ArrowDeviceArray>(capsule, kDeviceArray)->device_type;
      },
      py::arg("capsule"), "What a capsule of Arrow's C Device interface says of where its data lie.");
  module.def("read_dlpack", &read_dlpack, py::arg("capsule"));
}

}  // namespace mlcore

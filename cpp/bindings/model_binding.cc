// Model: load, save, run, describe.
#include "bindings/bindings.h"
#include "bindings/gil.h"
#include "bindings/run_batches.h"
#include "ir/artifact.h"
#include "ops/op.h"
#include "runtime/batch.h"
#include "runtime/model.h"
#include "runtime/tensor.h"
#include "runtime/warm_workspace.h"

namespace py = pybind11;

namespace mlcore {

py::object missing_object(int64_t kind) {
  if (kind == kNaN) return py::float_(std::numeric_limits<double>::quiet_NaN());
  return py::none();
}

namespace {

py::array strings_to_python(const std::vector<StringRef>& values, int64_t rows, int64_t width) {
  py::array out(py::dtype("O"), std::vector<py::ssize_t>{rows, width});
  auto** slots = static_cast<PyObject**>(out.mutable_data());
  for (size_t i = 0; i < values.size(); ++i) {
    py::object item =
        values[i].data
            ? py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(values[i].data, values[i].size, nullptr))
            : missing_object(values[i].size);
    if (!item) throw py::error_already_set();
    Py_XDECREF(slots[i]);
    slots[i] = item.release().ptr();
  }
  return out;
}

}  // namespace

const ValueType& output_type(const Model& model, int32_t output) {
  const Program& program = model.program();
  require(output >= 0 && static_cast<size_t>(output) < program.outputs.size(), ErrorCode::program,
          "expected an output below ", program.outputs.size(), " but found ", output);
  return program.nodes[static_cast<size_t>(program.outputs[static_cast<size_t>(output)].value)].type;
}

py::dtype numpy_dtype(DType type) {
  switch (type) {
    case DType::f64: return py::dtype("f8");
    case DType::f32: return py::dtype("f4");
    case DType::i64: return py::dtype("i8");
    default: return py::dtype("i4");
  }
}

py::list run_batches(const Model& model, const std::vector<std::shared_ptr<Batch>>& batches,
                     const std::vector<int32_t>& outputs,
                     const std::function<void(const Batch&, std::span<void* const>)>& run) {
  int64_t rows = 0;
  for (const auto& batch : batches) rows += batch->rows();
  std::vector<py::array> arrays(outputs.size());
  std::vector<std::vector<StringRef>> strings(outputs.size());
  std::vector<std::byte*> starts(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const ValueType type = output_type(model, outputs[i]);
    if (type.dtype == DType::str) {
      strings[i].resize(static_cast<size_t>(rows * type.width));
      starts[i] = reinterpret_cast<std::byte*>(strings[i].data());
    } else {
      arrays[i] = py::array(numpy_dtype(type.dtype), std::vector<py::ssize_t>{rows, type.width});
      starts[i] = static_cast<std::byte*>(arrays[i].mutable_data());
    }
  }
  {
    const GilRelease release;
    std::vector<void*> destinations(outputs.size());
    int64_t done = 0;
    for (const auto& batch : batches) {
      for (size_t i = 0; i < outputs.size(); ++i) {
        const ValueType type = output_type(model, outputs[i]);
        destinations[i] = starts[i] + size_of(type.dtype) * static_cast<size_t>(done * type.width);
      }
      run(*batch, destinations);
      done += batch->rows();
    }
  }
  py::list out;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const ValueType type = output_type(model, outputs[i]);
    out.append(type.dtype == DType::str ? strings_to_python(strings[i], rows, type.width) : arrays[i]);
  }
  return out;
}

namespace {

py::list run(const Model& model, const std::vector<std::shared_ptr<Batch>>& batches,
             const std::vector<int32_t>& outputs, bool folded) {
  const WarmWorkspace workspace;
  return run_batches(model, batches, outputs, [&](const Batch& batch, std::span<void* const> destinations) {
    if (folded) model.run(batch, outputs, destinations, *workspace);
    else model.run_unfolded(batch, outputs, destinations, *workspace);
  });
}

py::list describe_schema(const Model& model) {
  py::list out;
  const Program& program = model.program();
  for (size_t i = 0; i < program.schema.size(); ++i) {
    const ColumnSpec& column = program.schema[i];
    py::dict entry;
    entry["name"] = column.name;
    entry["type"] = name_of(column.type);
    entry["nullable"] = column.nullable;
    entry["distinguishes_missing"] = column.distinguishes_missing;
    entry["used"] = static_cast<bool>(model.used_columns()[i]);
    out.append(entry);
  }
  return out;
}

py::list describe_nodes(const Model& model) {
  py::list out;
  const Program& program = model.program();
  for (const Node& node : program.nodes) {
    py::dict entry;
    entry["op"] = node.op;
    entry["path"] = node.path;
    entry["inputs"] = node.inputs;
    entry["attributes"] = py::cast(node.attributes);
    entry["constants"] = py::cast(node.constants);
    entry["dtype"] = std::string(name_of(node.type.dtype));
    entry["width"] = node.type.width;
    const NodeReader reader(program, node);
    entry["exact"] = op_named(node.op, node.path).exactness(reader) == Exactness::exact;
    out.append(entry);
  }
  return out;
}

py::list describe_outputs(const Model& model) {
  py::list out;
  const Program& program = model.program();
  for (const OutputSpec& output : program.outputs) {
    py::dict entry;
    entry["method"] = output.method;
    entry["index"] = output.index;
    entry["value"] = output.value;
    entry["dtype"] = output.dtype;
    entry["vector"] = output.vector;
    entry["names"] = output.names;
    entry["labels"] = output.labels < 0 ? py::object(py::none())
                                        : to_python(program.constants[static_cast<size_t>(output.labels)]);
    out.append(entry);
  }
  return out;
}

py::dict describe_input(const TensorInput& input) {
  py::dict entry;
  entry["name"] = input.name;
  entry["type"] = std::string(input.type->name);
  entry["column"] = input.column;
  entry["width"] = input.width;
  entry["matrix"] = input.matrix;
  entry["valid"] = input.valid;
  return entry;
}

// As `default_inputs`, `matrix_of` (one or none) and `TensorOutput` say; of inputs the columns, of outputs
// the values per row.
py::dict describe_tensors(const Model& model) {
  py::list inputs, matrix, outputs;
  for (const TensorInput& input : default_inputs(model)) inputs.append(describe_input(input));
  if (const auto found = matrix_of(model.program())) matrix.append(describe_input(*found));
  for (const TensorOutput& one : tensor_outputs(model.program())) {
    const TensorFacts output = facts_of(one);
    py::dict entry;
    entry["name"] = output.name;
    entry["type"] = std::string(output.type->name);
    entry["width"] = output.width;
    entry["vector"] = output.vector;
    outputs.append(entry);
  }
  py::dict out;
  out["inputs"] = inputs;
  out["matrix"] = matrix;
  out["outputs"] = outputs;
  return out;
}

py::list describe_fold(const Model& model) {
  py::list out;
  for (const FoldNote& note : model.fold_notes()) {
    py::dict entry;
    entry["op"] = note.op;
    entry["step"] = note.step;
    entry["feature"] = note.feature;
    entry["steps"] = note.steps;
    entry["origin"] = note.origin;
    entry["outcome"] = note.outcome;
    entry["column"] = note.column;
    entry["cuts"] = py::array_t<double>(static_cast<py::ssize_t>(note.cuts.size()), note.cuts.data());
    out.append(entry);
  }
  return out;
}

py::bytes to_bytes(const Model& model) {
  std::vector<std::byte> bytes;
  {
    const GilRelease release;
    bytes = encode_artifact(model.program());
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

void register_model(py::module_& module) {
  py::class_<Model, std::shared_ptr<Model>>(module, "Model", "An immutable, validated program with its plan.")
      .def_static(
          "load", [](const std::string& path) { return std::const_pointer_cast<Model>(Model::load(path)); },
          py::arg("path"), py::call_guard<GilRelease>())
      .def_static(
          "from_bytes",
          [](const py::bytes& data) {
            const std::string_view view = data;
            const GilRelease release;
            return std::const_pointer_cast<Model>(Model::from_bytes(std::as_bytes(std::span(view))));
          },
          py::arg("data"))
      .def("to_bytes", &to_bytes, "The artifact's bytes.")
      .def(
          "save", [](const Model& model, const std::string& path) { save_artifact(model.program(), path); },
          py::arg("path"), py::call_guard<GilRelease>())
      .def("run", &run, py::arg("batches"), py::arg("outputs"), py::arg("folded") = true,
           "Blocks of the outputs; not `folded`: by the program as the file has it.")
      .def(
          "with_golden",
          [](const Model& model, const std::shared_ptr<Batch>& batch) {
            const GilRelease release;
            return std::make_shared<Model>(model.with_golden(*batch));
          },
          py::arg("batch"), "This model with the rows of `batch` and their outputs stored as golden rows.")
      .def(
          "constant",
          [](const Model& model, size_t index) {
            require(index < model.program().constants.size(), ErrorCode::program,
                    "expected a constant below ", model.program().constants.size(), " but found ", index);
            return to_python(model.program().constants[index]);
          },
          py::arg("index"))
      .def_property("threads", &Model::threads, &Model::set_threads,
                    "Most threads that `run` takes; set 0 for the default.")
      .def_property_readonly("schema", &describe_schema)
      .def_property_readonly("nodes", &describe_nodes)
      .def_property_readonly("outputs", &describe_outputs)
      .def_property_readonly("tensors", &describe_tensors,
                             "Inputs and outputs as tensors of the Open Inference Protocol.")
      .def_property_readonly("fold_notes", &describe_fold,
                             "What became of each feature that a forest splits on.")
      .def_property_readonly("golden_rows", [](const Model& model) { return model.program().golden.rows; })
      .def_property_readonly("provenance", [](const Model& model) { return model.program().provenance; });
}

}  // namespace mlcore

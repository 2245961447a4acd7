// ProgramBuilder: front ends append nodes; every node is validated as it is added.
#include <cstring>

#include "bindings/bindings.h"
#include "ops/op.h"
#include "runtime/model.h"

namespace py = pybind11;

namespace mlcore {
namespace {

Constant from_array(const py::array& array) {
  const auto dense = py::array::ensure(array, py::array::c_style);
  const py::dtype dtype = dense.dtype();
  const char kind = dtype.kind();
  const auto size = dtype.itemsize();
  std::optional<DType> type;
  if (kind == 'f' && size == 8) type = DType::f64;
  if (kind == 'f' && size == 4) type = DType::f32;
  if (kind == 'i' && size == 8) type = DType::i64;
  if (kind == 'i' && size == 4) type = DType::i32;
  if (kind == 'u' && size == 4) type = DType::u32;
  if ((kind == 'u' || kind == 'b') && size == 1) type = DType::u8;
  require(type && dtype.byteorder() != '>', ErrorCode::program,
          "expected a constant of dtype float64, float32, int64, int32, uint32, uint8 or bool but found ",
          py::str(dtype).cast<std::string>());
  const std::vector<int64_t> shape(dense.shape(), dense.shape() + dense.ndim());
  return {*type, shape, {static_cast<const std::byte*>(dense.data()), static_cast<size_t>(dense.nbytes())}};
}

Constant from_python(const py::handle& value) {
  if (py::isinstance<py::array>(value)) return from_array(py::reinterpret_borrow<py::array>(value));
  require(py::isinstance<py::list>(value), ErrorCode::program,
          "expected a constant as ndarray or list of str but found ", Py_TYPE(value.ptr())->tp_name);
  std::vector<std::string> texts;
  for (const py::handle item : py::reinterpret_borrow<py::list>(value)) {
    require(py::isinstance<py::str>(item), ErrorCode::program, "expected a list of str but it holds ",
            Py_TYPE(item.ptr())->tp_name);
    texts.push_back(item.cast<std::string>());
  }
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  return Constant::strings(views);
}

class ProgramBuilder {
 public:
  void set_column(size_t index, const std::string& name, const std::string& type, bool nullable,
                  bool distinguishes_missing) {
    const auto logical = logical_type_named(type);
    require(logical.has_value(), ErrorCode::program, "column ", quoted(name),
            ": expected a schema type but found ", quoted(type));
    if (program_.schema.size() <= index) program_.schema.resize(index + 1);
    program_.schema[index] = {name, *logical, nullable, distinguishes_missing};
  }

  py::tuple add(const std::string& op, const std::string& path, std::vector<int32_t> inputs,
                const py::dict& attributes, const py::dict& constants) {
    Node node;
    node.op = op;
    node.path = path;
    node.inputs = std::move(inputs);
    for (int32_t input : node.inputs)
      require(input >= 0 && static_cast<size_t>(input) < program_.nodes.size(), ErrorCode::program, "op ",
              quoted(op), ": expected an earlier value but found id ", input);
    for (const auto& [key, value] : attributes) {
      auto& slot = node.attributes[key.cast<std::string>()];
      if (py::isinstance<py::bool_>(value)) slot = value.cast<bool>();
      else if (py::isinstance<py::str>(value)) slot = value.cast<std::string>();
      else slot = value.cast<int64_t>();
    }
    const size_t kept = program_.constants.size();
    for (const auto& [key, value] : constants) {
      node.constants[key.cast<std::string>()] = static_cast<int32_t>(program_.constants.size());
      program_.constants.push_back(from_python(value));
    }
    try {
      const NodeReader reader(program_, node);
      node.type = op_named(op, path).validate(reader);
      reader.finish();
    } catch (...) {
      program_.constants.resize(kept);
      throw;
    }
    program_.nodes.push_back(std::move(node));
    return py::make_tuple(program_.nodes.size() - 1, std::string(name_of(program_.nodes.back().type.dtype)),
                          program_.nodes.back().type.width);
  }

  void add_output(const std::string& method, int32_t index, int32_t value, const std::string& dtype,
                  bool vector, const std::vector<std::string>& names, const py::object& labels) {
    int32_t constant = -1;
    if (!labels.is_none()) {
      constant = static_cast<int32_t>(program_.constants.size());
      program_.constants.push_back(from_python(labels));
    }
    program_.outputs.push_back({method, index, value, dtype, vector, names, constant});
  }

  void set_provenance(const std::map<std::string, std::string>& provenance) {
    program_.provenance = provenance;
  }

  std::shared_ptr<Model> finish() const { return std::make_shared<Model>(program_); }

 private:
  Program program_;
};

}  // namespace

py::object to_python(const Constant& constant) {
  if (constant.type() == DType::str) {
    py::list out;
    for (int64_t i = 0; i < constant.size(); ++i) out.append(py::str(std::string(constant.string_at(i))));
    return out;
  }
  const char* format = nullptr;
  switch (constant.type()) {
    case DType::f64: format = "f8"; break;
    case DType::f32: format = "f4"; break;
    case DType::i64: format = "i8"; break;
    case DType::i32: format = "i4"; break;
    case DType::u32: format = "u4"; break;
    default: format = "u1"; break;
  }
  py::array out(py::dtype(format), constant.shape());
  if (!constant.bytes().empty())
    std::memcpy(out.mutable_data(), constant.bytes().data(), constant.bytes().size());
  return out;
}

void register_program(py::module_& module) {
  py::class_<ProgramBuilder>(module, "ProgramBuilder", "Appends validated nodes; see docs/design/0001.")
      .def(py::init<>())
      .def("set_column", &ProgramBuilder::set_column, py::arg("index"), py::arg("name"), py::arg("type"),
           py::arg("nullable"), py::arg("distinguishes_missing"))
      .def("add", &ProgramBuilder::add, py::arg("op"), py::arg("path"), py::arg("inputs"),
           py::arg("attributes"), py::arg("constants"), "Append a node; gives (id, dtype, width).")
      .def("add_output", &ProgramBuilder::add_output, py::arg("method"), py::arg("index"), py::arg("value"),
           py::arg("dtype"), py::arg("vector"), py::arg("names"), py::arg("labels"))
      .def("set_provenance", &ProgramBuilder::set_provenance, py::arg("provenance"))
      .def("finish", &ProgramBuilder::finish, "Validate the whole program and lower it.");
}

}  // namespace mlcore

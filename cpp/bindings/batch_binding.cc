// Python faces of the table boundary; python/mlcore/containers.py is their user.

#include <pybind11/stl.h>

#include <mutex>
#include <numeric>

#include "base/status.h"
#include "bindings/batch_builder.h"
#include "bindings/bindings.h"
#include "bindings/gil.h"
#include "bindings/py_value.h"
#include "bindings/row_reader.h"
#include "runtime/arrow_export.h"
#include "runtime/decode.h"

namespace py = pybind11;

namespace mlcore {
namespace {

LogicalType type_or_refuse(const std::string& name) {
  const std::optional<LogicalType> type = logical_type_named(name);
  require(type.has_value(), ErrorCode::input, "expected the name of a column type but found ", quoted(name));
  return *type;
}

// -- Batch
// -----------------------------------------------------------------------------------------------------

std::vector<std::string> batch_types(const Batch& batch) {
  std::vector<std::string> out;
  for (size_t i = 0; i < batch.column_count(); ++i) out.push_back(found_type(batch.column(i)));
  return out;
}

const ColumnView& column_named(const Batch& batch, const std::string& name) {
  for (size_t i = 0; i < batch.column_count(); ++i)
    if (batch.names()[i] == name) return batch.column(i);
  fail(ErrorCode::input, "expected a ", ColumnName{name}, " but the batch has none");
}

py::list strings_to_list(const std::vector<StringRef>& values, bool kinds) {
  py::list out;
  for (const StringRef& value : values) {
    if (kinds) out.append(value.data ? int64_t{0} : 1 + value.size);
    else if (value.data) out.append(py::str(value.data, static_cast<size_t>(value.size)));
    else if (value.size == kNaN) out.append(std::numeric_limits<double>::quiet_NaN());
    else out.append(py::none());
  }
  return out;
}

py::object decode_column(const Batch& batch, const std::string& name, const std::string& type,
                         const std::string& dtype, int64_t first, std::optional<int64_t> count, bool nullable,
                         bool distinguishes_missing) {
  const ColumnView& column = column_named(batch, name);
  const ColumnSpec spec{name, type_or_refuse(type), nullable, distinguishes_missing};
  const std::optional<DType> as = dtype_named(dtype == "kinds" ? "str" : dtype);
  require(as.has_value(), ErrorCode::input, "expected f64, f32, i64, str or kinds but found ", quoted(dtype));
  const Batch single(batch.rows(), std::make_shared<const std::vector<std::string>>(1, name), {column}, {});
  bind_columns({spec}, {true}, single);
  const int64_t rows = count.value_or(batch.rows() - first);
  require(rows >= 0, ErrorCode::input, "expected a row count of at least 0 but found ", rows);
  if (*as == DType::str) {
    std::vector<StringRef> values(static_cast<size_t>(rows));
    decode(spec, column, first, rows, *as, values.data());
    return strings_to_list(values, dtype == "kinds");
  }
  py::array out(py::dtype(*as == DType::f64 ? "f8" : *as == DType::f32 ? "f4" : "i8"), rows);
  decode(spec, column, first, rows, *as, out.mutable_data());
  return out;
}

// -- rows
// ------------------------------------------------------------------------------------------------------

std::vector<ColumnSpec> schema_from(const py::list& schema, std::vector<bool>& used) {
  std::vector<ColumnSpec> out;
  for (const py::handle entry : schema) {
    const auto column = py::cast<py::dict>(entry);
    out.push_back({py::cast<std::string>(column["name"]),
                   type_or_refuse(py::cast<std::string>(column["type"])), py::cast<bool>(column["nullable"]),
                   py::cast<bool>(column["distinguishes_missing"])});
    used.push_back(!column.contains("used") || py::cast<bool>(column["used"]));
  }
  return out;
}

std::shared_ptr<Batch> row_batch(const py::list& schema, const py::object& row) {
  std::vector<bool> used;
  const std::vector<ColumnSpec> specs = schema_from(schema, used);
  std::vector<int32_t> order(specs.size());
  std::iota(order.begin(), order.end(), 0);
  const RowReader reader(specs, used, std::move(order));
  auto holder = std::make_shared<Row>(specs);
  if (PyDict_Check(row.ptr()) || py::hasattr(row, "keys")) reader.read(row, *holder);
  else reader.read_positional(row, *holder);
  return std::shared_ptr<Batch>(holder, const_cast<Batch*>(&holder->batch()));
}

// -- Arrow
// -----------------------------------------------------------------------------------------------------

// One thread at a time reads the stream, also without a GIL.
class PyArrowReader {
 public:
  PyArrowReader(const py::object& source, const std::string& validate)
      : level_(validation_or_refuse(validate)), reader_(open(source)) {}

  std::vector<std::string> names() const {
    return single_ ? std::vector<std::string>(single_->names().begin(), single_->names().end())
                   : std::vector<std::string>(reader_->names().begin(), reader_->names().end());
  }

  std::shared_ptr<Batch> next() {
    std::optional<Batch> batch;
    {
      const GilRelease release;
      const std::scoped_lock lock(mutex_);
      batch = reader_ ? reader_->next() : std::exchange(single_left_, std::nullopt);
    }
    if (!batch) throw py::stop_iteration();
    return std::make_shared<Batch>(std::move(*batch));
  }

  std::shared_ptr<Batch> empty() const {
    if (reader_) return std::make_shared<Batch>(reader_->empty());
    std::vector<ColumnView> views;
    for (size_t i = 0; i < single_->column_count(); ++i) views.push_back(slice(single_->column(i), 0, 0));
    auto names =
        std::make_shared<const std::vector<std::string>>(single_->names().begin(), single_->names().end());
    // the views may point into the array's dictionaries
    return std::make_shared<Batch>(0, std::move(names), std::move(views),
                                   std::vector<KeepAlive>{std::make_shared<const Batch>(*single_)});
  }

 private:
  std::optional<ArrowReader> open(const py::object& object) {
    ArrowSource source(object);
    const GilRelease release;
    if (source.is_stream) return ArrowReader(&source.stream, level_);
    single_ = import_batch(&source.schema, &source.array, level_);
    single_left_ = single_;
    return std::nullopt;
  }

  Validation level_;
  std::optional<Batch> single_;       // a source that is one array
  std::optional<Batch> single_left_;  // the same until it was handed out
  std::optional<ArrowReader> reader_;
  std::mutex mutex_;
};

void table_add(ArrowTable& table, const std::string& name, const py::array& values, const std::string& type) {
  require(values.ndim() == 1 && values.shape(0) == table.rows(), ErrorCode::input, ColumnName{name},
          ": expected ", table.rows(), " values but found ", values.size());
  const py::array dense =
      py::reinterpret_borrow<py::array>(py::module_::import("numpy").attr("ascontiguousarray")(values));
  table.add(name, type_or_refuse(type),
            {static_cast<const std::byte*>(dense.data()), static_cast<size_t>(dense.nbytes())});
}

void table_add_strings(ArrowTable& table, const std::string& name, const py::sequence& values) {
  const py::tuple items(values);
  std::vector<StringRef> refs;
  for (const py::handle item : items) {
    std::string_view found;
    const ValueResult result = read_text(item.ptr(), found);
    if (result.state == ValueState::wrong)
      fail(ErrorCode::input, ColumnName{name}, ": expected string but found ",
           describe_wrong(item.ptr(), result, {Kind::string, TimeUnit::nano, {}}), " in row ", refs.size());
    refs.push_back(result.state == ValueState::missing
                       ? StringRef{nullptr, result.missing}
                       : StringRef{found.data(), static_cast<int64_t>(found.size())});
  }
  table.add(name, refs);
}

// A heap struct in a capsule that releases it unless a consumer took it.
template <class Struct>
py::capsule capsule_of(std::unique_ptr<Struct> value, const char* name) {
  return py::capsule(value.release(), name, [](PyObject* capsule) {
    const std::unique_ptr<Struct> owned(
        static_cast<Struct*>(PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))));
    if (owned && owned->release) owned->release(owned.get());
  });
}

py::capsule table_schema(const ArrowTable& table) {
  auto schema = std::make_unique<ArrowSchema>();
  table.export_schema(schema.get());
  return capsule_of(std::move(schema), "arrow_schema");
}

py::tuple table_array(const ArrowTable& table, const py::object& requested_schema) {
  (void)requested_schema;  // a hint that a producer may ignore
  auto array = std::make_unique<ArrowArray>();
  table.export_array(array.get());
  return py::make_tuple(table_schema(table), capsule_of(std::move(array), "arrow_array"));
}

py::capsule table_stream(const ArrowTable& table, const py::object& requested_schema) {
  (void)requested_schema;
  auto stream = std::make_unique<ArrowArrayStream>();
  table.export_stream(stream.get());
  return capsule_of(std::move(stream), "arrow_array_stream");
}

}  // namespace

void register_batch(py::module_& module) {
  py::class_<Batch, std::shared_ptr<Batch>>(module, "Batch",
                                            "Rows of a table, borrowed from where they came from.")
      .def_property_readonly("rows", &Batch::rows)
      .def_property_readonly("names",
                             [](const Batch& batch) {
                               return std::vector<std::string>(batch.names().begin(), batch.names().end());
                             })
      .def_property_readonly("types", &batch_types, "What each column was found to be.")
      .def("decode", &decode_column, py::arg("column"), py::arg("type"), py::arg("dtype"),
           py::arg("first") = 0, py::arg("count") = py::none(), py::arg("nullable") = true,
           py::arg("distinguishes_missing") = false,
           "Rows of one column as a model with schema type `type` would read them: an array for dtype f64, "
           "f32 and "
           "i64, a list for str (missing: None, or NaN where the container said so), and for `kinds` which "
           "missing "
           "each string is: 0 present, 1 null, 2 None, 3 NaN.");

  py::class_<BatchBuilder>(module, "BatchBuilder",
                           "Collects columns of `rows` rows and cuts them into batches.")
      .def(py::init<int64_t>(), py::arg("rows"))
      .def("add_array", &BatchBuilder::add_array, py::arg("name"), py::arg("values"),
           py::arg("type") = py::none(), py::arg("mask") = py::none(), py::arg("missing") = "null")
      .def("add_objects", &BatchBuilder::add_objects, py::arg("name"), py::arg("values"), py::arg("type"),
           py::arg("none_is_null") = false)
      .def("add_categorical", &BatchBuilder::add_categorical, py::arg("name"), py::arg("codes"),
           py::arg("categories"), py::arg("missing") = "null")
      .def("add_arrow", &BatchBuilder::add_arrow, py::arg("name"), py::arg("values"),
           py::arg("missing") = "null", py::arg("validate") = "default")
      .def("add_unreadable", &BatchBuilder::add_unreadable, py::arg("name"), py::arg("found"))
      .def("finish", &BatchBuilder::finish);

  module.def(
      "matrix_batch",
      [](const py::array& values, const std::vector<std::string>& names) {
        return std::make_shared<Batch>(matrix_batch(values, names));
      },
      py::arg("values"), py::arg("names"), "The columns of a two-dimensional array under the given names.");
  module.def("row_batch", &row_batch, py::arg("schema"), py::arg("row"),
             "One row, a mapping or a sequence by position, as a batch in exactly the schema's types.");

  py::class_<PyArrowReader>(module, "ArrowReader", "Batches of an Arrow stream or array, one by one.")
      .def(py::init<const py::object&, const std::string&>(), py::arg("source"),
           py::arg("validate") = "default")
      .def_property_readonly("names", &PyArrowReader::names)
      .def("empty", &PyArrowReader::empty, "A batch of no rows with the source's columns.")
      .def("__iter__", [](py::object self) { return self; })
      .def("__next__", &PyArrowReader::next);

  py::class_<ArrowTable>(module, "ArrowTable", "Result columns, exported through the Arrow C Data Interface.")
      .def(py::init<int64_t>(), py::arg("rows"))
      .def_property_readonly("rows", &ArrowTable::rows)
      .def("add", &table_add, py::arg("name"), py::arg("values"), py::arg("type"))
      .def("add_strings", &table_add_strings, py::arg("name"), py::arg("values"))
      .def("__arrow_c_schema__", &table_schema)
      .def("__arrow_c_array__", &table_array, py::arg("requested_schema") = py::none())
      .def("__arrow_c_stream__", &table_stream, py::arg("requested_schema") = py::none());
}

}  // namespace mlcore

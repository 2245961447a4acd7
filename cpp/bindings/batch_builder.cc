#include "bindings/batch_builder.h"

#include <array>
#include <bit>
#include <cstring>

#include "base/status.h"
#include "bindings/gil.h"
#include "bindings/py_value.h"
#include "runtime/fp_environment.h"

namespace py = pybind11;

namespace mlcore {
namespace {

struct NumpyType {
  char kind;
  uint8_t width;
  Storage storage;
  Kind meaning;
};
constexpr std::array<NumpyType, 12> kNumpyTypes{{
    {'b', 1, Storage::bytes, Kind::boolean},
    {'i', 1, Storage::int8, Kind::int8},
    {'i', 2, Storage::int16, Kind::int16},
    {'i', 4, Storage::int32, Kind::int32},
    {'i', 8, Storage::int64, Kind::int64},
    {'u', 1, Storage::uint8, Kind::uint8},
    {'u', 2, Storage::uint16, Kind::uint16},
    {'u', 4, Storage::uint32, Kind::uint32},
    {'u', 8, Storage::uint64, Kind::uint64},
    {'f', 2, Storage::float16, Kind::float16},
    {'f', 4, Storage::float32, Kind::float32},
    {'f', 8, Storage::float64, Kind::float64},
}};

ColumnView numpy_view(const py::array& values, std::string_view name) {
  const py::dtype dtype = values.dtype();
  for (const NumpyType& entry : kNumpyTypes) {
    if (dtype.kind() != entry.kind || dtype.itemsize() != entry.width) continue;
    constexpr char kForeign = std::endian::native == std::endian::little ? '>' : '<';
    if (dtype.byteorder() == kForeign)
      fail(ErrorCode::input, ColumnName{name}, ": expected an array in native byte order but found ",
           std::string(py::str(py::object(dtype))));
    ColumnView view;
    view.storage = entry.storage;
    view.type.kind = entry.meaning;
    view.data = values.data();
    return view;
  }
  ColumnView view;
  view.storage = Storage::unsupported;
  view.problem = std::string(py::str(py::object(dtype))) + ", which is not supported";
  return view;
}

LogicalType type_or_refuse(const std::string& name) {
  const std::optional<LogicalType> type = logical_type_named(name);
  require(type.has_value(), ErrorCode::input, "expected the name of a column type but found ", quoted(name));
  return *type;
}

bool is_temporal(Kind kind) {
  return kind == Kind::date32 || kind == Kind::date64 || kind == Kind::timestamp;
}

// Memory of a column that was built value by value.
struct BuiltColumn {
  std::vector<std::byte> values;
  std::vector<uint8_t> kinds;
};

// The objects of a list, tuple or object array, kept alive by `owner`; a null stands for None.
struct Objects {
  py::object owner;
  std::vector<PyObject*> items;

  explicit Objects(const py::object& source) {
    if (py::isinstance<py::array>(source)) {
      // a private copy: another thread may store into the caller's array while its strings are borrowed
      owner = source.attr("astype")("O", py::arg("copy") = true);
      const auto array = py::reinterpret_borrow<py::array>(owner);
      items.reserve(static_cast<size_t>(array.size()));
      const auto* at = static_cast<const char*>(array.data());
      for (py::ssize_t i = 0; i < array.size(); ++i, at += array.strides(0)) {
        PyObject* item = nullptr;
        std::memcpy(&item, at, sizeof item);
        items.push_back(item ? item : Py_None);
      }
      return;
    }
    owner = py::reinterpret_steal<py::object>(PySequence_Tuple(source.ptr()));
    if (!owner) throw py::error_already_set();
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(owner.ptr()); ++i)
      items.push_back(PyTuple_GET_ITEM(owner.ptr(), i));
  }
};

}  // namespace

KeepAlive keep_python(py::object object) {
  return std::shared_ptr<const void>(object.release().ptr(), [](const void* pointer) {
    if (!Py_IsInitialized()) return;
    const py::gil_scoped_acquire acquire;
    Py_DECREF(static_cast<PyObject*>(const_cast<void*>(pointer)));
  });
}

ArrowSource::ArrowSource(const py::object& object) {
  const auto take = [](const py::object& capsule, const char* name, auto& target) {
    void* pointer =
        PyCapsule_IsValid(capsule.ptr(), name) ? PyCapsule_GetPointer(capsule.ptr(), name) : nullptr;
    if (!pointer)
      fail(ErrorCode::input, "expected a capsule named ", name, " but found ", describe_value(capsule.ptr()));
    auto* source = static_cast<std::remove_reference_t<decltype(target)>*>(pointer);
    target = *source;
    source->release = nullptr;  // the capsule's destructor then does nothing
  };
  if (PyCapsule_CheckExact(object.ptr()) || py::hasattr(object, "__arrow_c_stream__")) {
    is_stream = true;
    take(PyCapsule_CheckExact(object.ptr()) ? object : object.attr("__arrow_c_stream__")(),
         "arrow_array_stream", stream);
    return;
  }
  if (!py::hasattr(object, "__arrow_c_array__"))
    fail(ErrorCode::input, "expected an object with __arrow_c_stream__ or __arrow_c_array__ but found ",
         describe_value(object.ptr()));
  const py::object pair = object.attr("__arrow_c_array__")();
  if (PyTuple_Check(pair.ptr()) == 0 || PyTuple_GET_SIZE(pair.ptr()) != 2)
    fail(ErrorCode::input, "expected a schema and an array capsule but found ", describe_value(pair.ptr()));
  take(pair[py::int_(0)], "arrow_schema", schema);
  take(pair[py::int_(1)], "arrow_array", array);
}

ArrowSource::~ArrowSource() {
  if (stream.release) stream.release(&stream);
  if (schema.release) schema.release(&schema);
  if (array.release) array.release(&array);
}

MissingKind missing_kind_named(const std::string& name) {
  if (name == "none") return kNone;
  if (name == "nan") return kNaN;
  require(name == "null", ErrorCode::input, "expected 'null', 'none' or 'nan' but found ", quoted(name));
  return kNull;
}

Validation validation_or_refuse(const std::string& name) {
  const std::optional<Validation> level = validation_named(name);
  require(level.has_value(), ErrorCode::input, "expected 'none', 'default' or 'full' but found ",
          quoted(name));
  return *level;
}

Batch matrix_batch(const py::array& values, const std::vector<std::string>& names) {
  require(values.ndim() == 2, ErrorCode::input, "expected a two-dimensional array but found ", values.ndim(),
          " dimensions");
  require(static_cast<size_t>(values.shape(1)) == names.size(), ErrorCode::input, "expected ", names.size(),
          " columns but found ", values.shape(1));
  ColumnView view = numpy_view(values, "0");
  view.length = values.shape(0);
  view.stride = values.strides(0);
  std::vector<ColumnView> views(names.size(), view);
  for (size_t i = 0; i < names.size(); ++i)
    views[i].data = static_cast<const char*>(view.data) + static_cast<py::ssize_t>(i) * values.strides(1);
  return Batch(view.length, std::make_shared<const std::vector<std::string>>(names), std::move(views),
               {keep_python(values)});
}

BatchBuilder::BatchBuilder(int64_t rows) : rows_(rows) {
  require(rows >= 0, ErrorCode::input, "expected a row count of at least 0 but found ", rows);
}

ChunkedColumn& BatchBuilder::add(std::string name, ColumnView view) {
  ChunkedColumn& column = columns_.emplace_back();
  column.name = std::move(name);
  column.chunks.push_back(std::move(view));
  return column;
}

void BatchBuilder::add_array(std::string name, const py::array& values,
                             const std::optional<std::string>& type, const std::optional<py::array>& mask,
                             const std::string& missing) {
  require(values.ndim() == 1, ErrorCode::input, ColumnName{name}, ": expected one dimension but found ",
          values.ndim());
  ColumnView view = numpy_view(values, name);
  view.length = values.shape(0);
  view.stride = values.strides(0);
  view.missing_kind = missing_kind_named(missing);
  if (type && view.storage != Storage::unsupported) {
    view.type = type_or_refuse(*type);
    const bool wide = view.storage == Storage::int64;
    if (!is_temporal(view.type.kind) || !(wide || view.storage == Storage::int32))
      fail(ErrorCode::input, ColumnName{name}, ": expected int64 ticks of a date or timestamp but found ",
           std::string(py::str(py::object(values.dtype()))), " as ", *type);
    view.sentinel = wide;
  }
  std::vector<KeepAlive> keep_alive{keep_python(values)};
  if (mask) {
    const auto flags = py::reinterpret_borrow<py::array>(
        py::module_::import("numpy").attr("ascontiguousarray")(*mask, py::arg("dtype") = "bool"));
    require(flags.ndim() == 1 && flags.shape(0) == view.length, ErrorCode::input, ColumnName{name},
            ": expected a mask of ", view.length, " rows but found ", flags.size());
    view.mask = static_cast<const uint8_t*>(flags.data());
    keep_alive.push_back(keep_python(flags));
  }
  add(std::move(name), std::move(view)).keep_alive = std::move(keep_alive);
}

void BatchBuilder::add_objects(std::string name, const py::object& values, const std::string& type,
                               bool none_is_null) {
  const FpEnvironment environment;
  const Objects objects(values);
  const size_t rows = objects.items.size();
  auto built = std::make_shared<BuiltColumn>();
  ColumnView view;
  view.type = type_or_refuse(type);
  const PlainLayout layout = plain_layout(view.type.kind);
  const bool is_text = view.type.kind == Kind::string;
  view.storage = layout.storage;
  view.stride = layout.width;
  view.length = static_cast<int64_t>(rows);
  view.trusted = true;
  built->values.resize(rows * layout.width);
  for (size_t i = 0; i < rows; ++i) {
    std::byte* slot = built->values.data() + i * layout.width;
    std::string_view found;
    ValueResult result =
        is_text ? read_text(objects.items[i], found) : read_value(objects.items[i], view.type, slot);
    if (none_is_null && result.missing == kNone) result.missing = kNull;
    if (result.state == ValueState::wrong) {
      view.storage = Storage::unsupported;
      view.problem = describe_wrong(objects.items[i], result, view.type) + " in row " + text(i);
      break;
    }
    const bool present = result.state == ValueState::present;
    if (is_text) {
      const StringRef ref{present ? found.data() : nullptr, present ? static_cast<int64_t>(found.size())
                                                                    : static_cast<int64_t>(result.missing)};
      std::memcpy(slot, &ref, sizeof ref);
    } else if (!present) {
      if (built->kinds.empty()) built->kinds.resize(rows);
      built->kinds[i] = static_cast<uint8_t>(1 + result.missing);
    }
  }
  view.data = built->values.data();
  view.kinds = built->kinds.empty() ? nullptr : built->kinds.data();
  ChunkedColumn& column = add(std::move(name), std::move(view));
  column.keep_alive.push_back(std::move(built));
  if (is_text) column.keep_alive.push_back(keep_python(objects.owner));
}

void BatchBuilder::add_categorical(std::string name, const py::array& codes, const BatchBuilder& categories,
                                   const std::string& missing) {
  require(categories.columns_.size() == 1 && categories.columns_[0].chunks.size() == 1, ErrorCode::input,
          ColumnName{name}, ": expected the categories as one column but found ", categories.columns_.size());
  const ChunkedColumn& source = categories.columns_[0];
  add_array(std::move(name), codes, std::nullopt, std::nullopt, missing);
  ChunkedColumn& column = columns_.back();
  ColumnView& view = column.chunks[0];
  const auto values = std::make_shared<const ColumnView>(source.chunks[0]);
  if (values->storage == Storage::unsupported) {
    view.storage = Storage::unsupported;
    view.problem = "category " + values->problem;
  } else {
    require(view.storage >= Storage::int8 && view.storage <= Storage::uint64, ErrorCode::input,
            ColumnName{column.name}, ": expected integer category codes but found ", found_type(view));
    view.type = values->type;
    view.dictionary = values.get();
    view.sentinel = true;
  }
  column.keep_alive.insert(column.keep_alive.end(), source.keep_alive.begin(), source.keep_alive.end());
  column.keep_alive.push_back(values);
}

void BatchBuilder::add_arrow(std::string name, const py::object& values, const std::string& missing,
                             const std::string& validate) {
  const MissingKind kind = missing_kind_named(missing);
  const Validation level = validation_or_refuse(validate);
  ArrowSource source(values);
  const GilRelease release;  // a producer may wait for threads of its own that need the GIL
  columns_.push_back(source.is_stream
                         ? import_column(std::move(name), &source.stream, kind, level)
                         : import_column(std::move(name), &source.schema, &source.array, kind, level));
}

void BatchBuilder::add_unreadable(std::string name, std::string found) {
  ColumnView view;
  view.storage = Storage::unsupported;
  view.length = rows_;
  view.problem = std::move(found);
  add(std::move(name), std::move(view));
}

std::vector<std::shared_ptr<Batch>> BatchBuilder::finish() const {
  std::vector<std::shared_ptr<Batch>> out;
  for (Batch& batch : align_chunks(columns_, rows_)) out.push_back(std::make_shared<Batch>(std::move(batch)));
  return out;
}

}  // namespace mlcore

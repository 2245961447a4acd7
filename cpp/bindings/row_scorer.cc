// Scorer: one method of a model, prepared for single rows and called without pybind11's dispatch, which costs
// more than a small model.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>

#include "bindings/bindings.h"
#include "bindings/row_reader.h"
#include "runtime/decode.h"

#include <structmember.h>  // after Python.h

namespace py = pybind11;

namespace mlcore {
namespace {

// The interpreter lock is kept while a row is computed: giving it up and taking it back costs more than most
// rows, and with other threads waiting much more. A model whose rows were last seen to take longer than this
// gives it up. One row in kTimed is timed.
constexpr std::chrono::microseconds kLongRow{25};
constexpr uint32_t kTimed = 64;

// How the numbers of one output become Python values.
struct Answer {
  py::tuple names;    // of the values, where there are several
  py::object labels;  // a list of what the i64 values stand for, or None
  char kind;          // of the NumPy dtype of the original's array: 'b', 'i', 'f', 'O' ...
};

// What one call needs besides the scorer; kept from call to call.
struct Slot {
  Slot(const std::vector<ColumnSpec>& schema, const RowReader& reader, RowCall call_)
      : row(schema), array(reader), call(std::move(call_)) {}
  Row row;
  ArrayRow array;
  RowCall call;
  uint32_t calls = 0;
  bool is_long = false;
};

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

py::object stolen(PyObject* object) {
  if (!object) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(object);
}

py::object integer_value(const Answer& answer, int64_t value) {
  if (answer.labels.is_none())
    return answer.kind == 'b' ? py::object(py::bool_(value != 0)) : stolen(PyLong_FromLongLong(value));
  require(value >= 0 && value < PyList_GET_SIZE(answer.labels.ptr()), ErrorCode::program,
          "expected the position of a label but found ", value);
  return py::reinterpret_borrow<py::object>(PyList_GET_ITEM(answer.labels.ptr(), value));
}

// A float that the original returns in an array of integers or booleans.
py::object float_value(const Answer& answer, double value) {
  if (answer.kind == 'b') return py::bool_(value != 0.0);
  py::object out = stolen(PyFloat_FromDouble(value));
  if (answer.kind == 'i' || answer.kind == 'u') return stolen(PyNumber_Long(out.ptr()));
  return out;
}

py::object element(const Answer& answer, const std::byte* data, DType type) {
  switch (type) {
    case DType::f64: return float_value(answer, load<double>(data));
    case DType::f32: return float_value(answer, static_cast<double>(load<float>(data)));
    case DType::i64: return integer_value(answer, load<int64_t>(data));
    case DType::i32: return integer_value(answer, load<int32_t>(data));
    default: break;
  }
  const auto text = load<StringRef>(data);
  if (!text.data) return missing_object(text.size);
  return stolen(PyUnicode_DecodeUTF8(text.data, text.size, nullptr));
}

class Scorer {
 public:
  Scorer(std::shared_ptr<const Model> model, std::string method, const std::vector<int32_t>& outputs,
         std::vector<Answer> answers, bool listed, std::optional<std::vector<int32_t>> order)
      : model_(std::move(model)),
        method_(std::move(method)),
        answers_(std::move(answers)),
        listed_(listed),
        by_position_(order.has_value()),
        order_(order.value_or(std::vector<int32_t>{})),
        reader_(model_->program().schema, model_->used_columns(), order_) {
    warm_ = new_slot(outputs).release();
    outputs_ = outputs;
  }
  Scorer(const Scorer&) = delete;
  ~Scorer() { delete warm_.load(); }

  // One slot is kept warm; a second caller at the same time makes a slot of its own.
  py::object run(py::handle values) {
    std::unique_ptr<Slot> slot(warm_.exchange(nullptr));
    if (!slot) slot = new_slot(outputs_);
    predict(*slot, read(*slot, values));
    py::object out = answer(slot->call);
    Slot* expected = nullptr;
    if (warm_.compare_exchange_strong(expected, slot.get())) slot.release();
    return out;
  }

  const std::string& method() const { return method_; }
  std::vector<std::string> columns() const {
    std::vector<std::string> out;
    for (int32_t column : order_) out.push_back(model_->program().schema[static_cast<size_t>(column)].name);
    return out;
  }

 private:
  std::unique_ptr<Slot> new_slot(const std::vector<int32_t>& outputs) const {
    return std::make_unique<Slot>(model_->program().schema, reader_, RowCall(model_, outputs));
  }

  const Source& read(Slot& slot, py::handle values) const {
    // memory of the caller's may be read only while nobody can change it
    if (by_position_ && !slot.is_long && slot.array.take(values)) return slot.array;
    if (by_position_) reader_.read_positional(values, slot.row);
    else reader_.read(values, slot.row);
    return slot.row;
  }

  static void predict(Slot& slot, const Source& source) {
    const bool timed = ++slot.calls % kTimed == 0;
    const auto start = timed ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
    if (slot.is_long) {
      const py::gil_scoped_release release;
      slot.call.run(source);
    } else {
      slot.call.run(source);
    }
    if (timed) slot.is_long = std::chrono::steady_clock::now() - start > kLongRow;
  }

  py::object answer(const RowCall& call) const {
    if (!listed_) return value(call, 0);
    py::list out(answers_.size());
    for (size_t i = 0; i < answers_.size(); ++i)
      PyList_SET_ITEM(out.ptr(), static_cast<Py_ssize_t>(i), value(call, i).release().ptr());
    return out;
  }

  py::object value(const RowCall& call, size_t i) const {
    const Answer& answer = answers_[i];
    const ValueType type = call.type(i);
    const std::byte* data = call.values(i);
    if (type.width == 1) return element(answer, data, type.dtype);
    py::object out = stolen(PyDict_New());
    for (int64_t k = 0; k < type.width; ++k, data += size_of(type.dtype)) {
      const py::object item = element(answer, data, type.dtype);
      if (PyDict_SetItem(out.ptr(), PyTuple_GET_ITEM(answer.names.ptr(), k), item.ptr()) != 0)
        throw py::error_already_set();
    }
    return out;
  }

  std::shared_ptr<const Model> model_;
  std::string method_;
  std::vector<int32_t> outputs_;
  std::vector<Answer> answers_;
  bool listed_;  // the method returns a list of arrays
  bool by_position_;
  std::vector<int32_t> order_;
  RowReader reader_;
  std::atomic<Slot*> warm_{nullptr};
};

// -- the Python type
// ------------------------------------------------------------------------------------------

struct ScorerObject {
  PyObject_HEAD vectorcallfunc call;
  Scorer* scorer;
};

// Runs `action`, whose exceptions become Python's.
template <class Action>
PyObject* guarded(const Action& action) noexcept {
  try {
    return action().release().ptr();
  } catch (...) {
    raise_in_python(std::current_exception());
    return nullptr;
  }
}

Scorer& scorer_of(PyObject* self) { return *reinterpret_cast<ScorerObject*>(self)->scorer; }

PyObject* call_scorer(PyObject* self, PyObject* const* arguments, size_t count, PyObject* names) {
  if (PyVectorcall_NARGS(count) != 1 || (names && PyTuple_GET_SIZE(names) != 0)) {
    PyErr_Format(PyExc_TypeError, "expected one row as the only argument but found %zd arguments",
                 PyVectorcall_NARGS(count) + (names ? PyTuple_GET_SIZE(names) : 0));
    return nullptr;
  }
  return guarded([&] { return scorer_of(self).run(arguments[0]); });
}

void free_scorer(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<ScorerObject*>(self)->scorer;
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* scorer_method(PyObject* self, void*) {
  return guarded([&] { return py::object(py::str(scorer_of(self).method())); });
}

PyObject* scorer_columns(PyObject* self, void*) {
  return guarded([&] { return py::object(py::cast(scorer_of(self).columns())); });
}

PyObject* scorer_repr(PyObject* self) {
  return guarded([&] {
    const Scorer& scorer = scorer_of(self);
    return py::object(
        py::str("<mlcore scorer of {}; {} columns>").format(scorer.method(), scorer.columns().size()));
  });
}

PyMemberDef kMembers[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(ScorerObject, call), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef kGetters[] = {
    {"method", &scorer_method, nullptr, "The method whose answer a call returns.", nullptr},
    {"columns", &scorer_columns, nullptr, "What each value of a row is, in order.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_doc,
     const_cast<char*>("One method of a model, ready for single rows; see `mlcore.Model.scorer`.")},
    {Py_tp_members, kMembers},
    {Py_tp_getset, kGetters},
    {Py_tp_dealloc, reinterpret_cast<void*>(&free_scorer)},
    {Py_tp_repr, reinterpret_cast<void*>(&scorer_repr)},
    {Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
    {0, nullptr},
};

PyType_Spec kSpec = {
    "mlcore._core.Scorer",
    sizeof(ScorerObject),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION |
        Py_TPFLAGS_IMMUTABLETYPE,
    kSlots,
};

Answer answer_of(const OutputSpec& output, int64_t width, const std::string& kind, const py::object& labels) {
  Answer out{py::tuple(static_cast<size_t>(width)), labels, kind.empty() ? 'f' : kind[0]};
  for (int64_t i = 0; i < width; ++i) {
    const auto index = static_cast<size_t>(i);
    PyObject* name = py::str(output.names.empty() ? text(i) : output.names.at(index)).release().ptr();
    PyUnicode_InternInPlace(&name);
    PyTuple_SET_ITEM(out.names.ptr(), i, name);
  }
  return out;
}

// The schema columns that a list of names means; everything wrong with it in one error.
std::vector<int32_t> order_of(const Model& model, const std::vector<std::string>& columns) {
  const std::vector<ColumnSpec>& schema = model.program().schema;
  std::vector<int32_t> out;
  std::vector<int> times(schema.size());
  std::vector<std::string> problems;
  for (const std::string& name : columns) {
    const auto found =
        std::find_if(schema.begin(), schema.end(), [&](const ColumnSpec& spec) { return spec.name == name; });
    const auto column = static_cast<size_t>(found - schema.begin());
    if (found == schema.end())
      problems.push_back(text(ColumnName{name}) + ": expected a column of the model but found no such");
    else if (++times[column] == 2)
      problems.push_back(text(ColumnName{name}) + ": expected it once but found it again");
    out.push_back(static_cast<int32_t>(column));
  }
  for (size_t i = 0; i < schema.size(); ++i)
    if (model.used_columns()[i] && times[i] == 0)
      problems.push_back(text(ColumnName{schema[i].name}) + ": expected a place for " +
                         name_of(schema[i].type) + " but found none");
  if (!problems.empty()) fail(ErrorCode::input, list_problems("list of columns", problems));
  return out;
}

}  // namespace

void register_scorer(py::module_& module) {
  static PyObject* type = PyType_FromSpec(&kSpec);
  if (!type) throw py::error_already_set();
  module.attr("Scorer") = py::reinterpret_borrow<py::object>(type);
  module.def(
      "scorer",
      [](const std::shared_ptr<Model>& model, const std::string& method,
         const std::vector<std::string>& kinds, const std::vector<py::object>& labels,
         const std::optional<std::vector<std::string>>& columns) {
        const Program& program = model->program();
        std::vector<int32_t> outputs;
        for (size_t i = 0; i < program.outputs.size(); ++i)
          if (program.outputs[i].method == method) outputs.push_back(static_cast<int32_t>(i));
        require(!outputs.empty() && kinds.size() == outputs.size() && labels.size() == outputs.size(),
                ErrorCode::program, "expected kinds and labels for each of ", outputs.size(), " outputs of ",
                quoted(method), " but found ", kinds.size(), " and ", labels.size());
        std::vector<Answer> answers;
        for (size_t i = 0; i < outputs.size(); ++i) {
          const OutputSpec& output = program.outputs[static_cast<size_t>(outputs[i])];
          answers.push_back(answer_of(output, program.nodes[static_cast<size_t>(output.value)].type.width,
                                      kinds[i], labels[i]));
        }
        const bool listed = program.outputs[static_cast<size_t>(outputs[0])].index >= 0;
        std::optional<std::vector<int32_t>> order;
        if (columns) order = order_of(*model, *columns);
        auto scorer =
            std::make_unique<Scorer>(model, method, outputs, std::move(answers), listed, std::move(order));
        py::object out =
            stolen(reinterpret_cast<PyTypeObject*>(type)->tp_alloc(reinterpret_cast<PyTypeObject*>(type), 0));
        auto* object = reinterpret_cast<ScorerObject*>(out.ptr());
        object->call = &call_scorer;
        object->scorer = scorer.release();
        return out;
      },
      py::arg("model"), py::arg("method"), py::arg("kinds"), py::arg("labels"),
      py::arg("columns") = py::none(),
      "One method of a model for single rows: mappings, or, given `columns`, values in their order.");
}

}  // namespace mlcore

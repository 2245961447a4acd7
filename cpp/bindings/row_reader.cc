// Rows: one Python mapping becomes a batch of one, in memory that is reused from call to call.
#include <array>
#include <string>
#include <string_view>

#include "base/status.h"
#include "bindings/batch_binding.h"
#include "bindings/py_value.h"
#include "runtime/decode.h"
#include "runtime/fp_environment.h"

namespace py = pybind11;

namespace mlcore {
namespace {

constexpr size_t kKeptText = size_t{1} << 16;  // bytes of text memory a row keeps for the next call
constexpr size_t kSlot = 16;                   // bytes per value: the widest is a StringRef

py::object dict_item(PyObject* dict, PyObject* key) {
#if PY_VERSION_HEX >= 0x030d0000
  PyObject* found = nullptr;
  if (PyDict_GetItemRef(dict, key, &found) < 0) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(found);
#else
  PyObject* found = PyDict_GetItemWithError(dict, key);
  if (!found && PyErr_Occurred()) throw py::error_already_set();
  return py::reinterpret_borrow<py::object>(found);
#endif
}

// A dict as it is, anything else with keys (a Mapping, a pandas Series) as a copy.
py::object as_dict(py::handle mapping) {
  if (PyDict_Check(mapping.ptr())) return py::reinterpret_borrow<py::object>(mapping);
  py::object out = py::reinterpret_steal<py::object>(PyDict_New());
  if (!out) throw py::error_already_set();
  if (!py::hasattr(mapping, "keys") || PyDict_Update(out.ptr(), mapping.ptr()) != 0) {
    PyErr_Clear();
    fail(ErrorCode::input, "expected a row as a mapping of column to value but found ",
         describe_value(mapping.ptr()));
  }
  return out;
}

}  // namespace

struct Row::State {
  std::vector<std::array<std::byte, kSlot>> slots;
  std::vector<uint8_t> kinds;  // per column: 0 present, else 1 + MissingKind
  std::vector<size_t> starts;  // per string column: where its text begins in `text`
  std::string text;
  Batch batch;
};

Row::Row(std::unique_ptr<State> state) : state_(std::move(state)) {}
Row::~Row() = default;
Row::Row(Row&&) noexcept = default;
const Batch& Row::batch() const { return state_->batch; }

struct RowReader::State {
  std::vector<ColumnSpec> schema;
  std::vector<bool> used;
  Names names;
  std::vector<py::object> keys;  // interned, so that their hash is computed once

  ~State() {
    if (!Py_IsInitialized()) {
      for (py::object& key : keys) key.release();
      return;
    }
    const py::gil_scoped_acquire acquire;
    keys.clear();
  }

  // False: the value is of another type. Text is appended to the row's memory.
  ValueResult put(PyObject* value, size_t index, Row::State& row) const {
    const ColumnSpec& spec = schema[index];
    ValueResult result;
    if (spec.type.kind == Kind::string) {
      std::string_view found;
      result = read_text(value, found);
      StringRef ref{nullptr, static_cast<int64_t>(found.size())};
      row.starts[index] = row.text.size();
      row.text += found;
      std::memcpy(row.slots[index].data(), &ref, sizeof ref);
    } else {
      result = read_value(value, spec.type, row.slots[index].data());
    }
    // None is how plain Python says null: whichever missing value the step learned, unless it learned both
    const bool is_null = result.missing == kNone && !spec.distinguishes_missing;
    const MissingKind missing = is_null ? kNull : result.missing;
    row.kinds[index] = result.state == ValueState::missing ? static_cast<uint8_t>(1 + missing) : uint8_t{0};
    return result;
  }

  void begin(Row::State& row) const {
    if (row.text.capacity() > kKeptText) row.text = std::string();
    row.text.clear();
  }

  // The text no longer moves: point the string values at it.
  void finish(Row::State& row) const {
    for (size_t i = 0; i < schema.size(); ++i) {
      if (schema[i].type.kind != Kind::string) continue;
      StringRef ref;
      std::memcpy(&ref, row.slots[i].data(), sizeof ref);
      ref.data = row.text.data() + row.starts[i];
      if (row.kinds[i] == 0) std::memcpy(row.slots[i].data(), &ref, sizeof ref);
    }
  }

  std::string wrong(size_t index, PyObject* value, const ValueResult& result) const {
    const ColumnSpec& spec = schema[index];
    return "column " + quoted(spec.name) + ": expected " + name_of(spec.type) + " but found " +
           describe_wrong(value, result, spec.type);
  }

  // Second pass over a row that does not fit, to name everything that is wrong with it.
  [[noreturn]] void explain(PyObject* dict, Row::State& row) const {
    std::vector<std::string> problems;
    for (size_t i = 0; i < schema.size(); ++i) {
      if (!used[i]) continue;
      const py::object value = dict_item(dict, keys[i].ptr());
      if (!value) {
        problems.push_back("column " + quoted(schema[i].name) + ": expected " + name_of(schema[i].type) +
                           " but found no such key");
        continue;
      }
      const ValueResult result = put(value.ptr(), i, row);
      if (result.state == ValueState::wrong) problems.push_back(wrong(i, value.ptr(), result));
    }
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    Py_ssize_t position = 0;
    while (PyDict_Next(dict, &position, &key, &value)) {
      bool known = false;
      for (const py::object& expected : keys) {
        const int same = PyObject_RichCompareBool(expected.ptr(), key, Py_EQ);
        if (same < 0) PyErr_Clear();
        known |= same > 0;
      }
      if (!known)
        problems.push_back("key " + describe_value(key) + ": expected no such key but found " +
                           describe_value(value));
    }
    if (problems.empty())
      problems.emplace_back("expected a row that stays the same but it changed while it was read");
    fail(ErrorCode::input, list_problems("row", problems));
  }
};

RowReader::RowReader(std::vector<ColumnSpec> schema, std::vector<bool> used)
    : state_(std::make_unique<State>()) {
  state_->schema = std::move(schema);
  state_->used = std::move(used);
  state_->used.resize(state_->schema.size(), true);
  std::vector<std::string> names;
  for (const ColumnSpec& spec : state_->schema) {
    names.push_back(spec.name);
    PyObject* key = PyUnicode_FromStringAndSize(spec.name.data(), static_cast<Py_ssize_t>(spec.name.size()));
    if (!key) throw py::error_already_set();
    PyUnicode_InternInPlace(&key);
    state_->keys.push_back(py::reinterpret_steal<py::object>(key));
  }
  state_->names = std::make_shared<const std::vector<std::string>>(std::move(names));
}
RowReader::~RowReader() = default;
RowReader::RowReader(RowReader&&) noexcept = default;

Row RowReader::make_row() const {
  auto row = std::make_unique<Row::State>();
  const size_t count = state_->schema.size();
  row->slots.resize(count);
  row->kinds.resize(count);
  row->starts.resize(count);
  std::vector<ColumnView> views;
  for (size_t i = 0; i < count; ++i) {
    const LogicalType& type = state_->schema[i].type;
    const PlainLayout layout = plain_layout(type.kind);
    ColumnView view;
    view.storage = layout.storage;
    view.type = type;
    view.length = 1;
    view.stride = layout.width;
    view.data = row->slots[i].data();
    view.kinds = &row->kinds[i];
    view.trusted = true;
    views.push_back(std::move(view));
  }
  row->batch = Batch(1, state_->names, std::move(views), {});
  return Row(std::move(row));
}

void RowReader::read(py::handle mapping, Row& row) const {
  const FpEnvironment environment;
  const py::object dict = as_dict(mapping);
  const State& state = *state_;
  Row::State& target = *row.state_;
  state.begin(target);
  Py_ssize_t found = 0;
  bool fits = true;
  for (size_t i = 0; i < state.schema.size() && fits; ++i) {
    const py::object value = dict_item(dict.ptr(), state.keys[i].ptr());
    found += value ? 1 : 0;
    if (!state.used[i] || !value) {
      target.kinds[i] = 1 + kNull;
      fits = !state.used[i];
    } else {
      fits = state.put(value.ptr(), i, target).state != ValueState::wrong;
    }
  }
  if (!fits || found != PyDict_GET_SIZE(dict.ptr())) state.explain(dict.ptr(), target);
  state.finish(target);
}

void RowReader::read_positional(py::handle sequence, Row& row) const {
  const FpEnvironment environment;
  const State& state = *state_;
  Row::State& target = *row.state_;
  const bool is_sequence = PySequence_Check(sequence.ptr()) != 0 && PyUnicode_Check(sequence.ptr()) == 0;
  const py::object values =
      is_sequence ? py::reinterpret_steal<py::object>(PySequence_Tuple(sequence.ptr())) : py::object();
  if (!values) {
    PyErr_Clear();
    fail(ErrorCode::input, "expected a row as a sequence of values but found ",
         describe_value(sequence.ptr()));
  }
  const auto count = static_cast<size_t>(PyTuple_GET_SIZE(values.ptr()));
  require(count == state.schema.size(), ErrorCode::input, "expected a row of ", state.schema.size(),
          " values but found ", count);
  state.begin(target);
  std::vector<std::string> problems;
  for (size_t i = 0; i < count; ++i) {
    if (!state.used[i]) {
      target.kinds[i] = 1 + kNull;
      continue;
    }
    PyObject* value = PyTuple_GET_ITEM(values.ptr(), static_cast<Py_ssize_t>(i));
    const ValueResult result = state.put(value, i, target);
    if (result.state == ValueState::wrong) problems.push_back(state.wrong(i, value, result));
  }
  if (!problems.empty()) fail(ErrorCode::input, list_problems("row", problems));
  state.finish(target);
}

}  // namespace mlcore

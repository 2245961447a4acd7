// The handle of a model, and errors.
#include <algorithm>
#include <cstring>
#include <new>

#include "capi/capi.h"

namespace mlcore::capi {
namespace {

thread_local std::string last_message;
thread_local const char* last_error = "";

mlc_status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::input: return MLC_ERROR_INPUT;
    case ErrorCode::artifact: return MLC_ERROR_ARTIFACT;
    case ErrorCode::io: return MLC_ERROR_IO;
    case ErrorCode::device:
    case ErrorCode::program: break;
  }
  return MLC_ERROR_INTERNAL;
}

void keep(const char* message) noexcept {
  try {
    last_message = message;
    last_error = last_message.c_str();
  } catch (...) {
    last_error = "out of memory";
  }
}

int32_t type_of(DType type) {
  switch (type) {
    case DType::f64: return MLC_F64;
    case DType::f32: return MLC_F32;
    case DType::str: return MLC_TEXT;
    default: return MLC_I64;
  }
}

template <class T, class Shown>
void append(const Constant& labels, std::vector<Shown>& out) {
  for (T value : labels.as<T>()) out.push_back(static_cast<Shown>(value));
}

template <class T>
T load(const std::byte* from, int64_t index) {
  T value;
  std::memcpy(&value, from + index * static_cast<int64_t>(sizeof(T)), sizeof value);
  return value;
}

template <class T>
void store(std::byte* out, int64_t index, const T& value) {
  std::memcpy(out + index * static_cast<int64_t>(sizeof(T)), &value, sizeof value);
}

}  // namespace

mlc_status failed() noexcept {
  try {
    throw;
  } catch (const ArgumentError& error) {
    keep(error.what());
    return MLC_ERROR_ARGUMENT;
  } catch (const Error& error) {
    keep(error.what());
    return status_of(error.code());
  } catch (const std::bad_alloc&) {
    last_error = "out of memory";
    return MLC_ERROR_MEMORY;
  } catch (const std::exception& error) {
    keep(error.what());
  } catch (...) {
    last_error = "expected no exception of an unknown type but found one";
  }
  return MLC_ERROR_INTERNAL;
}

Output::Output(const Program& program, const OutputSpec& spec)
    : spec_(spec), block_(program.nodes[static_cast<size_t>(spec.value)].type), type_(type_of(block_.dtype)) {
  for (int64_t i = 0; i < block_.width; ++i)
    names_.push_back(spec.names.empty() ? text(i) : spec.names.at(static_cast<size_t>(i)));
  if (spec.labels < 0) return;
  const Constant& labels = program.constants[static_cast<size_t>(spec.labels)];
  switch (labels.type()) {
    case DType::f64: append<double>(labels, floats_); break;
    case DType::f32: append<float>(labels, floats_); break;
    case DType::i64: append<int64_t>(labels, integers_); break;
    case DType::i32: append<int32_t>(labels, integers_); break;
    case DType::u32: append<uint32_t>(labels, integers_); break;
    case DType::u8: append<uint8_t>(labels, integers_); break;
    case DType::str:
      for (int64_t i = 0; i < labels.size(); ++i) {
        const std::string_view label = labels.string_at(i);
        texts_.push_back({label.empty() ? "" : label.data(), static_cast<int64_t>(label.size())});
      }
      break;
  }
  type_ = !floats_.empty() ? MLC_F64 : !texts_.empty() ? MLC_TEXT : MLC_I64;
}

void Output::show(const std::byte* block, int64_t count, std::byte* out) const {
  for (int64_t i = 0; i < count; ++i) {
    if (spec_.labels < 0) {
      store(out, i, static_cast<int64_t>(load<int32_t>(block, i)));
      continue;
    }
    // inside the labels: proved when the program was validated
    const auto position = static_cast<size_t>(load<int64_t>(block, i));
    if (type_ == MLC_F64) store(out, i, floats_[position]);
    else if (type_ == MLC_TEXT) store(out, i, texts_[position]);
    else store(out, i, integers_[position]);
  }
}

Loaded::Loaded(std::shared_ptr<const Model> model_) : model(std::move(model_)) {
  const Program& program = model->program();
  for (const ColumnSpec& column : program.schema) types.push_back(name_of(column.type));
  for (const OutputSpec& output : program.outputs) outputs.emplace_back(program, output);
}

size_t Loaded::first_output(std::string_view method) const {
  const auto found = std::ranges::find(
      outputs, method, [](const Output& output) { return std::string_view(output.method()); });
  if (found == outputs.end()) {
    std::string known;
    for (const Output& output : outputs)
      if (known.find(output.method()) == std::string::npos)
        known += (known.empty() ? "" : ", ") + output.method();
    require_argument(false, "expected one of the model's methods (", known, ") but found ", quoted(method));
  }
  return static_cast<size_t>(found - outputs.begin());
}

namespace {

const Loaded& loaded(const mlc_model* model) { return *not_null(model, "a model").loaded; }

template <class T, class Get>
mlc_status ask(const mlc_model* model, T* out, const Get& get) noexcept {
  return guarded([&] {
    const Loaded& found = loaded(model);
    T& target = not_null(out, "a place for the result");
    target = get(found);
  });
}

template <class Read>
mlc_status open(mlc_model** out, const Read& read) noexcept {
  return guarded([&] {
    mlc_model*& target = not_null(out, "a place for the model");
    auto made = std::make_unique<mlc_model>();
    made->loaded = std::make_shared<const Loaded>(read());
    target = made.release();
  });
}

}  // namespace
}  // namespace mlcore::capi

using namespace mlcore;
using namespace mlcore::capi;

int32_t mlc_abi_version(void) { return MLC_ABI_VERSION; }
const char* mlc_version(void) { return MLCORE_VERSION; }
const char* mlc_last_error(void) { return last_error; }

mlc_status mlc_model_load(const char* path, mlc_model** out) {
  return open(out, [&] { return Model::load(std::string(&not_null(path, "a path"))); });
}

mlc_status mlc_model_from_bytes(const void* data, int64_t size, mlc_model** out) {
  return open(out, [&] {
    require_argument(data != nullptr && size >= 0, "expected the bytes of an artifact but found ", size,
                     data ? " bytes" : " bytes at a null pointer");
    return Model::from_bytes({static_cast<const std::byte*>(data), static_cast<size_t>(size)});
  });
}

void mlc_model_free(mlc_model* model) { delete model; }

mlc_status mlc_model_column_count(const mlc_model* model, int64_t* out) {
  return ask(model, out, [](const Loaded& found) { return static_cast<int64_t>(found.types.size()); });
}

mlc_status mlc_model_column_name(const mlc_model* model, int64_t column, const char** out) {
  return ask(model, out, [&](const Loaded& found) {
    return found.model->program().schema[found.column(column)].name.c_str();
  });
}

mlc_status mlc_model_column_type(const mlc_model* model, int64_t column, const char** out) {
  return ask(model, out, [&](const Loaded& found) { return found.types[found.column(column)].c_str(); });
}

mlc_status mlc_model_column_nullable(const mlc_model* model, int64_t column, int32_t* out) {
  return ask(model, out, [&](const Loaded& found) {
    return int32_t{found.model->program().schema[found.column(column)].nullable};
  });
}

mlc_status mlc_model_column_used(const mlc_model* model, int64_t column, int32_t* out) {
  return ask(model, out,
             [&](const Loaded& found) { return int32_t{found.model->used_columns()[found.column(column)]}; });
}

mlc_status mlc_model_find_column(const mlc_model* model, const char* name, int64_t* out) {
  return ask(model, out, [&](const Loaded& found) {
    const std::string_view wanted = &not_null(name, "a name");
    const std::vector<ColumnSpec>& schema = found.model->program().schema;
    const auto column =
        std::ranges::find(schema, wanted, [](const ColumnSpec& spec) { return std::string_view(spec.name); });
    require_argument(column != schema.end(), "expected a column of the model but found ", quoted(wanted));
    return static_cast<int64_t>(column - schema.begin());
  });
}

mlc_status mlc_model_output_count(const mlc_model* model, int64_t* out) {
  return ask(model, out, [](const Loaded& found) { return static_cast<int64_t>(found.outputs.size()); });
}

mlc_status mlc_model_output_method(const mlc_model* model, int64_t output, const char** out) {
  return ask(model, out, [&](const Loaded& found) { return found.output(output).method().c_str(); });
}

mlc_status mlc_model_output_type(const mlc_model* model, int64_t output, int32_t* out) {
  return ask(model, out, [&](const Loaded& found) { return found.output(output).type(); });
}

mlc_status mlc_model_output_width(const mlc_model* model, int64_t output, int64_t* out) {
  return ask(model, out, [&](const Loaded& found) { return found.output(output).width(); });
}

mlc_status mlc_model_output_name(const mlc_model* model, int64_t output, int64_t index, const char** out) {
  return ask(model, out, [&](const Loaded& found) {
    const std::vector<std::string>& names = found.output(output).names();
    return names[checked_index(index, names.size(), "a value")].c_str();
  });
}

mlc_status mlc_model_find_output(const mlc_model* model, const char* method, int64_t* out) {
  return ask(model, out, [&](const Loaded& found) {
    return static_cast<int64_t>(found.first_output(&not_null(method, "a method")));
  });
}

// Single rows from C.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/utf8.h"
#include "capi/capi.h"
#include "runtime/decode.h"
#include "runtime/fp_environment.h"
#include "runtime/row.h"

using namespace mlcore;
using namespace mlcore::capi;

struct mlc_row {
  mlc_row(std::shared_ptr<const Loaded> model, std::vector<int32_t> outputs_)
      : loaded(std::move(model)),
        values(loaded->model->program().schema),
        call(loaded->model, std::move(outputs_)),
        is_set(values.schema().size()) {
    for (int32_t index : call.outputs()) {
      const Output& output = loaded->output(index);
      outputs.push_back(&output);
      shown.emplace_back(output.is_shown() ? static_cast<size_t>(output.width()) * output.value_bytes() : 0);
    }
    clear();
  }

  void clear() {
    std::ranges::fill(is_set, uint8_t{0});
    const auto& used = loaded->model->used_columns();
    unset = std::ranges::count(used, true);
  }

  size_t column(int64_t index) const { return checked_index(index, is_set.size(), "a column"); }
  Kind kind(size_t column) const { return values.schema()[column].type.kind; }
  void mark(size_t column) {
    if (is_set[column]) return;
    is_set[column] = 1;
    unset -= loaded->model->used_columns()[column];
  }
  // Until the next value: a failed set leaves no old or half-made one.
  void unmark(size_t column) {
    if (!is_set[column]) return;
    is_set[column] = 0;
    unset += loaded->model->used_columns()[column];
  }

  std::shared_ptr<const Loaded> loaded;
  Row values;
  RowCall call;
  std::vector<uint8_t> is_set;
  int64_t unset = 0;  // used columns without a value
  std::vector<const Output*> outputs;
  std::vector<std::vector<std::byte>> shown;  // per output: its answer, where the block is not
  bool has_run = false;
};

namespace {

[[noreturn]] void refuse(mlc_row& row, size_t column, const std::string& found) {
  row.unmark(column);
  const ColumnSpec& spec = row.values.schema()[column];
  fail(ErrorCode::input, ColumnName{spec.name}, ": expected ", spec.type, " but found ", found);
}

template <class T>
std::string described(const char* type, T value) {
  return std::string(type) + " (" + (std::is_same_v<T, uint64_t> ? std::to_string(value) : text(value)) + ")";
}

void set_missing(mlc_row& row, size_t column, MissingKind kind) {
  row.values.set_missing(column, kind);
  row.mark(column);
}

void set_float(mlc_row& row, size_t column, double value) {
  if (std::isnan(value)) return set_missing(row, column, kNaN);
  if (row.kind(column) == Kind::float64) std::memcpy(row.values.value(column), &value, sizeof value);
  else if (!put_number(value, row.kind(column), row.values.value(column)))
    refuse(row, column, described("double", value));
  row.values.set_present(column);
  row.mark(column);
}

// Dates and timestamps take integers as the ticks of their unit.
Kind number_kind(Kind kind) {
  if (kind == Kind::date32) return Kind::int32;
  return kind == Kind::date64 || kind == Kind::timestamp ? Kind::int64 : kind;
}

template <class Int>
void set_integer(mlc_row& row, size_t column, Int value, const char* type) {
  if (!put_number(value, number_kind(row.kind(column)), row.values.value(column)))
    refuse(row, column, described(type, value));
  row.values.set_present(column);
  row.mark(column);
}

mlc_row& checked(mlc_row* row) { return not_null(row, "a row"); }

template <class T>
mlc_status set_floats(mlc_row* row, int64_t first, int64_t count, const T* values) noexcept {
  return guarded([&] {
    mlc_row& target = checked(row);
    const auto columns = static_cast<int64_t>(target.is_set.size());
    require_argument(first >= 0 && count >= 0 && first <= columns - count, "expected columns below ", columns,
                     " but found ", count, " from ", first);
    if (count == 0) return;
    not_null(values, "values");
    const FpEnvironment environment;
    for (int64_t i = 0; i < count; ++i)
      set_float(target, static_cast<size_t>(first + i), static_cast<double>(values[i]));
  });
}

[[noreturn]] void refuse_unset(const mlc_row& row) {
  std::vector<std::string> problems;
  for (size_t i = 0; i < row.is_set.size(); ++i)
    if (row.loaded->model->used_columns()[i] && !row.is_set[i]) {
      const ColumnSpec& spec = row.values.schema()[i];
      problems.push_back(text(ColumnName{spec.name}) + ": expected " + name_of(spec.type) +
                         " but found no value set");
    }
  fail(ErrorCode::input, list_problems("row", problems));
}

template <class T>
mlc_status answer(const mlc_row* row, int64_t output, int32_t type, const T** values,
                  int64_t* count) noexcept {
  return guarded([&] {
    const mlc_row& found = not_null(row, "a row");
    const size_t index = checked_index(output, found.outputs.size(), "an output");
    const T*& target = not_null(values, "a place for the values");
    int64_t& target_count = not_null(count, "a place for the count");
    constexpr std::array<const char*, 5> kTypes{"?", "MLC_F64", "MLC_F32", "MLC_I64", "MLC_TEXT"};
    const int32_t found_type = found.outputs[index]->type();
    require_argument(found_type == type, "expected to be asked for ", kTypes[static_cast<size_t>(found_type)],
                     ", the output's type, but found ", kTypes[static_cast<size_t>(type)]);
    require_argument(found.has_run, "expected a row that has been run but found one that has not");
    const std::byte* data =
        found.outputs[index]->is_shown() ? found.shown[index].data() : found.call.values(index);
    target = reinterpret_cast<const T*>(data);
    target_count = found.outputs[index]->width();
  });
}

}  // namespace

mlc_status mlc_row_new(const mlc_model* model, const char* method, mlc_row** out) {
  return guarded([&] {
    const auto& loaded = not_null(model, "a model").loaded;
    mlc_row*& target = not_null(out, "a place for the row");
    std::string name = method ? method : "";
    for (const char* usual : {"predict_proba", "predict", "transform"})
      if (!method && name.empty() && std::ranges::any_of(loaded->outputs, [&](const Output& output) {
            return output.method() == usual;
          }))
        name = usual;
    if (!method && name.empty() && !loaded->outputs.empty()) name = loaded->outputs[0].method();
    loaded->first_output(name);
    std::vector<int32_t> outputs;
    for (size_t i = 0; i < loaded->outputs.size(); ++i)
      if (loaded->outputs[i].method() == name) outputs.push_back(static_cast<int32_t>(i));
    target = std::make_unique<mlc_row>(loaded, std::move(outputs)).release();
  });
}

void mlc_row_free(mlc_row* row) { delete row; }

mlc_status mlc_row_set_f64(mlc_row* row, int64_t column, double value) {
  return guarded([&] {
    const FpEnvironment environment;
    set_float(checked(row), checked(row).column(column), value);
  });
}

mlc_status mlc_row_set_i64(mlc_row* row, int64_t column, int64_t value) {
  return guarded([&] { set_integer(checked(row), checked(row).column(column), value, "int64"); });
}

mlc_status mlc_row_set_u64(mlc_row* row, int64_t column, uint64_t value) {
  return guarded([&] { set_integer(checked(row), checked(row).column(column), value, "uint64"); });
}

mlc_status mlc_row_set_bool(mlc_row* row, int64_t column, int32_t value) {
  return guarded([&] {
    mlc_row& target = checked(row);
    const size_t index = target.column(column);
    if (target.kind(index) != Kind::boolean)
      refuse(target, index, value != 0 ? "bool (true)" : "bool (false)");
    target.values.set(index, static_cast<uint8_t>(value != 0));
    target.mark(index);
  });
}

mlc_status mlc_row_set_text(mlc_row* row, int64_t column, const char* text, int64_t size) {
  return guarded([&] {
    mlc_row& target = checked(row);
    const size_t index = target.column(column);
    not_null(text, "a text");
    require_argument(size >= -1, "expected a size of a text, or -1, but found ", size);
    const std::string_view found(text, size < 0 ? std::strlen(text) : static_cast<size_t>(size));
    if (target.kind(index) != Kind::string) refuse(target, index, "text (" + quoted(found) + ")");
    if (!is_utf8(found)) refuse(target, index, "bytes that are not UTF-8");
    target.unmark(index);  // until the copy is made
    target.values.set_text(index, found);
    target.mark(index);
  });
}

mlc_status mlc_row_set_missing(mlc_row* row, int64_t column, int32_t kind) {
  return guarded([&] {
    mlc_row& target = checked(row);
    const size_t index = target.column(column);
    require_argument(kind >= MLC_MISSING_NULL && kind <= MLC_MISSING_NAN,
                     "expected MLC_MISSING_NULL, _NONE or _NAN but found ", kind);
    set_missing(target, index, static_cast<MissingKind>(kind));
  });
}

mlc_status mlc_row_set_f64s(mlc_row* row, int64_t first, int64_t count, const double* values) {
  return set_floats(row, first, count, values);
}

mlc_status mlc_row_set_f32s(mlc_row* row, int64_t first, int64_t count, const float* values) {
  return set_floats(row, first, count, values);
}

mlc_status mlc_row_clear(mlc_row* row) {
  return guarded([&] { checked(row).clear(); });
}

mlc_status mlc_row_run(mlc_row* row) {
  return guarded([&] {
    mlc_row& target = checked(row);
    if (target.unset != 0) refuse_unset(target);
    target.has_run = false;
    target.call.run(target.values);
    for (size_t i = 0; i < target.outputs.size(); ++i)
      if (target.outputs[i]->is_shown())
        target.outputs[i]->show(target.call.values(i), target.outputs[i]->width(), target.shown[i].data());
    target.has_run = true;
  });
}

mlc_status mlc_row_output_count(const mlc_row* row, int64_t* out) {
  return guarded([&] {
    const auto count = static_cast<int64_t>(not_null(row, "a row").outputs.size());
    not_null(out, "a place for the result") = count;
  });
}

mlc_status mlc_row_output(const mlc_row* row, int64_t output, int64_t* out) {
  return guarded([&] {
    const mlc_row& found = not_null(row, "a row");
    const size_t index = checked_index(output, found.outputs.size(), "an output");
    not_null(out, "a place for the result") = found.call.outputs()[index];
  });
}

mlc_status mlc_row_f64(const mlc_row* row, int64_t output, const double** values, int64_t* count) {
  return answer(row, output, MLC_F64, values, count);
}
mlc_status mlc_row_f32(const mlc_row* row, int64_t output, const float** values, int64_t* count) {
  return answer(row, output, MLC_F32, values, count);
}
mlc_status mlc_row_i64(const mlc_row* row, int64_t output, const int64_t** values, int64_t* count) {
  return answer(row, output, MLC_I64, values, count);
}
mlc_status mlc_row_text(const mlc_row* row, int64_t output, const mlc_text** values, int64_t* count) {
  return answer(row, output, MLC_TEXT, values, count);
}

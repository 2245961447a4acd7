// Collects columns from Python memory and cuts them into batches. Every function needs the GIL.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/arrow_import.h"
#include "runtime/batch.h"

namespace mlcore {

// Keeps a Python object alive for a batch that may die on any thread.
KeepAlive keep_python(pybind11::object object);

// A `__arrow_c_stream__` or `__arrow_c_array__` object, or the stream capsule itself. The structs are moved
// out.
struct ArrowSource {
  ArrowArrayStream stream{};
  ArrowSchema schema{};
  ArrowArray array{};
  bool is_stream = false;

  explicit ArrowSource(const pybind11::object& object);
  ArrowSource(const ArrowSource&) = delete;
  ArrowSource& operator=(const ArrowSource&) = delete;
  ~ArrowSource();
};

MissingKind missing_kind_named(const std::string& name);
Validation validation_or_refuse(const std::string& name);

// The columns of a two-dimensional native array, by position.
Batch matrix_batch(const pybind11::array& values, const std::vector<std::string>& names);

class BatchBuilder {
 public:
  explicit BatchBuilder(int64_t rows);

  // One-dimensional, native byte order, bool or number. `type` says what int64 or int32 values mean (a date
  // or timestamp; INT64_MIN is then NaT). `mask`: bool, true = missing, of kind `missing`.
  void add_array(std::string name, const pybind11::array& values, const std::optional<std::string>& type,
                 const std::optional<pybind11::array>& mask, const std::string& missing);
  // A list, tuple or object array of Python values, read as `type`. A value that does not fit is reported
  // when the column is bound, with the other problems of the table.
  void add_objects(std::string name, const pybind11::object& values, const std::string& type,
                   bool none_is_null);
  // Codes into the only column of `categories`; a negative code is missing, of kind `missing`.
  void add_categorical(std::string name, const pybind11::array& codes, const BatchBuilder& categories,
                       const std::string& missing);
  void add_arrow(std::string name, const pybind11::object& values, const std::string& missing,
                 const std::string& validate);
  // A column that cannot be read; an error only if the model reads it.
  void add_unreadable(std::string name, std::string found);

  std::vector<std::shared_ptr<Batch>> finish() const;

 private:
  ChunkedColumn& add(std::string name, ColumnView view);

  int64_t rows_;
  std::vector<ChunkedColumn> columns_;
};

}  // namespace mlcore

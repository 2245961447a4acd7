// The raw module mlcore._core: conversion only.
#include <new>

#include "bindings/bindings.h"

namespace py = pybind11;

namespace {

const char* exception_name(mlcore::ErrorCode code) {
  switch (code) {
    case mlcore::ErrorCode::program: return "ProgramError";
    case mlcore::ErrorCode::artifact: return "ArtifactError";
    case mlcore::ErrorCode::input: return "InputError";
    case mlcore::ErrorCode::io: return "ArtifactIOError";
    case mlcore::ErrorCode::device: return "DeviceError";
  }
  return "MlcoreError";
}

void raise(const mlcore::Error& error) {
  const py::object type = py::module_::import("mlcore.errors").attr(exception_name(error.code()));
  PyErr_SetString(type.ptr(), error.what());
}

}  // namespace

void mlcore::raise_in_python(std::exception_ptr error) noexcept {
  try {
    try {
      std::rethrow_exception(error);
    } catch (const Error& found) {
      raise(found);
    }
  } catch (py::error_already_set& found) {
    found.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& found) {
    PyErr_SetString(PyExc_RuntimeError, found.what());
  }
}

PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  module.doc() = "The compiled core of mlcore; use the mlcore package.";
  module.attr("__version__") = MLCORE_VERSION;
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const mlcore::Error& error) {
      raise(error);
    }
  });
  mlcore::register_batch(module);
  mlcore::register_program(module);
  mlcore::register_model(module);
  mlcore::register_scorer(module);
  mlcore::register_device(module);
}

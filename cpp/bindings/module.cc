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
  }
  return "MlcoreError";
}

}  // namespace

PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  module.doc() = "The compiled core of mlcore; use the mlcore package.";
  module.attr("__version__") = MLCORE_VERSION;
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const mlcore::Error& error) {
      const py::object type = py::module_::import("mlcore.errors").attr(exception_name(error.code()));
      PyErr_SetString(type.ptr(), error.what());
    }
  });
  mlcore::register_batch(module);
  mlcore::register_program(module);
  mlcore::register_model(module);
}

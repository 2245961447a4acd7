// What the binding files share.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <exception>

#include "ir/program.h"

namespace mlcore {

void register_batch(pybind11::module_& module);
void register_program(pybind11::module_& module);
void register_model(pybind11::module_& module);
void register_scorer(pybind11::module_& module);
void register_device(pybind11::module_& module);

// Sets Python's error indicator to what an exception of the core or of pybind11 means.
void raise_in_python(std::exception_ptr error) noexcept;

// A constant slab as a read-only NumPy array, strings as a list of str.
pybind11::object to_python(const Constant& constant);

// None, or NaN for kNaN: a missing string.
pybind11::object missing_object(int64_t kind);

}  // namespace mlcore

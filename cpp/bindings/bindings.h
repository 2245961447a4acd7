// What the binding files share.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "ir/program.h"

namespace mlcore {

void register_batch(pybind11::module_& module);
void register_program(pybind11::module_& module);
void register_model(pybind11::module_& module);

// A constant slab as a read-only NumPy array, strings as a list of str.
pybind11::object to_python(const Constant& constant);

}  // namespace mlcore

// Memory of containers, given back.
#pragma once

namespace mlcore {

// Empties a string or a vector and frees what it had; `= {}` would keep the memory for what comes next.
template <class Container>
void release(Container& container) {
  Container().swap(container);
}

}  // namespace mlcore

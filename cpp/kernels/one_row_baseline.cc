#include "kernels/one_row_loops.h"

namespace mlcore::one_row {

const Kernels& baseline_kernels() {
  static constexpr Kernels kKernels = make_walking_kernels();
  return kKernels;
}

}  // namespace mlcore::one_row

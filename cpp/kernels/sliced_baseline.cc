#include "kernels/sliced_loops.h"

namespace mlcore::sliced {

const Kernels& baseline_kernels() {
  static constexpr Kernels kKernels = make_kernels<Portable>();
  return kKernels;
}

}  // namespace mlcore::sliced

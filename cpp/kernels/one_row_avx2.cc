// Compiled with -mavx2 -mbmi2.
#if defined(__x86_64__)
#include "kernels/one_row_loops.h"

namespace mlcore::one_row {

const Kernels& avx2_kernels() {
  static constexpr Kernels kKernels = make_walking_kernels();
  return kKernels;
}

}  // namespace mlcore::one_row

#endif

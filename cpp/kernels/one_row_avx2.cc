// Compiled with -mavx2 -mbmi2.
#if defined(__x86_64__)
#include "kernels/one_row_loops.h"

namespace mlcore::one_row {

const Kernels& avx2_kernels() {
  static constexpr Kernels kKernels = {
      write_bytes<Portable, uint32_t>, write_bytes<Portable, uint64_t>, nullptr, walk_complete, {0, 0.5f}};
  return kKernels;
}

}  // namespace mlcore::one_row

#endif

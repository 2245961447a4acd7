#include "kernels/sliced.h"

namespace mlcore::sliced {

const Kernels& kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return avx512_kernels();
  if (isa == Isa::avx2) return avx2_kernels();
#endif
  (void)isa;
  return baseline_kernels();
}

}  // namespace mlcore::sliced

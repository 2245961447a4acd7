#include "kernels/sliced.h"

namespace mlcore::sliced {

const Kernels& kernels(Isa isa) { return of_isa<baseline_kernels, avx2_kernels, avx512_kernels>(isa); }

}  // namespace mlcore::sliced

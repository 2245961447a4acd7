#include "kernels/one_row.h"

namespace mlcore::one_row {

const Kernels& kernels(Isa isa) { return of_isa<baseline_kernels, avx2_kernels, avx512_kernels>(isa); }

}  // namespace mlcore::one_row

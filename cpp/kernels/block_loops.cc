#include "kernels/block_loops_impl.h"

namespace mlcore {

const BlockLoops& baseline_block_loops() {
  static constexpr BlockLoops kLoops = make_block_loops<16>();
  return kLoops;
}

const BlockLoops& block_loops(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return avx512_block_loops();
  if (isa == Isa::avx2) return avx2_block_loops();
#endif
  (void)isa;
  return baseline_block_loops();
}

}  // namespace mlcore

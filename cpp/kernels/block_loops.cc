#include "kernels/block_loops_impl.h"

namespace mlcore {

const BlockLoops& baseline_block_loops() {
  static constexpr BlockLoops kLoops = make_block_loops<16>();
  return kLoops;
}

const BlockLoops& block_loops(Isa isa) {
  return of_isa<baseline_block_loops, avx2_block_loops, avx512_block_loops>(isa);
}

}  // namespace mlcore

// Compiled for avx512 (CMakeLists.txt).
#if defined(__x86_64__)
#include "kernels/block_loops_impl.h"

namespace mlcore {

const BlockLoops& avx512_block_loops() {
  static constexpr BlockLoops kLoops = make_block_loops<64>();
  return kLoops;
}

}  // namespace mlcore

#endif

#include "kernels/isa.h"

#include <cstdlib>
#include <string>

#include "base/status.h"

namespace mlcore {
namespace {

constexpr Isa kLevels[kIsaCount] = {Isa::baseline, Isa::avx2, Isa::avx512};

}  // namespace

std::string_view name_of(Isa isa) {
  switch (isa) {
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    default: return "baseline";
  }
}

bool is_available(Isa isa) {
  if (isa == Isa::baseline) return true;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa == Isa::avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vbmi");
#else
  return false;
#endif
}

Isa chosen_isa() {
  const char* forced = std::getenv("MLCORE_ISA");
  if (forced == nullptr || *forced == '\0') {
    Isa best = Isa::baseline;
    for (Isa isa : kLevels)
      if (is_available(isa)) best = isa;
    return best;
  }
  for (Isa isa : kLevels) {
    if (name_of(isa) != forced) continue;
    require(is_available(isa), ErrorCode::program,
            "MLCORE_ISA: expected a level of this processor but found ", quoted(forced), ", which it lacks");
    return isa;
  }
  fail(ErrorCode::program, "MLCORE_ISA: expected 'baseline', 'avx2' or 'avx512' but found ", quoted(forced));
}

}  // namespace mlcore

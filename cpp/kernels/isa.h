// Instruction sets that the loops of this library are compiled for.
#pragma once

#include <cstdint>
#include <string_view>

namespace mlcore {

enum class Isa : uint8_t { baseline, avx2, avx512 };
inline constexpr int kIsaCount = 3;

std::string_view name_of(Isa isa);
// The levels that both this build and this processor have; the last is the best.
bool is_available(Isa isa);
// The level that the environment variable MLCORE_ISA names, else the best one. Throws ErrorCode::program when
// the variable names none of them, or one that this processor lacks.
Isa chosen_isa();

// What the functions of a level give. Those of other processors than this build's are not there.
template <auto kBaseline, auto kAvx2, auto kAvx512>
const auto& of_isa(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return kAvx512();
  if (isa == Isa::avx2) return kAvx2();
#endif
  (void)isa;
  return kBaseline();
}

}  // namespace mlcore

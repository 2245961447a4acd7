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

}  // namespace mlcore

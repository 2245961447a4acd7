#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace mlcore {

using Sha256 = std::array<std::byte, 32>;

Sha256 sha256(std::span<const std::byte> bytes);

}  // namespace mlcore

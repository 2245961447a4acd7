// The one codec of the .mlc file. docs/artifact-format.md specifies every byte.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "ir/program.h"

namespace mlcore {

constexpr int64_t kArtifactVersion = 1;

// The bytes of a file that holds `program`. What encodes also decodes: anything a reader would refuse
// (an index out of range, a text that is not UTF-8, a header beyond the limit) throws ErrorCode::program.
[[gnu::visibility("default")]] std::vector<std::byte> encode_artifact(const Program& program);

// Structure only: the caller runs validate_program before it trusts a node. Throws ErrorCode::artifact for
// every byte string that encode_artifact cannot have written. Peak memory: 2 * bytes.size() + 64 MB.
[[gnu::visibility("default")]] Program decode_artifact(std::span<const std::byte> bytes);

// Leaves the old file or the new one, whatever stops the process. Throws ErrorCode::io with the reason.
[[gnu::visibility("default")]] void save_artifact(const Program& program, const std::string& path);
[[gnu::visibility("default")]] void save_bytes(std::span<const std::byte> bytes, const std::string& path);

// Reads a regular file into private memory, so what was verified is what runs.
// Throws ErrorCode::io if the file cannot be read, ErrorCode::artifact if it is refused; both name the path.
[[gnu::visibility("default")]] Program load_artifact(const std::string& path);

// SHA-256 in lower-case hexadecimal.
[[gnu::visibility("default")]] std::string digest_of(std::span<const std::byte> bytes);

}  // namespace mlcore

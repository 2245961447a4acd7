// Files as the artifact needs them: read whole into private memory, replaced whole or not at all.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace mlcore {

// Bytes in memory of our own: nobody can change them after they were checked, unlike a mapping.
struct FileBytes {
  std::unique_ptr<std::byte[]> data;
  size_t size = 0;

  std::span<const std::byte> span() const { return {data.get(), size}; }
};

// A path quoted for a message, whole, with control bytes and bytes that are not UTF-8 as \xNN.
std::string quoted_path(std::string_view path);

// Reads a regular file; never blocks on a pipe or device. The first min(size, kProbe) bytes go to `accept`
// before memory for the rest is asked for; it throws to refuse the file. Throws ErrorCode::artifact if `path`
// is no regular file or changes its size meanwhile, ErrorCode::io if the system refuses.
constexpr size_t kProbe = 64;
FileBytes read_file(const std::string& path,
                    const std::function<void(std::span<const std::byte> head, size_t size)>& accept);

// `path` holds its old content or `bytes`, whatever stops the process, once this returns on disk too. A
// symbolic link at `path` is replaced, not followed; permissions of a replaced file are kept. Throws
// ErrorCode::io.
void replace_file(std::span<const std::byte> bytes, const std::string& path);

}  // namespace mlcore

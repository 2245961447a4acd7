#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <random>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "base/utf8.h"

namespace mlcore {
namespace {

// What the system said, such as "No space left on device".
std::string reason(int error) { return std::generic_category().message(error); }

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  // Closing can report a delayed write error (network file systems), so a writer asks.
  bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

int open_file(const char* path, int flags, mode_t mode = 0) {
  int fd;
  do fd = ::open(path, flags | O_CLOEXEC | O_NOCTTY, mode);
  while (fd < 0 && errno == EINTR);
  return fd;
}

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISSOCK(mode)) return "a socket";
  return "another kind of file";
}

void require_no_nul(const std::string& path, std::string_view verb) {
  require(path.find('\0') == std::string::npos, ErrorCode::io, "cannot ", verb, " ", quoted_path(path),
          ": expected a path but found a NUL byte in it");
}

// Reads until `size` bytes or the end of the file; gives the count.
size_t read_some(int fd, std::byte* out, size_t size, const std::string& path) {
  size_t done = 0;
  while (done < size) {
    const ssize_t count = ::read(fd, out + done, std::min(size - done, size_t{1} << 30));
    if (count < 0 && errno == EINTR) continue;
    require(count >= 0, ErrorCode::io, "cannot read ", quoted_path(path), ": ", reason(errno));
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return done;
}

// A temporary file beside the target, gone again unless it became the target.
class Temporary {
 public:
  explicit Temporary(std::string directory) : directory_(std::move(directory)) {}
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  int create() {
    std::random_device random;
    for (int attempt = 0; attempt < 100; ++attempt) {
      std::array<char, 32> name;
      std::snprintf(name.data(), name.size(), ".mlcore-%08x%08x.tmp", random(), random());
      const std::string path = directory_ + name.data();
      const int fd = open_file(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
      if (fd >= 0) {
        path_ = path;
        return fd;
      }
      if (errno != EEXIST) return -1;
    }
    return -1;
  }

  bool rename_to(const std::string& target) {
    if (::rename(path_.c_str(), target.c_str()) != 0) return false;
    path_.clear();
    return true;
  }

 private:
  std::string directory_;
  std::string path_;
};

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), std::min(bytes.size(), size_t{1} << 30));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return true;
}

bool sync(int fd) {
  int result;
  do result = ::fsync(fd);
  while (result != 0 && errno == EINTR);
  return result == 0;
}

}  // namespace

std::string quoted_path(std::string_view path) {
  constexpr char kHex[] = "0123456789abcdef";
  const bool readable = is_utf8(path);
  std::string out = "'";
  for (char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !readable)) {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  return out + "'";
}

FileBytes read_file(const std::string& path,
                    const std::function<void(std::span<const std::byte> head, size_t size)>& accept) {
  require_no_nul(path, "read");
  const Descriptor file(open_file(path.c_str(), O_RDONLY | O_NONBLOCK));
  require(file.get() >= 0, ErrorCode::io, "cannot read ", quoted_path(path), ": ", reason(errno));
  struct stat status;
  require(::fstat(file.get(), &status) == 0, ErrorCode::io, "cannot read ", quoted_path(path), ": ",
          reason(errno));
  require(S_ISREG(status.st_mode), ErrorCode::artifact, "cannot read ", quoted_path(path),
          ": expected a regular file but found ", kind_of(status.st_mode));
  const auto size = static_cast<size_t>(status.st_size);

  std::array<std::byte, kProbe> head;
  const size_t probed = read_some(file.get(), head.data(), std::min(size, kProbe), path);
  accept(std::span(head).first(probed), size);

  FileBytes bytes{std::make_unique_for_overwrite<std::byte[]>(size), size};
  std::copy_n(head.begin(), probed, bytes.data.get());
  const size_t found = probed + read_some(file.get(), bytes.data.get() + probed, size - probed, path);
  require(found == size, ErrorCode::artifact, "cannot read ", quoted_path(path), ": expected ", size,
          " bytes but found ", found, "; the file changed while it was read");
  return bytes;
}

void replace_file(std::span<const std::byte> bytes, const std::string& path) {
  require_no_nul(path, "write");
  const auto refuse = [&](int error) {
    fail(ErrorCode::io, "cannot write ", quoted_path(path), ": ", reason(error));
  };
  struct stat status;
  const bool exists = ::lstat(path.c_str(), &status) == 0;
  if (!exists && errno != ENOENT) refuse(errno);
  require(!exists || S_ISREG(status.st_mode) || S_ISLNK(status.st_mode), ErrorCode::io, "cannot write ",
          quoted_path(path), ": expected a regular file or none but found ",
          exists ? kind_of(status.st_mode) : std::string_view());
  // A rename needs no right to the file it replaces; a user who marked the file read-only means it.
  if (exists && S_ISREG(status.st_mode) && ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0)
    refuse(errno);

  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "./" : path.substr(0, slash + 1);
  Temporary temporary(directory);
  Descriptor file(temporary.create());
  if (file.get() < 0) refuse(errno);
  if (exists && S_ISREG(status.st_mode) && ::fchmod(file.get(), status.st_mode & 0777) != 0) refuse(errno);
  if (!write_all(file.get(), bytes) || !sync(file.get()) || !file.close()) refuse(errno);
  if (!temporary.rename_to(path)) refuse(errno);

  // The rename itself must reach the disk. Some file systems cannot sync a directory and say EINVAL, and a
  // directory that may be written but not read cannot be opened: the file is whole either way.
  const Descriptor parent(open_file(directory.c_str(), O_RDONLY | O_DIRECTORY));
  if (parent.get() >= 0 && !sync(parent.get()) && errno != EINVAL && errno != ENOTSUP) refuse(errno);
}

}  // namespace mlcore

#include <sys/stat.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>

#include "artifact_samples.h"
#include "ir/artifact.h"

namespace {

using namespace mlcore;
using samples::Bytes;
using samples::message_of;

struct Directory {
  Directory() {
    char name[] = "/tmp/mlcore-test-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Directory() { std::filesystem::remove_all(path); }
  size_t count() const {
    size_t found = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path)) ++found;
    return found;
  }
  std::filesystem::path path;
};

Bytes content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return samples::bytes_of(text);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(artifact_files)

BOOST_AUTO_TEST_CASE(save_and_load) {
  const Directory directory;
  const std::string path = directory.path / "model.mlc";
  const Program program = samples::program();
  save_artifact(program, path);
  BOOST_CHECK(content(path) == encode_artifact(program));
  BOOST_CHECK(encode_artifact(load_artifact(path)) == encode_artifact(program));
  save_artifact(Program{}, path);
  BOOST_CHECK(content(path) == encode_artifact(Program{}));
  BOOST_TEST(directory.count() == 1U);
  struct stat status;
  BOOST_REQUIRE(::stat(path.c_str(), &status) == 0);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  BOOST_TEST((status.st_mode & 0777) == (0644 & ~mask));
  ::chmod(path.c_str(), 0600);
  save_artifact(program, path);
  BOOST_REQUIRE(::stat(path.c_str(), &status) == 0);
  BOOST_TEST((status.st_mode & 0777) == 0600U);
}

BOOST_AUTO_TEST_CASE(save_replaces_a_link_and_nothing_behind_it) {
  const Directory directory;
  const std::string target = directory.path / "target";
  const std::string link = directory.path / "link.mlc";
  save_bytes(samples::bytes_of("precious"), target);
  BOOST_REQUIRE(::symlink(target.c_str(), link.c_str()) == 0);
  save_artifact(Program{}, link);
  BOOST_CHECK(content(target) == samples::bytes_of("precious"));
  BOOST_CHECK(content(link) == encode_artifact(Program{}));
}

BOOST_AUTO_TEST_CASE(files_that_cannot_be_read) {
  const Directory directory;
  const auto load = [](const std::string& path) { return [path] { load_artifact(path); }; };
  const std::string base = directory.path;
  const std::string fifo = base + "/pipe";
  BOOST_REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const auto contains = [](const std::string& message, const std::string& fragment) {
    BOOST_CHECK_MESSAGE(message.find(fragment) != std::string::npos, message);
  };
  contains(message_of(ErrorCode::artifact, load(base)),
           "cannot read '" + base + "': expected a regular file but found a directory");
  contains(message_of(ErrorCode::artifact, load(fifo)), "expected a regular file but found a pipe");
  contains(message_of(ErrorCode::artifact, load("/dev/zero")), "expected a regular file but found a device");
  contains(message_of(ErrorCode::io, load(base + "/none")), "cannot read '" + base + "/none': No such file");
  contains(message_of(ErrorCode::io, load(std::string("/tmp/a\0b", 8))), "a NUL byte");
  contains(message_of(ErrorCode::io, load("")), "No such file");
  contains(message_of(ErrorCode::io, load("/tmp/\xff\x01")), "'/tmp/\\xff\\x01'");
  save_bytes({}, base + "/empty");
  contains(message_of(ErrorCode::artifact, load(base + "/empty")),
           "cannot load '" + base + "/empty': expected an mlcore artifact but found an empty file");
  save_bytes(samples::bytes_of("hello"), base + "/text");
  contains(message_of(ErrorCode::artifact, load(base + "/text")), "found other content");
  Bytes broken = encode_artifact(samples::program());
  broken.back() ^= std::byte{1};
  save_bytes(broken, base + "/broken");
  contains(message_of(ErrorCode::artifact, load(base + "/broken")),
           "cannot load '" + base + "/broken': expected SHA-256");
  // a terabyte that is not there must not be asked for
  std::filesystem::resize_file(base + "/text", uintmax_t{1} << 40);
  contains(message_of(ErrorCode::artifact, load(base + "/text")), "found other content");
}

BOOST_AUTO_TEST_CASE(files_that_cannot_be_written) {
  const Directory directory;
  const std::string base = directory.path;
  const std::string fifo = base + "/pipe";
  BOOST_REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const auto refused = [&](const std::string& path, const std::string& fragment) {
    const std::string message = message_of(ErrorCode::io, [&] { save_artifact(Program{}, path); });
    BOOST_CHECK_MESSAGE(message.find(fragment) != std::string::npos, message);
  };
  refused(base, "expected a regular file or none but found a directory");
  refused(fifo, "found a pipe");
  refused("/dev/null", "found a device");
  refused(base + "/none/model.mlc", "No such file");
  refused(base + "/pipe/model.mlc", "Not a directory");
  refused(base + "/" + std::string(300, 'x'), "File name too long");
  refused(std::string("/tmp/a\0b", 8), "a NUL byte");
  refused("", "No such file");
  BOOST_TEST(directory.count() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()

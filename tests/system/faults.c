// Preloaded in front of libc: once armed, the n-th call by which a save touches the file system fails or kills.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

enum Mode { kill_before, kill_after, kill_half_written, fail, interrupt, write_short };

static int countdown = 0;  // calls until the fault; 0: not armed
static int calls = 0;      // since armed
static enum Mode mode = fail;
static int error = 0;

void arm(int n, int how, int with_error) {
  countdown = n;
  calls = 0;
  mode = (enum Mode)how;
  error = with_error;
}

int disarm(void) {
  countdown = 0;
  return calls;
}

// Whether this call is the one.
static int due(void) {
  if (countdown == 0) return 0;
  if (++calls != countdown) return 0;
  if (mode == kill_before) kill(getpid(), SIGKILL);
  return 1;
}

static int refused(int is_due) {
  if (!is_due || (mode != fail && mode != interrupt)) return 0;
  errno = mode == interrupt ? EINTR : error;
  return 1;
}

static void after(int is_due) {
  if (is_due && (mode == kill_after || mode == kill_half_written)) kill(getpid(), SIGKILL);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int open(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t permissions = (flags & O_CREAT) ? va_arg(list, mode_t) : 0;
  va_end(list);
  const int is_due = due();
  if (refused(is_due)) return -1;
  const int out = REAL(open)(path, flags, permissions);
  after(is_due);
  return out;
}

ssize_t write(int fd, const void* data, size_t size) {
  const int is_due = due();
  if (refused(is_due)) return -1;
  const int half = is_due && (mode == kill_half_written || mode == write_short);
  const ssize_t out = REAL(write)(fd, data, half ? (size + 1) / 2 : size);
  after(is_due);
  return out;
}

int fsync(int fd) {
  const int is_due = due();
  if (refused(is_due)) return -1;
  const int out = REAL(fsync)(fd);
  after(is_due);
  return out;
}

int fchmod(int fd, mode_t permissions) {
  const int is_due = due();
  if (refused(is_due)) return -1;
  const int out = REAL(fchmod)(fd, permissions);
  after(is_due);
  return out;
}

int rename(const char* from, const char* to) {
  const int is_due = due();
  if (refused(is_due)) return -1;
  const int out = REAL(rename)(from, to);
  after(is_due);
  return out;
}

// A descriptor is gone also when close reports an error, and nobody may close it again.
int close(int fd) {
  const int is_due = due();
  const int out = REAL(close)(fd);
  after(is_due);
  if (is_due && mode == fail) {
    errno = error;
    return -1;
  }
  return out;
}

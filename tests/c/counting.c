// Preloaded in front of libc: counts what a single row must not do, allocate and lock.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>

static long allocations = 0, locks = 0;

long counted_allocations(void) { return __atomic_load_n(&allocations, __ATOMIC_RELAXED); }
long counted_locks(void) { return __atomic_load_n(&locks, __ATOMIC_RELAXED); }

static void count(long* what) { __atomic_fetch_add(what, 1, __ATOMIC_RELAXED); }

// glibc's own names for what stands behind malloc
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* memory);

void* malloc(size_t size) {
  count(&allocations);
  return __libc_malloc(size);
}

void* calloc(size_t n, size_t size) {
  count(&allocations);
  return __libc_calloc(n, size);
}

void* realloc(void* old, size_t size) {
  count(&allocations);
  return __libc_realloc(old, size);
}

void* memalign(size_t alignment, size_t size) {
  count(&allocations);
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void** out, size_t alignment, size_t size) {
  *out = memalign(alignment, size);
  return *out ? 0 : ENOMEM;
}

void free(void* memory) {
  if (memory) count(&allocations);
  __libc_free(memory);
}

#define COUNTED(name, type)                                                    \
  int name(type* lock) {                                                       \
    static int (*real)(type*) = NULL;                                          \
    if (!real) real = (int (*)(type*))dlsym(RTLD_NEXT, #name);                 \
    count(&locks);                                                             \
    return real(lock);                                                         \
  }

COUNTED(pthread_mutex_lock, pthread_mutex_t)
COUNTED(pthread_mutex_trylock, pthread_mutex_t)
COUNTED(pthread_rwlock_rdlock, pthread_rwlock_t)
COUNTED(pthread_rwlock_wrlock, pthread_rwlock_t)

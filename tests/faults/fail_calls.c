/* Lets one call of the C library fail: preloaded into a command by inject_errors.py.
 *
 * Calls that reach for files are counted once `fail_calls_begin` was called, or, in a process that was started with
 * FAIL_CALLS="COUNT ERRNO LASTING MEMORY", once a path with "begin-to-fail" in it is met: the interpreter's own start
 * is not ours. The wanted one fails with ERRNO, and those behind it, too, if LASTING; ERRNO 0 sends SIGINT instead, and
 * the call is done. With MEMORY allocations of 64 KiB and more are counted in their place. Other processes, forked or
 * started, are left alone. Linux, glibc.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LARGE (64 << 10)
#define PROC 0x9fa0 /* statfs(2) */
#define SYS 0x62656572

static long wanted, count;
static int error_number, lasting, memory, is_armed;
static pid_t owner;

void fail_calls_begin(long n, int number, int is_lasting, int is_memory) {
    wanted = n, error_number = number, lasting = is_lasting, memory = is_memory;
    count = 0, owner = getpid(), is_armed = 1;
}

long fail_calls_count(void) { return count; }

static int is_hit(void) {
    if (!is_armed || getpid() != owner) return 0;
    long now = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (now != wanted && !(lasting && wanted > 0 && now > wanted)) return 0;
    if (error_number == 0) {
        kill(owner, SIGINT);
        return 0;
    }
    errno = error_number;
    return 1;
}

static int fails(const char *path) {
    static int was_started;
    if (!is_armed && !was_started && path && strstr(path, "begin-to-fail")) {
        const char *how = getenv("FAIL_CALLS");
        long n;
        int number, is_lasting, is_memory;
        was_started = 1;
        if (how && sscanf(how, "%ld %d %d %d", &n, &number, &is_lasting, &is_memory) == 4)
            fail_calls_begin(n, number, is_lasting, is_memory);
    }
    return !memory && is_hit();
}

static int fails_on(int descriptor) { /* a disk is full or broken, the terminal is not */
    struct statfs where;
    if (lasting && (descriptor == 1 || descriptor == 2)) return 0;
    /* The kernel's own tables can be read once they are open; OpenVINO reads them in a loop that has no end else. */
    if (is_armed && fstatfs(descriptor, &where) == 0 && (where.f_type == PROC || where.f_type == SYS)) return 0;
    return fails(NULL);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRAP(type, name, parameters, arguments, path, failure) \
    type name parameters {                                      \
        static __typeof__(&name) next;                          \
        if (!next) next = NEXT(name);                           \
        return fails(path) ? (failure) : next arguments;        \
    }
#define WRAP_ON(type, name, parameters, arguments)              \
    type name parameters {                                      \
        static __typeof__(&name) next;                          \
        if (!next) next = NEXT(name);                           \
        return fails_on(fd) ? -1 : next arguments;              \
    }
#define WRAP_OPEN(name, parameters, arguments)                  \
    int name parameters {                                       \
        static __typeof__(&name) next;                          \
        va_list more;                                           \
        va_start(more, flags);                                  \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                           \
        if (!next) next = NEXT(name);                           \
        return fails(path) ? -1 : next arguments;               \
    }

WRAP_OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
WRAP_OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))
WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode), path, NULL)
WRAP(FILE *, fopen64, (const char *path, const char *mode), (path, mode), path, NULL)
WRAP(int, stat, (const char *path, struct stat *s), (path, s), path, -1)
WRAP(int, stat64, (const char *path, struct stat64 *s), (path, s), path, -1)
WRAP(int, lstat, (const char *path, struct stat *s), (path, s), path, -1)
WRAP(int, lstat64, (const char *path, struct stat64 *s), (path, s), path, -1)
WRAP(int, fstat, (int fd, struct stat *s), (fd, s), NULL, -1)
WRAP(int, fstat64, (int fd, struct stat64 *s), (fd, s), NULL, -1)
WRAP(int, fstatat, (int at, const char *path, struct stat *s, int flags), (at, path, s, flags), path, -1)
WRAP(int, fstatat64, (int at, const char *path, struct stat64 *s, int flags), (at, path, s, flags), path, -1)
WRAP(int, access, (const char *path, int mode), (path, mode), path, -1)
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), path, -1)
WRAP(int, rmdir, (const char *path), (path), path, -1)
WRAP(int, unlink, (const char *path), (path), path, -1)
WRAP(int, unlinkat, (int at, const char *path, int flags), (at, path, flags), path, -1)
WRAP(int, link, (const char *path, const char *to), (path, to), path, -1)
WRAP(int, rename, (const char *path, const char *to), (path, to), path, -1)
WRAP(int, chmod, (const char *path, mode_t mode), (path, mode), path, -1)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), NULL, -1)
WRAP(int, fsync, (int fd), (fd), NULL, -1)
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), NULL, -1)
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size), NULL, -1)
WRAP(DIR *, opendir, (const char *path), (path), path, NULL)
WRAP(DIR *, fdopendir, (int fd), (fd), NULL, NULL)
WRAP(struct dirent *, readdir, (DIR *folder), (folder), NULL, NULL)
WRAP(struct dirent64 *, readdir64, (DIR *folder), (folder), NULL, NULL)
WRAP(ssize_t, readlink, (const char *path, char *to, size_t size), (path, to, size), path, -1)
WRAP(char *, getcwd, (char *to, size_t size), (to, size), NULL, NULL)
WRAP(int, pipe2, (int ends[2], int flags), (ends, flags), NULL, -1)
WRAP_ON(ssize_t, read, (int fd, void *to, size_t size), (fd, to, size))
WRAP_ON(ssize_t, pread64, (int fd, void *to, size_t size, off64_t from), (fd, to, size, from))
WRAP_ON(ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size))
WRAP_ON(ssize_t, pwrite64, (int fd, const void *from, size_t size, off64_t to), (fd, from, size, to))
WRAP_ON(ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n))
WRAP_ON(off64_t, lseek64, (int fd, off64_t to, int from), (fd, to, from))

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

static int lacks(size_t size) { return memory && size >= LARGE && is_hit(); }

void *mmap64(void *at, size_t size, int kind, int flags, int fd, off64_t from) {
    static __typeof__(&mmap64) next;
    if (!next) next = NEXT(mmap64);
    return (flags & MAP_ANONYMOUS ? lacks(size) : fails(NULL)) ? MAP_FAILED : next(at, size, kind, flags, fd, from);
}

void *malloc(size_t size) { return lacks(size) ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return lacks(n * size) ? NULL : __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { return lacks(size) ? NULL : __libc_realloc(old, size); }

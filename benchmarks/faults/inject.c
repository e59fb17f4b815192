/* Counts the writes of a process below one folder, and makes the k-th of them fail or end the process.

   Loaded by LD_PRELOAD, so that it sits below Python, the tensor store and the tokeniser alike. It does nothing until
   faults_arm is called. The count and the place of the fault lie in shared memory, where the parent of a fork reads
   them. Writes of the C library to its own buffered files (fwrite) do not pass through here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, ONCE, FROM_NOW_ON, KILL, TORN };
struct shared { long count, fired; char what[512]; };
static struct shared *shared;
static char prefix[PATH_MAX];
static long at;
static int mode, error;

__attribute__((constructor)) static void begin(void) {
    shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}
void faults_arm(const char *folder, long k, int how, int number) {
    memset(shared, 0, sizeof *shared);
    at = k, mode = how, error = number;
    strncpy(prefix, folder, sizeof prefix - 1);
}
long faults_count(void) { return shared->count; }
const char *faults_fired(void) { return shared->what; }

static int below(int folder, const char *path) {
    char whole[PATH_MAX * 2], base[PATH_MAX] = "";
    size_t n = strlen(prefix);
    if (!n || !path) return 0;
    if (path[0] != '/') {
        if (folder == AT_FDCWD) { if (!getcwd(base, sizeof base)) return 0; }
        else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t got = readlink(link, base, sizeof base - 1);
            if (got < 0) return 0;
            base[got] = 0;
        }
        snprintf(whole, sizeof whole, "%s/%s", base, path);
        path = whole;
    }
    return !strncmp(path, prefix, n);
}
static int holds(int fd, char *path) {
    char link[64];
    if (!prefix[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t got = readlink(link, path, PATH_MAX - 1);
    if (got < 0) return 0;
    path[got] = 0;
    return !strncmp(path, prefix, strlen(prefix));
}
/* 0: go on; 1: fail with `error`; 2: write one half, then end. `fills` is an operation that takes space. */
static int due(const char *what, const char *path, int fills) {
    long now = __sync_add_and_fetch(&shared->count, 1);
    if (mode == COUNT || now < at || (now > at && mode != FROM_NOW_ON)) return 0;
    if (mode == FROM_NOW_ON && !fills) return 0;
    if (!__sync_lock_test_and_set(&shared->fired, 1)) snprintf(shared->what, sizeof shared->what, "%s %s", what, path);
    if (mode == KILL || (mode == TORN && strncmp(what, "write", 5))) kill(getpid(), SIGKILL);
    if (mode == TORN) return 2;
    return 1;
}
#define REAL(name, type, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, #name)
#define FAIL_IF(test) do { if (test) { errno = error; return -1; } } while (0)

#define WRITE(name, offset_type, ...)                                                              \
    char path[PATH_MAX];                                                                           \
    size_t size = n;                                                                               \
    if (holds(fd, path)) {                                                                         \
        int how = due("write", path, 1);                                                           \
        FAIL_IF(how == 1);                                                                         \
        if (how == 2) size = n / 2;                                                                \
        ssize_t done = real(fd, data, size, ##__VA_ARGS__);                                        \
        if (how == 2) kill(getpid(), SIGKILL);                                                     \
        return done;                                                                               \
    }                                                                                              \
    return real(fd, data, size, ##__VA_ARGS__);

ssize_t write(int fd, const void *data, size_t n) { REAL(write, ssize_t, int, const void *, size_t); WRITE(write, ) }
ssize_t pwrite(int fd, const void *data, size_t n, off_t o) {
    REAL(pwrite, ssize_t, int, const void *, size_t, off_t); WRITE(pwrite, , o) }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t o) {
    REAL(pwrite64, ssize_t, int, const void *, size_t, off64_t); WRITE(pwrite64, , o) }
ssize_t writev(int fd, const struct iovec *parts, int n) {
    REAL(writev, ssize_t, int, const struct iovec *, int);
    char path[PATH_MAX];
    int how = holds(fd, path) ? due("writev", path, 1) : 0;
    FAIL_IF(how == 1);
    if (how == 2) {
        struct iovec half = {parts[0].iov_base, parts[0].iov_len / 2};
        real(fd, &half, 1);
        kill(getpid(), SIGKILL);
    }
    return real(fd, parts, n);
}
#define ON_FD(name, fills, ...)                                   \
    char path[PATH_MAX];                                          \
    if (holds(fd, path)) FAIL_IF(due(#name, path, fills) == 1);   \
    return real(fd, ##__VA_ARGS__);
int fsync(int fd) { REAL(fsync, int, int); ON_FD(fsync, 0) }
int fdatasync(int fd) { REAL(fdatasync, int, int); ON_FD(fdatasync, 0) }
int ftruncate(int fd, off_t n) { REAL(ftruncate, int, int, off_t); ON_FD(ftruncate, 0, n) }
int ftruncate64(int fd, off64_t n) { REAL(ftruncate64, int, int, off64_t); ON_FD(ftruncate64, 0, n) }

#define OPENS(folder, call)                                                                              \
    mode_t rights = 0;                                                                                   \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list l; va_start(l, flags); rights = va_arg(l, mode_t); va_end(l); } \
    if ((flags & O_ACCMODE) != O_RDONLY && below(folder, path)) FAIL_IF(due("open", path, (flags & O_CREAT) != 0) == 1); \
    return call;
int open(const char *path, int flags, ...) {
    REAL(open, int, const char *, int, ...); OPENS(AT_FDCWD, real(path, flags, rights)) }
int open64(const char *path, int flags, ...) {
    REAL(open64, int, const char *, int, ...); OPENS(AT_FDCWD, real(path, flags, rights)) }
int openat(int folder, const char *path, int flags, ...) {
    REAL(openat, int, int, const char *, int, ...); OPENS(folder, real(folder, path, flags, rights)) }
int openat64(int folder, const char *path, int flags, ...) {
    REAL(openat64, int, int, const char *, int, ...); OPENS(folder, real(folder, path, flags, rights)) }
int mkdir(const char *path, mode_t rights) {
    REAL(mkdir, int, const char *, mode_t);
    if (below(AT_FDCWD, path)) FAIL_IF(due("mkdir", path, 1) == 1);
    return real(path, rights);
}
int rename(const char *from, const char *to) {
    REAL(rename, int, const char *, const char *);
    if (below(AT_FDCWD, to)) FAIL_IF(due("rename", to, 0) == 1);
    return real(from, to);
}
int renameat(int a, const char *from, int b, const char *to) {
    REAL(renameat, int, int, const char *, int, const char *);
    if (below(b, to)) FAIL_IF(due("rename", to, 0) == 1);
    return real(a, from, b, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    REAL(renameat2, int, int, const char *, int, const char *, unsigned);
    if (below(b, to)) FAIL_IF(due("rename", to, 0) == 1);
    return real(a, from, b, to, flags);
}

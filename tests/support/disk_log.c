/* Tells a log of each change that a process makes to its files: loaded before the C library, see postgres_power_cut.py.

   A record is a head of numbers, and the bytes of a path or of a write. That of a change comes before the change; a
   sync has one before it and one after it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NAMED = 1, WRITTEN, TRUNCATED, EXTENDED, SYNC_BEGINS, SYNCED, RENAMED, UNLINKED, MADE_FOLDER, REMOVED_FOLDER };

struct head { uint64_t kind, process, inode, offset, bytes; };

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int log_file(void) {
    static int file = -1;
    if (file < 0) {
        int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
        file = fcntl(real(getenv("FR_DISK_LOG"), O_WRONLY | O_APPEND | O_CLOEXEC), F_DUPFD_CLOEXEC, 900);
    }
    return file;
}

static void tell(uint64_t kind, uint64_t inode, uint64_t offset, const void *data, uint64_t bytes) {
    int before = errno;
    struct head head = {kind, getpid(), inode, offset, bytes};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)data, bytes}};
    REAL(ssize_t, writev, int, const struct iovec *, int);
    if (real(log_file(), parts, 2) != (ssize_t)(sizeof head + bytes)) abort();
    errno = before;
}

/* The number of a file or folder whose changes count; 0 for pipes, sockets, and what the process prints. */
static uint64_t inode_of(int file) {
    struct stat found;
    if (file <= 2 || fstat(file, &found) || !(S_ISREG(found.st_mode) || S_ISDIR(found.st_mode))) return 0;
    return found.st_ino;
}

static void tell_of(uint64_t kind, int file, uint64_t offset, const void *data, uint64_t bytes) {
    uint64_t inode = inode_of(file);
    if (inode) tell(kind, inode, offset, data, bytes);
}

static void tell_paths(uint64_t kind, uint64_t inode, const char *path, const char *other) {
    char both[8192];
    size_t first = strlen(path) + 1, second = other ? strlen(other) : 0;
    memcpy(both, path, first);
    memcpy(both + first, other ? other : "", second);
    tell(kind, inode, 0, both, other ? first + second : first - 1);
}

static uint64_t place_in(int file) {
    struct stat found;
    if (fcntl(file, F_GETFL) & O_APPEND) return fstat(file, &found) ? 0 : found.st_size;
    return lseek(file, 0, SEEK_CUR);
}

static int told_of_open(int file, const char *path, int flags) {
    if (file >= 0 && flags & (O_CREAT | O_TRUNC)) {
        uint64_t inode = inode_of(file);
        if (inode && flags & O_CREAT) tell_paths(NAMED, inode, path, NULL);
        if (inode && flags & O_TRUNC) tell(TRUNCATED, inode, 0, NULL, 0);
    }
    return file;
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    REAL(int, open, const char *, int, ...);
    return told_of_open(real(path, flags, mode), path, flags);
}

ssize_t write(int file, const void *data, size_t bytes) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (inode_of(file)) tell_of(WRITTEN, file, place_in(file), data, bytes);
    return real(file, data, bytes);
}

ssize_t pwrite(int file, const void *data, size_t bytes, off_t offset) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    tell_of(WRITTEN, file, offset, data, bytes);
    return real(file, data, bytes, offset);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset) {
    REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t);
    off_t at = offset;
    for (int i = 0; i < count; at += parts[i++].iov_len) tell_of(WRITTEN, file, at, parts[i].iov_base, parts[i].iov_len);
    return real(file, parts, count, offset);
}

int ftruncate(int file, off_t bytes) {
    REAL(int, ftruncate, int, off_t);
    tell_of(TRUNCATED, file, bytes, NULL, 0);
    return real(file, bytes);
}

int truncate(const char *path, off_t bytes) {
    REAL(int, truncate, const char *, off_t);
    struct stat found;
    if (!stat(path, &found)) tell(TRUNCATED, found.st_ino, bytes, NULL, 0);
    return real(path, bytes);
}

int posix_fallocate(int file, off_t offset, off_t bytes) {
    REAL(int, posix_fallocate, int, off_t, off_t);
    tell_of(EXTENDED, file, offset + bytes, NULL, 0);
    return real(file, offset, bytes);
}

#define SYNC(name) \
    int name(int file) { \
        REAL(int, name, int); \
        tell_of(SYNC_BEGINS, file, 0, NULL, 0); \
        int failed = real(file); \
        if (!failed) tell_of(SYNCED, file, 0, NULL, 0); \
        return failed; \
    }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *before, const char *after) {
    REAL(int, rename, const char *, const char *);
    tell_paths(RENAMED, 0, before, after);
    return real(before, after);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    tell_paths(UNLINKED, 0, path, NULL);
    return real(path);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    tell_paths(MADE_FOLDER, 0, path, NULL);
    return real(path, mode);
}

int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    tell_paths(REMOVED_FOLDER, 0, path, NULL);
    return real(path);
}

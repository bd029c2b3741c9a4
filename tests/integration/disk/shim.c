/* A disk that fills up, loses writes or hangs, for the files of one test: to be loaded before the C library by
 * LD_PRELOAD. It says what it does to them in a file of its own, a line a call.
 *
 *   DISK_FILES    what the paths of these files begin with
 *   DISK_LOG      where each call is written down: `write 4096 PATH`, with ` failed` behind it where it did
 *   DISK_FULL     there is no room from this call on that asks for some; 1 is the first
 *   DISK_ERROR    with DISK_FULL: the number of the error, where it is another one
 *   DISK_TORN     with DISK_FULL: the first write without room still writes half of what it was to
 *   DISK_GROWTH   only what makes a file longer asks for room, as on most file systems
 *   DISK_UNSYNCED this call that waits for the disk fails, and only this one: as Linux does it
 *   DISK_BROKEN   a file: as long as it is there, each call that waits for the disk of the log of a database fails
 *   DISK_STOPPED  the process stops in this call that waits for the disk
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long room_calls, sync_calls;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

/* Whether the path is one of these files; or, for what waits for the disk, the folder that they are in. */
static int is_ours(const char *path, int or_folder) {
    const char *files = getenv("DISK_FILES");
    if (!files || !*files || !path) return 0;
    if (!strncmp(path, files, strlen(files))) return 1;
    size_t length = strlen(path);
    return or_folder && !strncmp(path, files, length) && strchr(files + length, '/') == files + length
        && !strchr(files + length + 1, '/');
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return 1;
}

/* By the system call, so that nothing here is met by itself. */
static void tell(const char *what, long size, const char *path, int failed) {
    const char *log = getenv("DISK_LOG");
    if (!log) return;
    int saved = errno;
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%s %ld %s%s\n", what, size, path, failed ? " failed" : "");
    int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
        syscall(SYS_write, fd, line, (size_t)length);
        syscall(SYS_close, fd);
    }
    errno = saved;
}

enum { ROOM, HALF, NONE };

/* Whether there is room for one more call. */
static int room_at(const char *what, long size, const char *path) {
    long full = number("DISK_FULL"), at = __atomic_add_fetch(&room_calls, 1, __ATOMIC_SEQ_CST);
    int answer = !full || at < full ? ROOM : at == full && size > 1 && getenv("DISK_TORN") ? HALF : NONE;
    tell(what, size, path, answer != ROOM);
    return answer;
}

static int room_in(const char *what, long size, int fd) {
    char path[PATH_MAX];
    if (!path_of(fd, path) || !is_ours(path, 0)) return ROOM;
    return room_at(what, size, path);
}

/* The same for a write at a place of the file. */
static int room_at_place(int fd, size_t size, off64_t at) {
    struct stat found;
    int is_within = getenv("DISK_GROWTH") && at >= 0 && !fstat(fd, &found) && at + (off64_t)size <= found.st_size;
    return is_within ? ROOM : room_in("write", (long)size, fd);
}

static int no_room(void) {
    long error = number("DISK_ERROR");
    errno = error ? (int)error : ENOSPC;
    return -1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *from, size_t size) {
    int room = room_at_place(fd, size, getenv("DISK_GROWTH") ? lseek64(fd, 0, SEEK_CUR) : 0);
    return room == NONE ? no_room() : NEXT(write)(fd, from, room == HALF ? size / 2 : size);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t at) {
    int room = room_at_place(fd, size, at);
    return room == NONE ? no_room() : NEXT(pwrite)(fd, from, room == HALF ? size / 2 : size, at);
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) {
    int room = room_at_place(fd, size, at);
    return room == NONE ? no_room() : NEXT(pwrite64)(fd, from, room == HALF ? size / 2 : size, at);
}

ssize_t writev(int fd, const struct iovec *from, int count) {
    return room_in("write", 1, fd) == NONE ? no_room() : NEXT(writev)(fd, from, count);
}

/* To make a file shorter takes no room. */
static int may_be(int fd, long length, const char *what) {
    struct stat found;
    if (!fstat(fd, &found) && found.st_size >= length) return 1;
    return room_in(what, length, fd) == ROOM;
}

int ftruncate(int fd, off_t length) {
    return may_be(fd, (long)length, "ftruncate") ? NEXT(ftruncate)(fd, length) : no_room();
}

int ftruncate64(int fd, off64_t length) {
    return may_be(fd, (long)length, "ftruncate") ? NEXT(ftruncate64)(fd, length) : no_room();
}

int fallocate(int fd, int mode, off_t at, off_t size) {
    return room_in("fallocate", 1, fd) == ROOM ? NEXT(fallocate)(fd, mode, at, size) : no_room();
}

int fallocate64(int fd, int mode, off64_t at, off64_t size) {
    return room_in("fallocate", 1, fd) == ROOM ? NEXT(fallocate64)(fd, mode, at, size) : no_room();
}

int posix_fallocate(int fd, off_t at, off_t size) {
    return room_in("fallocate", 1, fd) == ROOM ? NEXT(posix_fallocate)(fd, at, size) : ENOSPC;
}

int posix_fallocate64(int fd, off64_t at, off64_t size) {
    return room_in("fallocate", 1, fd) == ROOM ? NEXT(posix_fallocate64)(fd, at, size) : ENOSPC;
}

/* A new file or folder takes room as well. */
static int may_be_made(const char *what, const char *path) {
    if (!is_ours(path, 0) || !access(path, F_OK)) return 1;
    return room_at(what, 1, path) == ROOM;
}

static int open_by(int (*next)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    return flags & O_CREAT && !may_be_made("create", path) ? no_room() : next(path, flags, mode);
}

static mode_t mode_in(int flags, va_list arguments) { return flags & O_CREAT ? va_arg(arguments, mode_t) : 0; }

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_in(flags, arguments);
    va_end(arguments);
    return open_by(NEXT(open), path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_in(flags, arguments);
    va_end(arguments);
    return open_by(NEXT(open64), path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
    return may_be_made("mkdir", path) ? NEXT(mkdir)(path, mode) : no_room();
}

/* Whether this call that waits for the disk gets through. */
static int may_sync(int fd) {
    char path[PATH_MAX];
    if (!path_of(fd, path) || !is_ours(path, 1)) return 1;
    long at = __atomic_add_fetch(&sync_calls, 1, __ATOMIC_SEQ_CST);
    const char *broken = getenv("DISK_BROKEN"), *end = strrchr(path, '-');
    int fails = at == number("DISK_UNSYNCED") || (broken && end && !strcmp(end, "-wal") && !access(broken, F_OK));
    tell("sync", at, path, fails);
    if (at == number("DISK_STOPPED")) raise(SIGSTOP);
    if (fails) errno = EIO;
    return !fails;
}

int fsync(int fd) { return may_sync(fd) ? NEXT(fsync)(fd) : -1; }

int fdatasync(int fd) { return may_sync(fd) ? NEXT(fdatasync)(fd) : -1; }

/* A file system that fails: preloaded, it stands before libc's calls that change files.

Operations on what lies below a folder are counted; the n-th fails, or the process is killed there.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static char below[4096];
static long chosen, count;          /* which operation, from 1; 0: none */
static int error, signum, torn, lasting, without_locks;
static FILE *journal;

/* error: what it fails with; or signum: what the process gets there, torn: with half of a write
   done. lasting: every later operation fails, too. Each operation is a line in the journal. */
void set_fault(const char *folder, long number, int error_, int signum_, int torn_, int lasting_,
               int without_locks_, const char *journal_) {
    strncpy(below, folder, sizeof below - 1);
    chosen = number, error = error_, signum = signum_, torn = torn_, lasting = lasting_;
    without_locks = without_locks_;
    journal = fopen(journal_, "w");
}

static int inside(const char *path) {
    size_t length = strlen(below);
    return length && strncmp(path, below, length) == 0;
}

static int inside_fd(int fd, char *path, size_t size) {
    char link[64];
    if (!*below) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}

/* What the operation fails with; 0: it is done. */
static int fails(const char *what, const char *path) {
    count++;
    if (journal) fprintf(journal, "%s %s\n", what, path), fflush(journal);
    if (!chosen || count < chosen || (count > chosen && !lasting)) return 0;
    if (signum && count == chosen) raise(signum);
    return error;
}

ssize_t write(int fd, const void *bytes, size_t size) {
    char path[4096];
    if (inside_fd(fd, path, sizeof path)) {
        if (torn && count + 1 == chosen) REAL(write)(fd, bytes, size / 2);
        int failed = fails("write", path);
        if (failed) { errno = failed; return -1; }
    }
    return REAL(write)(fd, bytes, size);
}

int fsync(int fd) {
    char path[4096];
    int failed = inside_fd(fd, path, sizeof path) ? fails("fsync", path) : 0;
    if (failed) { errno = failed; return -1; }
    return REAL(fsync)(fd);
}

int rename(const char *from, const char *to) {
    int failed = inside(to) ? fails("rename", to) : 0;
    if (failed) { errno = failed; return -1; }
    return REAL(rename)(from, to);
}

int link(const char *from, const char *to) {
    int failed = inside(to) ? fails("link", to) : 0;
    if (failed) { errno = failed; return -1; }
    return REAL(link)(from, to);
}

int mkdir(const char *path, mode_t mode) {
    int failed = inside(path) ? fails("mkdir", path) : 0;
    if (failed) { errno = failed; return -1; }
    return REAL(mkdir)(path, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    int failed = (flags & O_CREAT) && inside(path) ? fails("create", path) : 0;
    if (failed) { errno = failed; return -1; }
    return REAL(open64)(path, flags, mode);
}

int flock(int fd, int operation) {
    if (without_locks) { errno = ENOLCK; return -1; }
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(fd, operation);
}

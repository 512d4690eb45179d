#include "raft/disk_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"

#define APART_SECONDS     60
#define APART_CPU_SECONDS 20 /* Of a process that only reads: it goes round in circles. */

static enum status sys_err(struct err *err, const char *what, int cause)
{
    if (cause == ENOSPC || cause == EDQUOT) {
        return ERR(err, FULL, "could not %s: %s", what, strerror(cause));
    }
    return ERR(err, IO, "could not %s: %s", what, strerror(cause));
}

enum status disk_close_on_exec(int fd, struct err *err)
{
    const int flags = fcntl(fd, F_GETFD);

    if (flags == -1 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == -1) {
        return sys_err(err, "mark a file close-on-exec", errno);
    }
    return STATUS_OK;
}

enum status disk_reserve(int fd, uint64_t bytes, struct err *err)
{
    int rc;

    do {
        rc = posix_fallocate(fd, 0, (off_t)bytes);
    } while (rc == EINTR);
    return rc == 0 ? STATUS_OK : sys_err(err, "reserve disk space", rc);
}

enum status disk_size(int fd, uint64_t *bytes, struct err *err)
{
    struct stat info;

    if (fstat(fd, &info) == -1) {
        return sys_err(err, "look up the size of a file", errno);
    }
    *bytes = (uint64_t)info.st_size;
    return STATUS_OK;
}

bool disk_is_full(int fd)
{
    struct statvfs volume;

    return fstatvfs(fd, &volume) == 0 && volume.f_bavail == 0;
}

static enum status sync_dir(const char *dir, struct err *err)
{
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum status status = STATUS_OK;

    if (fd == -1) {
        return sys_err(err, "open a directory", errno);
    }
    if (fsync(fd) == -1) {
        status = sys_err(err, "sync a directory", errno);
    }
    (void)close(fd); /* Only read. */
    return status;
}

static enum status path_in(const char *dir, const char *name, char path[PATH_MAX], struct err *err)
{
    struct text text;

    text_init(&text, path, PATH_MAX);
    text_addf(&text, "%s/%s", dir, name);
    return text_overflowed(&text)
               ? ERR(err, INVALID, "the name of directory \"%s\" is too long", dir)
               : STATUS_OK;
}

enum status disk_sync_dirs(const char *dir, struct err *err)
{
    char parent[PATH_MAX];
    enum status status = path_in(dir, "..", parent, err);

    if (status == STATUS_OK) {
        status = sync_dir(dir, err);
    }
    if (status == STATUS_OK) {
        status = sync_dir(parent, err);
    }
    if (status != STATUS_OK) {
        err_add_context(err, "directory \"%s\"", dir);
    }
    return status;
}

enum status disk_lock(const char *dir, int *fd, struct err *err)
{
    char path[PATH_MAX];
    enum status status = path_in(dir, "owner.lock", path, err);

    *fd = -1;
    if (status != STATUS_OK) {
        return status;
    }
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd == -1) {
        status = sys_err(err, "create the lock file", errno);
    } else if (flock(*fd, LOCK_EX | LOCK_NB) == -1) {
        status = errno == EWOULDBLOCK ? ERR(err, REFUSED, "another process uses it")
                                      : sys_err(err, "lock the lock file", errno);
        disk_unlock(*fd);
        *fd = -1;
    }
    if (status != STATUS_OK) {
        err_add_context(err, "directory \"%s\"", dir);
    }
    return status;
}

void disk_unlock(int fd)
{
    if (fd != -1) {
        (void)close(fd); /* Nothing was written. */
    }
}

/* The child never returns: it must not run the parent's exit handlers. */
NORETURN static void run_child(void (*work)(void *), void *argument, pid_t parent)
{
    static const struct rlimit no_core = {0};
    static const struct rlimit cpu = {.rlim_cur = APART_CPU_SECONDS, .rlim_max = RLIM_INFINITY};

    /* It has inherited the lock of disk_lock(), and must not keep the next owner out. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1);
    }
    (void)setrlimit(RLIMIT_CORE, &no_core); /* One of every try would only fill the disk. */
    (void)setrlimit(RLIMIT_CPU, &cpu);
    (void)alarm(APART_SECONDS);
    work(argument);
    _exit(0);
}

/*
 * Only what reading itself does to the reader speaks of the data. An empty store in place of a
 * whole one costs the cluster a voter, so when in doubt it is to be read again later.
 */
static enum status judge_signal(int number, struct err *err)
{
    switch (number) {
    case SIGBUS:
    case SIGSEGV:
    case SIGFPE:
    case SIGILL:
    case SIGABRT:
    case SIGXCPU: /* Reading comes to no end. */
        return ERR(
            err, CORRUPT, "reading it ended the reader with signal %d (%s)", number,
            strsignal(number));
    case SIGALRM:
        return ERR(
            err, TIMEOUT, "it could not be read within %d s; the disk may be slow", APART_SECONDS);
    default:
        return ERR(
            err, IO,
            "somebody, or the kernel for want of memory, ended the process that reads it: "
            "signal %d (%s)",
            number, strsignal(number));
    }
}

enum status disk_try_apart(void (*work)(void *), void *argument, struct err *err)
{
    const pid_t parent = getpid();
    int how = 0;
    pid_t child;
    pid_t waited;

    (void)fflush(NULL); /* Or the child would have the same bytes to write. */
    child = fork();
    if (child == -1) {
        return sys_err(err, "start a process", errno);
    }
    if (child == 0) {
        run_child(work, argument, parent);
    }
    do {
        waited = waitpid(child, &how, 0);
    } while (waited == -1 && errno == EINTR);
    if (waited == -1) {
        return sys_err(err, "wait for a process", errno);
    }
    if (WIFSIGNALED(how)) {
        return judge_signal(WTERMSIG(how), err);
    }
    if (WEXITSTATUS(how) != 0) {
        return ERR(err, CORRUPT, "reading it ended the reader with code %d", WEXITSTATUS(how));
    }
    return STATUS_OK;
}

enum status disk_read_through(const char *dir, const char *name, struct err *err)
{
    char path[PATH_MAX];
    char bytes[65536];
    ssize_t count;
    int fd;
    enum status status = path_in(dir, name, path, err);

    if (status != STATUS_OK) {
        return status;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return sys_err(err, "open a file", errno);
    }
    do {
        count = read(fd, bytes, sizeof bytes);
    } while (count > 0 || (count == -1 && errno == EINTR));
    if (count == -1) {
        status = sys_err(err, "read a file", errno);
    }
    (void)close(fd); /* Only read. */
    return status;
}

enum status disk_set_aside(const char *dir, const char *from, const char *to, struct err *err)
{
    char old_path[PATH_MAX];
    char new_path[PATH_MAX];
    enum status status = path_in(dir, from, old_path, err);

    if (status == STATUS_OK) {
        status = path_in(dir, to, new_path, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (rename(old_path, new_path) == -1) {
        if (errno == ENOENT) {
            return STATUS_OK;
        }
        status = sys_err(err, "rename a file", errno);
        err_add_context(err, "file \"%s\"", old_path);
        return status;
    }
    return sync_dir(dir, err);
}

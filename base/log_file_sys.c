/*
 * A line leaves with one write(), so that lines of several processes with one standard error do
 * not mix. Rotation is that of Python's RotatingFileHandler: pgbaton.log.1 is the newest old
 * file.
 *
 * What can fail while a line is written cannot be logged. A line that the file did not take
 * goes to standard error; a rotation that failed is tried again with the next line, which
 * meanwhile goes to the file there is.
 */
#include "base/log_file_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/name.h"
#include "base/text.h"

static enum status sys_err(struct err *err, const char *what, const char *path)
{
    return ERR(err, IO, "could not %s \"%s\": %s", what, path, strerror(errno));
}

static enum status open_path(struct log_file *file, struct err *err)
{
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
    const int fd = open(file->path, flags, file->mode);
    struct stat info;

    if (fd == -1) {
        return sys_err(err, "open", file->path);
    }
    /* The mode of open() is narrowed by the umask; what the user has set is meant. */
    if (fstat(fd, &info) == -1 || fchmod(fd, file->mode) == -1) {
        (void)sys_err(err, "set the mode of", file->path);
        (void)close(fd);
        return err->status;
    }
    file->fd = fd;
    file->size_bytes = (uint64_t)info.st_size;
    return STATUS_OK;
}

enum status log_file_open(struct log_file *file, const char *dir, struct err *err)
{
    struct text path;

    file->fd = -1;
    if (dir == NULL) {
        return STATUS_OK;
    }
    text_init(&path, file->path, sizeof file->path);
    text_addf(&path, "%s/%s.log", dir, PRODUCT_NAME);
    if (text_overflowed(&path)) {
        return ERR(err, INVALID, "log directory \"%s\": path too long", dir);
    }
    return open_path(file, err);
}

void log_file_close(struct log_file *file)
{
    if (file->fd != -1) {
        (void)close(file->fd); /* Each line was judged when it was written. */
        file->fd = -1;
    }
}

/* "<path>" for 0, else "<path>.<number>". False if that is too long for a path. */
static bool numbered_path(const struct log_file *file, uint32_t number, struct text *path)
{
    text_add(path, file->path);
    if (number > 0) {
        text_addf(path, ".%" PRIu32, number);
    }
    return !text_overflowed(path);
}

static void rename_numbered(const struct log_file *file, uint32_t from, uint32_t to)
{
    char from_data[PATH_MAX];
    char to_data[PATH_MAX];
    struct text from_path;
    struct text to_path;

    text_init(&from_path, from_data, sizeof from_data);
    text_init(&to_path, to_data, sizeof to_data);
    if (numbered_path(file, from, &from_path) && numbered_path(file, to, &to_path)) {
        /* In the first rounds most of them do not exist yet. */
        (void)rename(from_data, to_data);
    }
}

static void rotate(struct log_file *file)
{
    const int old_fd = file->fd;
    struct err err;

    for (uint32_t number = file->rotated_max; number > 0; number--) {
        rename_numbered(file, number - 1, number);
    }
    if (open_path(file, &err) == STATUS_OK) {
        (void)close(old_fd);
    }
}

/* Somebody else may have made the open file non-blocking: then it is waited for here. */
static bool wait_writable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

    return poll(&poll_fd, 1, -1) == 1;
}

static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t count = write(fd, data, size);

        if (count >= 0) {
            data += count;
            size -= (size_t)count;
        } else if (errno != EINTR && !(errno == EAGAIN && wait_writable(fd))) {
            return false;
        }
    }
    return true;
}

void log_file_write(struct log_file *file, const char *line, size_t length)
{
    const bool rotates = file->size_max_bytes > 0 && file->rotated_max > 0;

    if (file->fd == -1) {
        (void)write_all(STDERR_FILENO, line, length);
        return;
    }
    if (rotates && file->size_bytes > 0 && file->size_bytes + length > file->size_max_bytes) {
        rotate(file);
    }
    if (write_all(file->fd, line, length)) {
        file->size_bytes += length;
    } else {
        (void)write_all(STDERR_FILENO, line, length);
    }
}

#include "raft/mark_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file_sys.h"
#include "base/text.h"

#define MARK_BYTES 36 /* Four numbers and their CRC-32C. */
#define MARK_MODE  0600

static enum status mark_path(const char *dir, char path[PATH_MAX], struct err *err)
{
    struct text text;

    text_init(&text, path, PATH_MAX);
    text_addf(&text, "%s/mark", dir);
    if (text_overflowed(&text)) {
        return ERR(err, INVALID, "the name of directory \"%s\" is too long", dir);
    }
    return STATUS_OK;
}

static enum status decode(
    const char *path, const uint8_t bytes[MARK_BYTES], struct raft_memory *mark, struct err *err)
{
    if (get_u32(&bytes[32]) != crc32c(0, bytes, 32)) {
        return ERR(err, CORRUPT, "file \"%s\" is damaged: the checksum does not match", path);
    }
    *mark = (struct raft_memory){
        .incarnation = get_u64(bytes),
        .term = get_u64(&bytes[8]),
        .index = get_u64(&bytes[16]),
        .entry_term = get_u64(&bytes[24]),
    };
    return STATUS_OK;
}

enum status mark_read(const char *dir, struct raft_memory *mark, struct err *err)
{
    char path[PATH_MAX];
    char data[MARK_BYTES + 2]; /* A byte more than allowed, and the NUL file_read() adds. */
    uint8_t bytes[MARK_BYTES];
    size_t length = 0;
    enum status status = mark_path(dir, path, err);

    *mark = (struct raft_memory){0};
    if (status != STATUS_OK) {
        return status;
    }
    status = file_read(path, data, sizeof data, &length, err);
    if (status == STATUS_INVALID) {
        return ERR(err, CORRUPT, "file \"%s\" is damaged: it is too long", path);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (length != MARK_BYTES) {
        return ERR(err, CORRUPT, "file \"%s\" is damaged: it has %zu bytes", path, length);
    }
    memcpy(bytes, data, sizeof bytes);
    return decode(path, bytes, mark, err);
}

static enum status write_err(const char *path, struct err *err)
{
    const int cause = errno;

    return cause == ENOSPC || cause == EDQUOT
               ? ERR(err, FULL, "could not write \"%s\": %s", path, strerror(cause))
               : ERR(err, IO, "could not write \"%s\": %s", path, strerror(cause));
}

/* -1 where there is no whole mark to write over. */
static int open_whole(const char *path)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    struct stat info;

    if (fd != -1 && (fstat(fd, &info) == -1 || info.st_size != MARK_BYTES)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static enum status write_over(
    int fd, const char *path, const uint8_t bytes[MARK_BYTES], struct err *err)
{
    ssize_t written;

    do {
        written = pwrite(fd, bytes, MARK_BYTES, 0);
    } while (written == -1 && errno == EINTR);
    if (written == -1 || fdatasync(fd) == -1) {
        return write_err(path, err);
    }
    return written == MARK_BYTES ? STATUS_OK : ERR(err, IO, "file \"%s\" was cut short", path);
}

enum status mark_write(const char *dir, const struct raft_memory *mark, struct err *err)
{
    char path[PATH_MAX];
    uint8_t bytes[MARK_BYTES];
    enum status status = mark_path(dir, path, err);
    int fd;

    if (status != STATUS_OK) {
        return status;
    }
    put_u64(bytes, mark->incarnation);
    put_u64(&bytes[8], mark->term);
    put_u64(&bytes[16], mark->index);
    put_u64(&bytes[24], mark->entry_term);
    put_u32(&bytes[32], crc32c(0, bytes, 32));
    fd = open_whole(path);
    if (fd == -1) {
        return file_replace(path, bytes, sizeof bytes, MARK_MODE, err);
    }
    status = write_over(fd, path, bytes, err);
    if (close(fd) == -1 && status == STATUS_OK) {
        status = write_err(path, err);
    }
    return status;
}

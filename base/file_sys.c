#include "base/file_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

static enum status sys_err(struct err *err, const char *what, const char *path)
{
    const int cause = errno;

    if (cause == ENOSPC || cause == EDQUOT) {
        return ERR(err, FULL, "could not %s \"%s\": %s", what, path, strerror(cause));
    }
    if (cause == ENOENT || cause == ENOTDIR) {
        return ERR(err, NOT_FOUND, "could not %s \"%s\": %s", what, path, strerror(cause));
    }
    return ERR(err, IO, "could not %s \"%s\": %s", what, path, strerror(cause));
}

/* read() until the end or `size` bytes; -1 with errno. */
static ssize_t read_all(int fd, char *data, size_t size)
{
    size_t length = 0;

    while (length < size) {
        const ssize_t count = read(fd, &data[length], size - length);

        if (count == 0) {
            break;
        }
        if (count > 0) {
            length += (size_t)count;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return (ssize_t)length;
}

enum status file_read(const char *path, char *data, size_t size, size_t *length, struct err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum status status = STATUS_OK;
    ssize_t count;

    data[0] = '\0';
    if (fd == -1) {
        return sys_err(err, "open", path);
    }
    /* Reads one byte more than it may keep: a file that just fits is not one that is cut. */
    count = read_all(fd, data, size);
    if (count == -1) {
        status = sys_err(err, "read", path);
        data[0] = '\0';
    } else if ((size_t)count == size) {
        status = ERR(err, INVALID, "file \"%s\" is longer than %zu bytes", path, size - 1);
        data[0] = '\0';
    } else {
        data[count] = '\0';
        if (length != NULL) {
            *length = (size_t)count;
        }
    }
    (void)close(fd);
    return status;
}

enum status file_read_alloc(
    const char *path, size_t limit, char **data, size_t *length, struct err *err)
{
    enum status status = STATUS_OK;
    size_t capacity = 0;
    size_t used = 0;
    char *block = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    *data = NULL;
    if (fd == -1) {
        return sys_err(err, "open", path);
    }
    /* Grows as it reads: the files of /proc say that their size is 0. */
    while (used == capacity) {
        const size_t wanted = capacity == 0 ? 4096 : capacity * 2;
        const size_t next = wanted < limit ? wanted : limit + 1;
        char *grown = next > capacity ? realloc(block, next + 1) : NULL;
        ssize_t count;

        if (grown == NULL) {
            status = next > capacity
                         ? ERR(err, FULL, "out of memory for file \"%s\"", path)
                         : ERR(err, INVALID, "file \"%s\" is longer than %zu bytes", path, limit);
            goto out;
        }
        block = grown;
        capacity = next;
        count = read_all(fd, &block[used], capacity - used);
        if (count == -1) {
            status = sys_err(err, "read", path);
            goto out;
        }
        used += (size_t)count;
    }
    block[used] = '\0';
    *data = block;
    block = NULL;
    if (length != NULL) {
        *length = used;
    }

out:
    free(block);
    (void)close(fd);
    return status;
}

static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t count = write(fd, data, size);

        if (count == -1 && errno != EINTR) {
            return false;
        }
        if (count > 0) {
            data += count;
            size -= (size_t)count;
        }
    }
    return true;
}

/* Makes the names in the directory of `path` survive a power cut. */
static enum status sync_parent(const char *path, struct err *err)
{
    char dir[PATH_MAX];
    char *slash;
    enum status status = STATUS_OK;
    int fd;

    if (!text_copy(dir, sizeof dir, path)) {
        return ERR(err, INVALID, "path too long: \"%s\"", path);
    }
    slash = strrchr(dir, '/');
    if (slash == NULL) {
        text_copy_cut(dir, sizeof dir, ".");
    } else if (slash == dir) {
        slash[1] = '\0';
    } else {
        *slash = '\0';
    }
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1) {
        return sys_err(err, "open directory", dir);
    }
    if (fsync(fd) == -1) {
        status = sys_err(err, "sync directory", dir);
    }
    (void)close(fd);
    return status;
}

/* Creates `path` with exactly these bytes and this mode, on disk. */
static enum status write_synced(
    const char *path, const void *data, size_t size, mode_t mode, struct err *err)
{
    enum status status = STATUS_OK;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd == -1) {
        return sys_err(err, "create", path);
    }
    /* Not by open(), whose mode the umask narrows. */
    if (fchmod(fd, mode) == -1) {
        status = sys_err(err, "set the mode of", path);
        goto out;
    }
    if (!write_all(fd, data, size)) {
        status = sys_err(err, "write", path);
        goto out;
    }
    if (fsync(fd) == -1) {
        status = sys_err(err, "sync", path);
        goto out;
    }

out:
    /* Some file systems report a failed write only here. */
    if (close(fd) == -1 && status == STATUS_OK) {
        status = sys_err(err, "close", path);
    }
    return status;
}

enum status file_replace(
    const char *path, const void *data, size_t size, mode_t mode, struct err *err)
{
    char fresh_data[PATH_MAX];
    struct text fresh;
    enum status status;

    text_init(&fresh, fresh_data, sizeof fresh_data);
    text_add(&fresh, path);
    text_add(&fresh, ".new");
    if (text_overflowed(&fresh)) {
        return ERR(err, INVALID, "path too long: \"%s\"", path);
    }
    /* Left by a crash, or a link planted by somebody else: never written through. */
    if (unlink(fresh_data) == -1 && errno != ENOENT) {
        return sys_err(err, "remove", fresh_data);
    }
    status = write_synced(fresh_data, data, size, mode, err);
    if (status == STATUS_OK && rename(fresh_data, path) == -1) {
        status = sys_err(err, "replace", path);
    }
    if (status != STATUS_OK) {
        (void)unlink(fresh_data);
        return status;
    }
    return sync_parent(path, err);
}

static bool has_bytes(const char *path, const void *data, size_t size)
{
    struct err ignored; /* What cannot be read is replaced. */
    char *found = NULL;
    size_t length = 0;
    bool same;

    if (file_read_alloc(path, size, &found, &length, &ignored) != STATUS_OK) {
        return false;
    }
    same = length == size && (size == 0 || memcmp(found, data, size) == 0);
    free(found);
    return same;
}

enum status file_replace_if_changed(
    const char *path, const void *data, size_t size, mode_t mode, bool *changed, struct err *err)
{
    const bool differs = !has_bytes(path, data, size);

    if (changed != NULL) {
        *changed = differs;
    }
    return differs ? file_replace(path, data, size, mode, err) : STATUS_OK;
}

enum status file_remove(const char *path, struct err *err)
{
    if (unlink(path) == -1) {
        return errno == ENOENT ? STATUS_OK : sys_err(err, "remove", path);
    }
    return sync_parent(path, err);
}

bool file_exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

static enum status remove_entry(FTSENT *entry, struct err *err)
{
    switch (entry->fts_info) {
    case FTS_D: /* Comes a second time, as FTS_DP, when it is empty. */
        return STATUS_OK;
    case FTS_DP:
        return rmdir(entry->fts_accpath) == 0 ? STATUS_OK : sys_err(err, "remove", entry->fts_path);
    case FTS_NS:
        /* Somebody else may have been quicker. */
        errno = entry->fts_errno;
        return errno == ENOENT ? STATUS_OK : sys_err(err, "look at", entry->fts_path);
    case FTS_DNR:
    case FTS_ERR:
        errno = entry->fts_errno;
        return sys_err(err, "read", entry->fts_path);
    default:
        return unlink(entry->fts_accpath) == 0 ? STATUS_OK
                                               : sys_err(err, "remove", entry->fts_path);
    }
}

enum status file_remove_tree(const char *path, struct err *err)
{
    char root[PATH_MAX]; /* fts_open() takes what it could write to. */
    char *const roots[] = {root, NULL};
    enum status status = STATUS_OK;
    struct stat info;
    FTS *tree = NULL;

    if (!text_copy(root, sizeof root, path)) {
        return ERR(err, INVALID, "path too long: \"%s\"", path);
    }
    if (lstat(path, &info) == -1 && errno == ENOENT) {
        return STATUS_OK;
    }
    /* FTS_NOCHDIR: the working directory belongs to the whole process. */
    tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (tree == NULL) {
        return sys_err(err, "read", path);
    }
    while (status == STATUS_OK) {
        FTSENT *entry;

        errno = 0;
        entry = fts_read(tree);
        if (entry != NULL) {
            status = remove_entry(entry, err);
        } else if (errno != 0) {
            status = sys_err(err, "read", path);
        } else {
            break;
        }
    }
    (void)fts_close(tree);
    return status == STATUS_OK ? sync_parent(path, err) : status;
}

static enum status make_dir(const char *path, mode_t mode, struct err *err)
{
    struct stat info;

    if (mkdir(path, mode) == 0) {
        return STATUS_OK;
    }
    if (errno == EEXIST && stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode)) {
            return STATUS_OK;
        }
        errno = EEXIST;
    }
    return sys_err(err, "create directory", path);
}

enum status file_make_dirs(const char *path, mode_t mode, struct err *err)
{
    char prefix[PATH_MAX];

    if (!text_copy(prefix, sizeof prefix, path)) {
        return ERR(err, INVALID, "path too long: \"%s\"", path);
    }
    for (char *at = prefix; *at != '\0'; at++) {
        if (*at == '/' && at != prefix) {
            *at = '\0';
            if (make_dir(prefix, mode, err) != STATUS_OK) {
                return err->status;
            }
            *at = '/';
        }
    }
    return make_dir(prefix, mode, err);
}

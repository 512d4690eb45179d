/*
 * The data directory as a directory: emptied for a clone, synced and cleaned after a copy,
 * searched for WAL. Tablespaces and pg_wal may be links; what they lead to belongs to the
 * directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file_sys.h"
#include "base/text.h"
#include "pgctl/files_impl_sys.h"
#include "pgctl/wal.h"

typedef enum status entry_visitor(const char *path, const char *name, struct err *err);

static bool is_dot(const char *name)
{
    return text_equal(name, ".") || text_equal(name, "..");
}

/* Calls `visit` for each entry of a directory. A directory that is missing has none. */
static enum status for_each(const char *dir_path, entry_visitor *visit, struct err *err)
{
    enum status status = STATUS_OK;
    const struct dirent *entry;
    DIR *dir = opendir(dir_path);

    if (dir == NULL) {
        return errno == ENOENT ? STATUS_OK : files_sys_err(err, "open directory", dir_path);
    }
    while (status == STATUS_OK && (entry = readdir(dir)) != NULL) {
        char path[FILES_PATH_SIZE];

        if (is_dot(entry->d_name)) {
            continue;
        }
        status = files_path(path, dir_path, entry->d_name, err);
        if (status == STATUS_OK) {
            status = visit(path, entry->d_name, err);
        }
    }
    (void)closedir(dir);
    return status;
}

static enum status remove_entry(const char *path, const char *name, struct err *err)
{
    (void)name;
    return file_remove_tree(path, err);
}

/* A tablespace may be shared with another major version: only PG_* directories are ours. */
static enum status remove_version_dir(const char *path, const char *name, struct err *err)
{
    return text_starts_with(name, "PG_") ? file_remove_tree(path, err) : STATUS_OK;
}

static bool is_link(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
}

static enum status empty_tablespace(const char *path, const char *name, struct err *err)
{
    (void)name;
    return is_link(path) ? for_each(path, remove_version_dir, err) : STATUS_OK;
}

static enum status wipe(const struct files *files, struct err *err)
{
    char path[FILES_PATH_SIZE];
    enum status status = files_path(path, files->data_dir, "pg_tblspc", err);

    if (status == STATUS_OK) {
        status = for_each(path, empty_tablespace, err);
    }
    if (status == STATUS_OK) {
        status = files_path(path, files->data_dir, "pg_wal", err);
    }
    if (status == STATUS_OK && is_link(path)) {
        status = for_each(path, remove_entry, err);
    }
    return status != STATUS_OK ? status : for_each(files->data_dir, remove_entry, err);
}

enum status files_wipe(const struct files *files, struct err *err)
{
    enum status status;

    files_act_begin(files);
    status = wipe(files, err);
    files_act_end(files);
    return status;
}

static enum status sync_file_system(const char *path, const char *name, struct err *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum status status = STATUS_OK;

    (void)name;
    if (fd == -1) {
        return errno == ENOENT ? STATUS_OK : files_sys_err(err, "open directory", path);
    }
    if (syncfs(fd) == -1) {
        status = files_sys_err(err, "sync the file system of", path);
    }
    (void)close(fd);
    return status;
}

static enum status sync_all(const struct files *files, struct err *err)
{
    static const char *const elsewhere[] = {"", "pg_wal"};
    char path[FILES_PATH_SIZE];
    enum status status = STATUS_OK;

    for (size_t i = 0; i < ARRAY_SIZE(elsewhere) && status == STATUS_OK; i++) {
        status = files_path(path, files->data_dir, elsewhere[i], err);
        if (status == STATUS_OK) {
            status = sync_file_system(path, elsewhere[i], err);
        }
    }
    if (status == STATUS_OK) {
        status = files_path(path, files->data_dir, "pg_tblspc", err);
    }
    return status == STATUS_OK ? for_each(path, sync_file_system, err) : status;
}

enum status files_sync(const struct files *files, struct err *err)
{
    enum status status;

    files_act_begin(files);
    status = sync_all(files, err);
    files_act_end(files);
    return status;
}

bool files_syncfs_reports(void)
{
    struct utsname kernel;
    unsigned major = 0;
    unsigned minor = 0;

    if (uname(&kernel) == -1 || sscanf(kernel.release, "%u.%u", &major, &minor) != 2) {
        return false;
    }
    return major > 5 || (major == 5 && minor >= 8);
}

enum status files_clean_copied(const struct files *files, struct err *err)
{
    static const char *const names[] = {"promote", "recovery.signal", "backup_label.old"};
    char path[FILES_PATH_SIZE];
    enum status status;

    files_act_begin(files);
    status = files_path(path, files->data_dir, "pg_replslot", err);
    if (status == STATUS_OK) {
        status = for_each(path, remove_entry, err);
    }
    for (size_t i = 0; i < ARRAY_SIZE(names) && status == STATUS_OK; i++) {
        status = files_path(path, files->data_dir, names[i], err);
        if (status == STATUS_OK) {
            status = file_remove(path, err);
        }
    }
    files_act_end(files);
    return status;
}

/*
 * Is there WAL in the segment? One that was made beforehand is all zeroes, and one that was
 * recycled still has the place of its old name.
 */
static bool has_wal(int dir_fd, const char *name, uint64_t lsn)
{
    uint64_t header[2] = {0}; /* Magic number, flags and timeline; then the page's own LSN. */
    const int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    const bool read_all = fd != -1 && pread(fd, header, sizeof header, 0) == sizeof header;

    if (fd != -1) {
        (void)close(fd);
    }
    return read_all && header[0] != 0 && header[1] == lsn;
}

/* A segment of a higher timeline makes all those before it uninteresting. */
static void note_segment(struct files_wal *wal, uint32_t timeline, uint64_t lsn)
{
    if (timeline > wal->timeline) {
        *wal = (struct files_wal){.timeline = timeline, .start_lsn = lsn};
    } else if (timeline == wal->timeline && lsn < wal->start_lsn) {
        wal->start_lsn = lsn;
    }
}

static void find_start(DIR *dir, struct wal_shape shape, struct files_wal *wal)
{
    const struct dirent *entry;

    while ((entry = readdir(dir)) != NULL) {
        uint32_t timeline = 0;
        uint64_t lsn = 0;

        if (wal_segment_parse(entry->d_name, shape, &timeline, &lsn) && timeline >= wal->timeline &&
            has_wal(dirfd(dir), entry->d_name, lsn)) {
            note_segment(wal, timeline, lsn);
        }
    }
}

/* Those without WAL count here: at the first of them a reader sees that WAL has ended. */
static void find_end(DIR *dir, struct wal_shape shape, struct files_wal *wal)
{
    const struct dirent *entry;

    while ((entry = readdir(dir)) != NULL) {
        uint32_t timeline = 0;
        uint64_t lsn = 0;

        if (wal_segment_parse(entry->d_name, shape, &timeline, &lsn) && timeline == wal->timeline &&
            lsn + shape.segment_bytes > wal->end_lsn) {
            wal->end_lsn = lsn + shape.segment_bytes;
        }
    }
}

static enum status find_wal(
    const char *path, uint32_t segment_bytes, struct files_wal *wal, struct err *err)
{
    const struct wal_shape shape = {.segment_bytes = segment_bytes};
    DIR *dir = opendir(path);

    if (dir == NULL) {
        return files_sys_err(err, "open directory", path);
    }
    find_start(dir, shape, wal);
    rewinddir(dir);
    find_end(dir, shape, wal);
    (void)closedir(dir);
    return wal->timeline == 0 ? ERR(err, NOT_FOUND, "there is no WAL in \"%s\"", path) : STATUS_OK;
}

enum status files_find_wal(
    const struct files *files, uint32_t segment_bytes, struct files_wal *wal, struct err *err)
{
    char path[FILES_PATH_SIZE];
    enum status status = files_path(path, files->data_dir, "pg_wal", err);

    *wal = (struct files_wal){0};
    if (status != STATUS_OK) {
        return status;
    }
    files_act_begin(files);
    status = find_wal(path, segment_bytes, wal, err);
    files_act_end(files);
    return status;
}

static enum status read_bytes(const char *path, off_t offset, uint32_t *bytes, struct err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd == -1) {
        return files_sys_err(err, "open", path);
    }
    got = pread(fd, bytes, sizeof *bytes, offset);
    (void)close(fd);
    if (got == -1) {
        return files_sys_err(err, "read", path);
    }
    if (got != sizeof *bytes || *bytes < WAL_RECORD_BYTES_MIN || *bytes > WAL_RECORD_BYTES_MAX) {
        return ERR(
            err, CORRUPT, "there is no record at byte %lld of \"%s\"", (long long)offset, path);
    }
    return STATUS_OK;
}

enum status files_read_record_bytes(
    const struct files *files, struct pg_position at, struct wal_shape shape, uint32_t *bytes,
    struct err *err)
{
    char segment[WAL_SEGMENT_NAME_SIZE];
    char name[WAL_SEGMENT_NAME_SIZE + 8];
    char path[FILES_PATH_SIZE];
    enum status status;

    wal_segment_print(at.timeline, at.lsn, shape, segment);
    (void)snprintf(name, sizeof name, "pg_wal/%s", segment);
    status = files_path(path, files->data_dir, name, err);
    if (status != STATUS_OK) {
        return status;
    }
    files_act_begin(files);
    status = read_bytes(path, (off_t)(at.lsn % shape.segment_bytes), bytes, err);
    files_act_end(files);
    return status;
}

#include "pgctl/files_sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_sys.h"
#include "base/text.h"
#include "pgctl/files_impl_sys.h"
#include "pgctl/proc_sys.h"
#include "pgctl/record.h"
#include "pgctl/settings.h"

#define CONF_LIMIT_BYTES ((size_t)1024 * 1024)

/*
 * setfsuid() is per thread and cannot fail for root; what it returns is the old id, also when
 * it did nothing. Without the right ids the accesses that follow fail, and say so.
 */
void files_act_begin(const struct files *files)
{
    if (files->change_user) {
        (void)setfsgid(files->gid);
        (void)setfsuid(files->uid);
    }
}

void files_act_end(const struct files *files)
{
    if (files->change_user) {
        (void)setfsuid(geteuid());
        (void)setfsgid(getegid());
    }
}

enum status files_sys_err(struct err *err, const char *what, const char *path)
{
    const int cause = errno;

    if (cause == ENOSPC || cause == EDQUOT) {
        return ERR(err, FULL, "could not %s \"%s\": %s", what, path, strerror(cause));
    }
    return ERR(err, IO, "could not %s \"%s\": %s", what, path, strerror(cause));
}

enum status files_path(
    char path[FILES_PATH_SIZE], const char *dir, const char *name, struct err *err)
{
    struct text text;

    text_init(&text, path, FILES_PATH_SIZE);
    text_addf(&text, "%s/%s", dir, name);
    if (text_overflowed(&text)) {
        return ERR(err, INVALID, "path \"%s/%s\" is too long", dir, name);
    }
    return STATUS_OK;
}

/* Cuts the last component off; false if there is none left. */
static bool to_parent(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash == NULL || slash == path) {
        return false;
    }
    *slash = '\0';
    return true;
}

static bool take_owner(struct files *files, const char *path)
{
    struct stat info;

    if (stat(path, &info) == -1 || info.st_uid == 0) {
        return false;
    }
    files->uid = info.st_uid;
    files->gid = info.st_gid;
    return true;
}

enum status files_find_owner(struct files *files, struct err *err)
{
    char path[FILES_PATH_SIZE];
    const struct passwd *user;

    files->uid = geteuid();
    files->gid = getegid();
    files->change_user = files->uid == 0;
    if (!files->change_user) {
        return STATUS_OK;
    }
    text_copy_cut(path, sizeof path, files->data_dir);
    if (take_owner(files, path) || (to_parent(path) && take_owner(files, path))) {
        return STATUS_OK;
    }
    errno = 0;
    user = getpwnam("postgres");
    if (user == NULL || user->pw_uid == 0) {
        return ERR(
            err, NOT_FOUND,
            "PostgreSQL does not run as root: \"%s\" belongs to root, and there is no user "
            "\"postgres\"",
            files->data_dir);
    }
    files->uid = user->pw_uid;
    files->gid = user->pw_gid;
    return STATUS_OK;
}

static enum status make_one_dir(const struct files *files, const char *path, struct err *err)
{
    if (mkdir(path, 0700) == -1) {
        return errno == EEXIST ? STATUS_OK : files_sys_err(err, "create directory", path);
    }
    if (files->change_user && chown(path, files->uid, files->gid) == -1) {
        return files_sys_err(err, "give away directory", path);
    }
    return STATUS_OK;
}

/* As root: the directories above may be root's, only what is created here is given away. */
enum status files_make_dir(const struct files *files, struct err *err)
{
    char path[FILES_PATH_SIZE];

    text_copy_cut(path, sizeof path, files->data_dir);
    for (char *at = &path[1]; *at != '\0'; at++) {
        if (*at == '/') {
            enum status status;

            *at = '\0';
            status = make_one_dir(files, path, err);
            *at = '/';
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    return make_one_dir(files, path, err);
}

/* Whether the directory is there and what it has: 0 nothing, 1 something, -1 with errno. */
static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int found = 0;

    if (dir == NULL) {
        return errno == ENOENT ? 0 : -1;
    }
    while (found == 0 && (entry = readdir(dir)) != NULL) {
        found = text_equal(entry->d_name, ".") || text_equal(entry->d_name, "..") ? 0 : 1;
    }
    (void)closedir(dir);
    return found;
}

static bool has_file(const struct files *files, const char *name)
{
    char path[FILES_PATH_SIZE];
    struct err err;

    return files_path(path, files->data_dir, name, &err) == STATUS_OK && file_exists(path);
}

/* An error leaves the record without an id: then there is none that could be trusted. */
static void read_record(const struct files *files, struct files_look *look)
{
    char path[FILES_PATH_SIZE];
    char text[RECORD_TEXT_SIZE];
    struct err err;

    if (files_path(path, files->data_dir, RECORD_FILE_NAME, &err) != STATUS_OK ||
        file_read(path, text, sizeof text, NULL, &err) != STATUS_OK) {
        return;
    }
    look->has_record = true;
    if (record_parse(text, &look->record, &err) != STATUS_OK) {
        (void)snprintf(look->broken, sizeof look->broken, "%.150s", err.text);
    }
}

static bool file_sets_upstream(const char *dir, const char *name)
{
    char path[FILES_PATH_SIZE];
    char *text = NULL;
    struct err err;
    bool found = false;

    if (files_path(path, dir, name, &err) == STATUS_OK &&
        file_read_alloc(path, CONF_LIMIT_BYTES, &text, NULL, &err) == STATUS_OK) {
        found = settings_has_value(text, "primary_conninfo") ||
                settings_has_value(text, "restore_command");
    }
    free(text);
    return found;
}

static bool upstream_in_files(const struct files *files)
{
    char name[96];

    (void)snprintf(name, sizeof name, "%s.conf", files->base_name);
    return file_sets_upstream(files->config_dir, name) ||
           file_sets_upstream(files->data_dir, "postgresql.auto.conf");
}

static int64_t mtime_ns(const struct files *files, const char *name)
{
    char path[FILES_PATH_SIZE];
    struct stat info;
    struct err err;

    if (files_path(path, files->data_dir, name, &err) != STATUS_OK || stat(path, &info) == -1) {
        return 0;
    }
    return info.st_mtim.tv_sec * INT64_C(1000000000) + info.st_mtim.tv_nsec;
}

static uint32_t read_version(const struct files *files)
{
    char path[FILES_PATH_SIZE];
    char text[32];
    struct err err;

    if (files_path(path, files->data_dir, "PG_VERSION", &err) != STATUS_OK ||
        file_read(path, text, sizeof text, NULL, &err) != STATUS_OK) {
        return 0;
    }
    return (uint32_t)strtoul(text, NULL, 10);
}

/* "<device>:<inode> <path>" of the data directory as it is now. */
static bool marker_text(const struct files *files, char *text, size_t size)
{
    struct stat info;

    if (stat(files->data_dir, &info) == -1) {
        return false;
    }
    (void)snprintf(
        text, size, "%ju:%ju %s\n", (uintmax_t)info.st_dev, (uintmax_t)info.st_ino,
        files->data_dir);
    return true;
}

static bool is_marked_partial(const struct files *files)
{
    char expected[FILES_PATH_SIZE + 64];
    char found[FILES_PATH_SIZE + 64];
    struct err err;

    return marker_text(files, expected, sizeof expected) &&
           file_read(files->marker_path, found, sizeof found, NULL, &err) == STATUS_OK &&
           text_equal(expected, found);
}

/* PostgreSQL would refuse it, and what is in there it could not read. */
static bool is_somebody_elses(const struct files *files, struct files_look *look)
{
    struct stat info;

    if (stat(files->data_dir, &info) == -1 || info.st_uid == files->uid) {
        return false;
    }
    (void)snprintf(
        look->broken, sizeof look->broken,
        "the data directory belongs to user %ju, not to PostgreSQL's", (uintmax_t)info.st_uid);
    return true;
}

static enum pg_data judge(const struct files *files, struct files_look *look)
{
    const int entries = count_entries(files->data_dir);

    if (entries == -1) {
        (void)snprintf(
            look->broken, sizeof look->broken, "the data directory cannot be read: %s",
            strerror(errno));
        return PG_DATA_BROKEN;
    }
    if (entries == 0) {
        return PG_DATA_EMPTY;
    }
    if (is_somebody_elses(files, look)) {
        return PG_DATA_BROKEN;
    }
    if (look->record.partial || is_marked_partial(files)) {
        return PG_DATA_PARTIAL;
    }
    if (look->control_mtime_ns != 0 && look->version != 0) {
        return PG_DATA_VALID;
    }
    /* A base backup gets its control file last. */
    if (look->version != 0 && has_file(files, "backup_label")) {
        return PG_DATA_PARTIAL;
    }
    (void)snprintf(
        look->broken, sizeof look->broken, "the directory has files, but no control file");
    return PG_DATA_BROKEN;
}

void files_look_at(const struct files *files, struct files_look *look)
{
    pid_t pid;

    *look = (struct files_look){0};
    files_act_begin(files);
    read_record(files, look);
    look->control_mtime_ns = mtime_ns(files, "global/pg_control");
    look->version = read_version(files);
    look->standby_signal = has_file(files, "standby.signal");
    look->conninfo_set = upstream_in_files(files);
    files_act_end(files);
    look->server_runs = files_running_postmaster(files, &pid);
    look->data = judge(files, look); /* The marker is the daemon's own. */
}

enum status files_write_record(
    const struct files *files, const struct pg_record *record, struct err *err)
{
    char path[FILES_PATH_SIZE];
    char text[RECORD_TEXT_SIZE];
    enum status status = files_path(path, files->data_dir, RECORD_FILE_NAME, err);

    if (status != STATUS_OK) {
        return status;
    }
    record_print(record, text);
    files_act_begin(files);
    status = file_replace_if_changed(path, text, strlen(text), 0600, NULL, err);
    files_act_end(files);
    return status;
}

enum status files_set_partial(const struct files *files, struct err *err)
{
    char text[FILES_PATH_SIZE + 64];

    if (!marker_text(files, text, sizeof text)) {
        return files_sys_err(err, "look at directory", files->data_dir);
    }
    return file_replace(files->marker_path, text, strlen(text), 0600, err);
}

enum status files_clear_partial(const struct files *files, struct err *err)
{
    return file_remove(files->marker_path, err);
}

enum status files_make_promote(const struct files *files, struct err *err)
{
    char path[FILES_PATH_SIZE];
    enum status status = files_path(path, files->data_dir, "promote", err);
    int fd;

    if (status != STATUS_OK) {
        return status;
    }
    files_act_begin(files);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd == -1) {
        status = files_sys_err(err, "create", path);
    } else {
        (void)close(fd); /* Nothing was written. */
    }
    files_act_end(files);
    return status;
}

/* A number that PostgreSQL finds again by itself may be another process after a reboot. */
static bool is_postmaster_of(const struct files *files, pid_t pid)
{
    char real[PATH_MAX];
    char here[PATH_MAX];

    return realpath(files->data_dir, real) != NULL && proc_read_link(pid, "cwd", here) &&
           text_equal(here, real);
}

bool files_running_postmaster(const struct files *files, pid_t *pid)
{
    char path[FILES_PATH_SIZE];
    char text[1024];
    struct err err;
    long number;

    if (files_path(path, files->data_dir, "postmaster.pid", &err) != STATUS_OK ||
        file_read(path, text, sizeof text, NULL, &err) != STATUS_OK) {
        return false;
    }
    number = strtol(text, NULL, 10);
    if (number <= 1 || kill((pid_t)number, 0) == -1 || !is_postmaster_of(files, (pid_t)number)) {
        return false;
    }
    *pid = (pid_t)number;
    return true;
}

#define ORPHANS_MS 10000

/* Dead, but its number is not free: the first letter behind the name in its stat file. */
static bool is_zombie(pid_t pid)
{
    char path[64];
    char text[512];
    const char *name_end;
    struct err err;

    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    if (file_read(path, text, sizeof text, NULL, &err) != STATUS_OK) {
        return false;
    }
    name_end = strrchr(text, ')');
    return name_end != NULL && text_starts_with(name_end, ") Z");
}

enum status files_end_orphans(const struct files *files, struct err *err)
{
    char path[FILES_PATH_SIZE];
    char real[PATH_MAX];
    char text[1024];
    enum status status = files_path(path, files->data_dir, "postmaster.pid", err);
    pid_t pid = 0;

    if (status != STATUS_OK || realpath(files->data_dir, real) == NULL) {
        return status;
    }
    if (file_read(path, text, sizeof text, NULL, err) == STATUS_OK) {
        pid = (pid_t)strtol(text, NULL, 10);
    }
    if (pid < 0) {
        return STATUS_OK; /* So does single-user mode write it. */
    }
    if (!proc_end_all(real, files->program, ORPHANS_MS)) {
        return ERR(err, TIMEOUT, "processes of PostgreSQL in \"%s\" do not end", real);
    }
    if (pid > 1 && is_zombie(pid) && !proc_wait_gone(pid, ORPHANS_MS)) {
        return ERR(err, TIMEOUT, "nobody asks for the end of process %ld", (long)pid);
    }
    return STATUS_OK;
}

/* The eighth line is the state; a server that is starting leaves it out or says so. */
#define STATE_LINE 8

enum files_server files_ask_server(const struct files *files, pid_t pid)
{
    char path[FILES_PATH_SIZE];
    char text[1024];
    const char *line = text;
    struct err err;
    ssize_t length;
    int fd;

    if (files_path(path, files->data_dir, "postmaster.pid", &err) != STATUS_OK) {
        return FILES_SERVER_COMING;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd == -1) {
        return FILES_SERVER_COMING;
    }
    length = read(fd, text, sizeof text - 1);
    (void)close(fd); /* Was only read. */
    text[length > 0 ? length : 0] = '\0';
    if (length > 0 && strtol(text, NULL, 10) != pid) {
        return FILES_SERVER_ANOTHER;
    }
    for (int i = 1; i < STATE_LINE && line != NULL; i++) {
        line = strchr(line, '\n');
        line = line == NULL ? NULL : &line[1];
    }
    return line != NULL && (text_starts_with(line, "ready") || text_starts_with(line, "standby"))
               ? FILES_SERVER_READY
               : FILES_SERVER_COMING;
}

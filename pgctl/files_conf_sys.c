/*
 * Configuration files. PostgreSQL may re-read them at any moment, so each is replaced whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_sys.h"
#include "base/text.h"
#include "pgctl/files_impl_sys.h"
#include "pgctl/settings.h"

#define CONF_LIMIT_BYTES ((size_t)1024 * 1024)
#define AUTO_CONF        "postgresql.auto.conf"

/* Names of the files that have a copy in the data directory. */
struct names {
    char conf[96];
    char base[96];
};

static void set_names(const struct files *files, struct names *names)
{
    (void)snprintf(names->conf, sizeof names->conf, "%s.conf", files->base_name);
    (void)snprintf(names->base, sizeof names->base, "%s.base.conf", files->base_name);
}

static enum status read_in(
    const char *dir, const char *name, char **text, size_t *length, struct err *err)
{
    char path[FILES_PATH_SIZE];
    const enum status status = files_path(path, dir, name, err);

    *text = NULL;
    return status != STATUS_OK ? status
                               : file_read_alloc(path, CONF_LIMIT_BYTES, text, length, err);
}

static enum status write_in(const char *dir, const char *name, const char *text, struct err *err)
{
    char path[FILES_PATH_SIZE];
    const enum status status = files_path(path, dir, name, err);

    return status != STATUS_OK ? status
                               : file_replace_if_changed(path, text, strlen(text), 0600, NULL, err);
}

/* Copies a file to another name, if it exists. */
static enum status copy_in(
    const char *from_dir, const char *from, const char *to_dir, const char *to, struct err *err)
{
    char *text = NULL;
    enum status status = read_in(from_dir, from, &text, NULL, err);

    if (status == STATUS_OK) {
        status = write_in(to_dir, to, text, err);
    } else if (status == STATUS_NOT_FOUND) {
        status = STATUS_OK;
    }
    free(text);
    return status;
}

/* The first time: what is there is the user's own, and is included from then on. */
static enum status keep_base(const struct files *files, const struct names *names, struct err *err)
{
    char *text = NULL;
    enum status status = read_in(files->config_dir, names->conf, &text, NULL, err);

    if (status == STATUS_OK && !settings_is_generated(text)) {
        status = write_in(files->config_dir, names->base, text, err);
    } else if (status == STATUS_NOT_FOUND) {
        status = STATUS_OK;
    }
    free(text);
    return status;
}

/* The base file must be there to be included. */
static enum status ensure_base(
    const struct files *files, const struct names *names, struct err *err)
{
    char path[FILES_PATH_SIZE];
    const enum status status = files_path(path, files->config_dir, names->base, err);

    if (status != STATUS_OK || file_exists(path)) {
        return status;
    }
    return write_in(files->config_dir, names->base, "", err);
}

/* ALTER SYSTEM, pg_basebackup -R and pg_rewind -R write a file that overrides ours. */
static enum status strip_auto_conf(const struct files *files, struct err *err)
{
    char *text = NULL;
    size_t length = 0;
    enum status status = read_in(files->data_dir, AUTO_CONF, &text, &length, err);
    char *stripped = NULL;
    struct text out;

    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    stripped = malloc(length + 1);
    if (stripped == NULL) {
        status = ERR(err, FULL, "out of memory for \"%s\"", AUTO_CONF);
        goto out;
    }
    text_init(&out, stripped, length + 1);
    if (settings_strip_recovery(text, &out)) {
        status = write_in(files->data_dir, AUTO_CONF, stripped, err);
    }

out:
    free(stripped);
    free(text);
    return status;
}

static enum status write_signal(
    const struct files *files, const struct files_settings *settings, struct err *err)
{
    char path[FILES_PATH_SIZE];
    enum status status;

    if (settings->keep_signal) {
        return STATUS_OK;
    }
    if (settings->standby) {
        status = write_in(files->data_dir, "standby.signal", "", err);
        if (status != STATUS_OK) {
            return status;
        }
    } else {
        status = files_path(path, files->data_dir, "standby.signal", err);
        if (status != STATUS_OK || (status = file_remove(path, err)) != STATUS_OK) {
            return status;
        }
    }
    /* Would win over standby.signal, and end recovery by itself. */
    status = files_path(path, files->data_dir, "recovery.signal", err);
    return status != STATUS_OK ? status : file_remove(path, err);
}

static enum status write_copies(
    const struct files *files, const struct names *names, struct err *err)
{
    const char *const copied[] = {names->conf, names->base, "pg_hba.conf", "pg_ident.conf"};

    for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
        char backup[112];
        enum status status;

        (void)snprintf(backup, sizeof backup, "%s.backup", copied[i]);
        status = copy_in(files->config_dir, copied[i], files->data_dir, backup, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/*
 * As whom to write a file outside of the data directory: as PostgreSQL's user where the
 * directory is his, for he could have laid a link there; else as root, for he cannot write.
 */
static bool is_users_dir(const struct files *files, const char *path)
{
    char dir[FILES_PATH_SIZE];
    struct stat info;
    char *slash;

    text_copy_cut(dir, sizeof dir, path);
    slash = strrchr(dir, '/');
    if (slash != NULL && slash != dir) {
        *slash = '\0';
    }
    return stat(dir, &info) == 0 && info.st_uid == files->uid;
}

enum status files_write_private(
    const struct files *files, const char *path, const char *text, struct err *err)
{
    const bool as_user = !files->change_user || is_users_dir(files, path);
    enum status status;

    if (as_user) {
        files_act_begin(files);
    }
    status = file_replace_if_changed(path, text, strlen(text), 0600, NULL, err);
    if (as_user) {
        files_act_end(files);
    } else if (status == STATUS_OK && chown(path, files->uid, files->gid) == -1) {
        status = files_sys_err(err, "give away", path);
    }
    return status;
}

enum status files_remove_private(const struct files *files, const char *path, struct err *err)
{
    const bool as_user = !files->change_user || is_users_dir(files, path);
    enum status status;

    if (as_user) {
        files_act_begin(files);
    }
    status = file_remove(path, err);
    if (as_user) {
        files_act_end(files);
    }
    return status;
}

enum status files_write_passfile(const struct files *files, const char *text, struct err *err)
{
    return files_write_private(files, files->passfile_path, text, err);
}

static enum status write_all(
    const struct files *files, const struct files_settings *settings, struct err *err)
{
    enum status status = STATUS_OK;
    struct names names;

    set_names(files, &names);
    if (settings->conf != NULL) {
        status = keep_base(files, &names, err);
        if (status == STATUS_OK && settings->custom_conf == NULL) {
            status = ensure_base(files, &names, err);
        }
        if (status == STATUS_OK) {
            status = write_in(files->config_dir, names.conf, settings->conf, err);
        }
    }
    if (status == STATUS_OK) {
        status = strip_auto_conf(files, err);
    }
    if (status == STATUS_OK && settings->hba != NULL) {
        status = write_in(files->config_dir, "pg_hba.conf", settings->hba, err);
    }
    if (status == STATUS_OK && settings->ident != NULL) {
        status = write_in(files->config_dir, "pg_ident.conf", settings->ident, err);
    }
    if (status == STATUS_OK) {
        status = write_signal(files, settings, err);
    }
    return status != STATUS_OK ? status : write_copies(files, &names, err);
}

enum status files_write_settings(
    const struct files *files, const struct files_settings *settings, struct err *err)
{
    enum status status = STATUS_OK;

    if (settings->passfile != NULL) {
        status = files_write_passfile(files, settings->passfile, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    files_act_begin(files);
    status = write_all(files, settings, err);
    files_act_end(files);
    return status;
}

enum status files_restore_backups(const struct files *files, struct err *err)
{
    enum status status = STATUS_OK;
    struct names names;

    set_names(files, &names);
    files_act_begin(files);
    {
        const char *const copied[] = {names.conf, names.base, "pg_hba.conf", "pg_ident.conf"};

        /* What is missing in the configuration directory comes from the copy. */
        for (size_t i = 0; i < ARRAY_SIZE(copied) && status == STATUS_OK; i++) {
            char path[FILES_PATH_SIZE];
            char backup[112];

            (void)snprintf(backup, sizeof backup, "%s.backup", copied[i]);
            status = files_path(path, files->config_dir, copied[i], err);
            if (status == STATUS_OK && !file_exists(path)) {
                status = copy_in(files->data_dir, backup, files->config_dir, copied[i], err);
            }
        }
    }
    files_act_end(files);
    return status;
}

enum status files_append_hba(const struct files *files, const char *lines, struct err *err)
{
    char *text = NULL;
    char *joined = NULL;
    size_t length = 0;
    size_t size;
    enum status status;
    struct text out;

    files_act_begin(files);
    status = read_in(files->config_dir, "pg_hba.conf", &text, &length, err);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        goto out;
    }
    size = length + strlen(lines) + 2;
    joined = malloc(size);
    if (joined == NULL) {
        status = ERR(err, FULL, "out of memory for pg_hba.conf");
        goto out;
    }
    text_init(&out, joined, size);
    text_add(&out, text == NULL ? "" : text);
    text_add(&out, "\n");
    text_add(&out, lines);
    status = write_in(files->config_dir, "pg_hba.conf", joined, err);

out:
    files_act_end(files);
    free(joined);
    free(text);
    return status;
}

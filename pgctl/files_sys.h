/*
 * pgctl/files_sys.h - the data directory and the files the daemon keeps in it.
 *
 * Every function may wait for a disk: call them on a worker thread, never on the loop. When the
 * daemon is root they act as the owner of the data directory (by the calling thread's file
 * system ids), so that files belong to PostgreSQL's user and a symbolic link that this user
 * laid leads nowhere that he could not go himself.
 */
#ifndef PGBATON_PGCTL_FILES_SYS_H
#define PGBATON_PGCTL_FILES_SYS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"
#include "pgctl/pgctl.h"
#include "pgctl/wal.h"

#define FILES_PATH_SIZE 1024

/* Where, and as whom. Plain data, to be copied to the thread that works with it. */
struct files {
    char data_dir[FILES_PATH_SIZE];
    char config_dir[FILES_PATH_SIZE];
    char base_name[64];                /* "postgresql" */
    char program[64];                  /* "postgres", without a directory */
    char marker_path[FILES_PATH_SIZE]; /* Outside of the data directory, see files_set_partial(). */
    char passfile_path[FILES_PATH_SIZE];
    bool change_user; /* The daemon is root: act as uid and gid. */
    uid_t uid;
    gid_t gid;
};

/*
 * Who PostgreSQL runs as: the daemon's own user, or, if that is root, the owner of the data
 * directory or of the nearest directory above it that is not root's, else the user `postgres`.
 */
MUST_CHECK enum status files_find_owner(struct files *files, struct err *err);

/* Creates the data directory, 0700, and what is missing above it. */
MUST_CHECK enum status files_make_dir(const struct files *files, struct err *err);

struct files_look {
    enum pg_data data;
    bool standby_signal;
    bool has_record;
    bool server_runs;  /* On this directory, whoever started it. */
    bool conninfo_set; /* A file that PostgreSQL reads has an upstream or a restore_command. */
    int64_t control_mtime_ns; /* Of the control file; 0 if there is none. */
    struct pg_record record;
    uint32_t version;          /* 15, of PG_VERSION; 0 unknown */
    char broken[PG_TEXT_SIZE]; /* Why data is BROKEN. */
};

void files_look_at(const struct files *files, struct files_look *look);

/* The text of the control record's file, synced before it returns. */
MUST_CHECK enum status files_write_record(
    const struct files *files, const struct pg_record *record, struct err *err);

/*
 * A mark that the data directory is being made, and must be made anew if it is found. initdb
 * and pg_basebackup want an empty directory, so it lies outside, and names the directory's
 * inode: a directory that was put there in its place is not meant.
 */
MUST_CHECK enum status files_set_partial(const struct files *files, struct err *err);
MUST_CHECK enum status files_clear_partial(const struct files *files, struct err *err);

/* What the configuration files shall be; a NULL text leaves that file alone. */
struct files_settings {
    char *conf; /* <base_name>.conf */
    char *hba;
    char *ident;
    char *passfile;
    const char *custom_conf; /* Included instead of the base file; NULL: none. */
    bool standby;            /* standby.signal is there. */
    bool keep_signal;        /* Leave standby.signal as it is. */
};

/*
 * Renames the user's own postgresql.conf to <base_name>.base.conf, once; writes what changed;
 * takes recovery settings out of postgresql.auto.conf; keeps .backup copies. All is synced.
 */
MUST_CHECK enum status files_write_settings(
    const struct files *files, const struct files_settings *settings, struct err *err);

/* The password file alone. */
MUST_CHECK enum status files_write_passfile(
    const struct files *files, const char *text, struct err *err);

/* Another file outside of the data directory that only PostgreSQL's user can read; and away. */
MUST_CHECK enum status files_write_private(
    const struct files *files, const char *path, const char *text, struct err *err);
MUST_CHECK enum status files_remove_private(
    const struct files *files, const char *path, struct err *err);

/* After a clone or rewind: configuration files that came along are put back from the copies. */
MUST_CHECK enum status files_restore_backups(const struct files *files, struct err *err);

/* Adds lines to pg_hba.conf: those of `bootstrap.pg_hba`. */
MUST_CHECK enum status files_append_hba(
    const struct files *files, const char *lines, struct err *err);

/* Empties the data directory, and what its tablespaces and pg_wal link to. */
MUST_CHECK enum status files_wipe(const struct files *files, struct err *err);

/*
 * Everything in the data directory, its tablespaces and pg_wal is on disk when this returns: each
 * of their file systems is synced as a whole. PostgreSQL's programs would sync file after file,
 * which takes a hundred times as long for a small database. IO also if the kernel could not
 * write something earlier.
 */
MUST_CHECK enum status files_sync(const struct files *files, struct err *err);

/* Whether syncfs() says that something could not be written: since Linux 5.8. */
bool files_syncfs_reports(void);

/* What a rewind leaves behind of the source: its slots, its standby and promote files. */
MUST_CHECK enum status files_clean_copied(const struct files *files, struct err *err);

/* Creates the file PostgreSQL looks for when it is signalled to promote. */
MUST_CHECK enum status files_make_promote(const struct files *files, struct err *err);

/*
 * The segments of the highest timeline that has WAL: where the first begins, and where the last
 * one ends. The last ones may be prepared for WAL to come and have none yet.
 */
struct files_wal {
    uint32_t timeline;
    uint64_t start_lsn;
    uint64_t end_lsn;
};

/* Looks through pg_wal. NOT_FOUND if there are no segments. */
MUST_CHECK enum status files_find_wal(
    const struct files *files, uint32_t segment_bytes, struct files_wal *wal, struct err *err);

/* The length of the WAL record that begins there. CORRUPT if no record can have it. */
MUST_CHECK enum status files_read_record_bytes(
    const struct files *files, struct pg_position at, struct wal_shape shape, uint32_t *bytes,
    struct err *err);

enum files_server {
    FILES_SERVER_COMING,  /* It says nothing yet, or that no connections are accepted. */
    FILES_SERVER_READY,   /* They are. */
    FILES_SERVER_ANOTHER, /* Another server has the directory, or had it last. */
};

/*
 * What postmaster.pid says of the server `pid`: asked before connecting, since each attempt before
 * it is ready leaves a line in its log, and since another one may listen there. Reads one cached
 * page: for the loop.
 */
enum files_server files_ask_server(const struct files *files, pid_t pid);

/*
 * Ends what is left of a server whose postmaster is gone, and its guard too, so that nobody else
 * sees it. A session in single-user mode is somebody's work and left alone. TIMEOUT if something
 * does not end.
 */
MUST_CHECK enum status files_end_orphans(const struct files *files, struct err *err);

/* The pid in the first line of postmaster.pid if it is a live postmaster of this data directory. */
MUST_CHECK bool files_running_postmaster(const struct files *files, pid_t *pid);

#endif

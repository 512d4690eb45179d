/*
 * conf/pgparams.h - which PostgreSQL parameters, access lines and recovery settings the
 * settings mean on this node, in this role.
 *
 * Pure: the same input gives the same files, so that files are only rewritten, and
 * PostgreSQL only reloaded, when something changed.
 *
 * Owned by the daemon and never taken from the user: hot_standby, restart_after_crash,
 * synchronous_standby_names, primary_conninfo, primary_slot_name, recovery targets. The
 * daemon writes synchronous_standby_names, primary_conninfo and primary_slot_name itself.
 */
#ifndef PGBATON_CONF_PGPARAMS_H
#define PGBATON_CONF_PGPARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conf/problem.h"
#include "conf/tree.h"

#define PGPARAMS_MAX          400
#define PGPARAMS_RECOVERY_MAX 24

enum pgparams_role {
    PGPARAMS_ROLE_REPLICA, /* Also: demoted, not running yet. */
    PGPARAMS_ROLE_PRIMARY, /* Also: just being promoted. */
    PGPARAMS_ROLE_STANDBY_LEADER,
};

/* What pg_controldata tells; a standby must not have less. 0: unknown. */
struct pgparams_control {
    int64_t max_connections;
    int64_t max_worker_processes;
    int64_t max_wal_senders;
    int64_t max_prepared_transactions;
    int64_t max_locks_per_transaction;
};

struct pgparams_input {
    const struct conf_postgresql *postgresql; /* In effect: conf_postgresql_read(). */
    const struct node *dynamic_parameters;    /* postgresql.parameters of the cluster-wide */
                                              /* settings alone; may be NULL. */
    const struct conf_standby_cluster *standby_cluster; /* May be NULL. */
    const char *scope;
    enum pgparams_role role;
    uint32_t server_major;  /* 12 or more. */
    bool starts_as_standby; /* `control` counts: the server starts in recovery. */
    struct pgparams_control control;
    bool needs_feedback; /* Logical slots here or below: hot_standby_feedback is forced on. */

    /* Whether the server knows a parameter without a dot in its name; NULL: all are known. */
    bool (*is_known)(const void *owner, const char *name);
    const void *owner;
};

struct pgparam {
    const char *name;
    const char *value;    /* Not quoted; see pgparams_quote(). */
    bool on_command_line; /* Also to be given as -c name=value at the start. */
};

/* Raised to what the control file has; reported as a pending restart. */
struct pgparams_raised {
    const char *name;
    const char *configured;
    const char *used;
};

struct pgparams {
    uint32_t count;
    struct pgparam items[PGPARAMS_MAX]; /* In the order of the file. */
    uint32_t recovery_count;            /* The same for recovery settings (12+: same file). */
    struct pgparam recovery[PGPARAMS_RECOVERY_MAX];
    uint32_t raised_count;
    struct pgparams_raised raised[5];
    bool hba_managed;         /* pg_hba.conf is ours to write, unless hba_lines is NULL. */
    bool ident_managed;       /* The same for pg_ident.conf. */
    const struct node *hba;   /* List of lines; NULL: leave the file as it is. */
    const struct node *ident; /* The same. */

    /* What the user wants while no synchronous mode is on; NULL: nothing. */
    const char *synchronous_standby_names;
};

/*
 * Texts of `pgparams` live in `tree`, in `input` or are constants. What was replaced,
 * moved or dropped is a warning among `problems`.
 */
void pgparams_compute(
    struct pgparams *pgparams, struct tree *tree, const struct pgparams_input *input,
    struct problems *problems);

/*
 * For a change of cluster-wide settings: errors for values that pgparams_compute() would
 * replace, warnings for those it would drop. `parameters` may be NULL.
 */
void pgparams_check(const struct node *parameters, struct problems *problems);

/* The value of a parameter, NULL if it is not set. */
const char *pgparams_find(const struct pgparams *pgparams, const char *name);

/* 'value' as postgresql.conf wants it, added to `out`. */
struct text;
void pgparams_quote(struct text *out, const char *value);

#endif

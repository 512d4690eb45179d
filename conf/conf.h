/*
 * conf/conf.h - typed settings: of one node, of its PostgreSQL, and cluster-wide.
 *
 * Pure: a tree goes in, a struct and a list of problems come out. Where the tree comes
 * from is load_sys.h's business (files, environment) and the daemon's (replicated state).
 *
 * Texts and nodes in these structs point into the tree they were read from, or are
 * constants: they live as long as that tree. An absent text or node is NULL. Times are
 * milliseconds, sizes bytes; a number without a default is CONF_UNSET when absent.
 */
#ifndef PGBATON_CONF_CONF_H
#define PGBATON_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/problem.h"
#include "conf/tree.h"
#include "conf/value.h"

#define CONF_UNSET INT64_MIN

/* Nine voters, and a few learners beside them. */
#define CONF_PARTNERS_MAX 15
#define CONF_SLOTS_MAX    64
#define CONF_NAME_MAX     64 /* bytes of scope and of a node's name, NUL included */

enum conf_log_type {
    CONF_LOG_PLAIN,
    CONF_LOG_JSON,
};

enum conf_verify_client {
    CONF_VERIFY_NONE,
    CONF_VERIFY_OPTIONAL, /* Whoever changes something shows a certificate. */
    CONF_VERIFY_REQUIRED,
};

enum conf_server_tokens {
    CONF_TOKENS_ORIGINAL,
    CONF_TOKENS_PRODUCT_ONLY,
    CONF_TOKENS_MINIMAL,
};

enum conf_watchdog_mode {
    CONF_WATCHDOG_OFF,
    CONF_WATCHDOG_AUTOMATIC,
    CONF_WATCHDOG_REQUIRED,
};

enum conf_watchdog_driver {
    CONF_WATCHDOG_DRIVER_DEFAULT,
    CONF_WATCHDOG_DRIVER_TESTING,
};

enum conf_sync_mode {
    CONF_SYNC_OFF,
    CONF_SYNC_ON,
    CONF_SYNC_QUORUM,
};

struct conf_addresses {
    uint32_t count;
    struct conf_address items[CONF_PARTNERS_MAX];
};

struct conf_login {
    const char *username;
    const char *password;
};

struct conf_log {
    int type;  /* enum conf_log_type */
    int level; /* enum log_level of base/log.h */
    const char *format;
    const struct node *static_fields; /* NULL: none. */
    const char *dir;                  /* NULL: standard error. */
    int64_t mode;
    int64_t file_size_bytes;
    int64_t file_num;
};

struct conf_restapi {
    struct conf_address listen; /* host may be a list with commas. */
    struct conf_address connect_address;
    struct conf_login authentication;
    const char *certfile; /* HTTPS if set. */
    const char *keyfile;
    const char *keyfile_password;
    const char *cafile;
    const char *ciphers;
    int verify_client;            /* enum conf_verify_client */
    const struct node *allowlist; /* List of texts: host, address, or network in CIDR form. */
    bool allowlist_include_members;
    const struct node *http_extra_headers; /* Map of texts. */
    const struct node *https_extra_headers;
    int64_t request_queue_size;
    int server_tokens; /* enum conf_server_tokens */
};

/* The fall-backs to restapi's values are filled in. */
struct conf_ctl {
    struct conf_login authentication;
    bool insecure;
    const char *cacert;
    const char *certfile;
    const char *keyfile;
    const char *keyfile_password;
    const struct node *hosts; /* List of texts. */
};

struct conf_raft {
    struct conf_address self_addr;
    struct conf_address bind_addr; /* self_addr if absent; host may be a list with commas. */
    struct conf_addresses partner_addrs;
    const char *data_dir;
    const char *password;
    const char *certfile;
    const char *keyfile;
    const char *cafile;
    bool insecure;
    int64_t heartbeat_ms;
};

struct conf_bootstrap {
    bool present;              /* Without the section a node never makes a new cluster. */
    const struct node *dcs;    /* Map; NULL: defaults. */
    const char *method;        /* "initdb", or the name of `custom`. */
    const struct node *custom; /* Map with `command`; NULL for initdb. */
    const struct node *initdb;
    const struct node *pg_hba;
    const struct node *users;
    const char *post_bootstrap; /* Or else post_init. */
    const char *post_init;
};

/* The bool wins over the priority; both are made to agree: nofailover <=> priority 0. */
struct conf_tags {
    const struct node *all; /* As written, for publishing. */
    bool nofailover;
    int64_t failover_priority;
    bool nosync;
    int64_t sync_priority;
    bool clonefrom;
    bool noloadbalance;
    const char *replicatefrom;
    bool nostream;
};

struct conf_watchdog {
    int mode; /* enum conf_watchdog_mode */
    const char *device;
    int64_t safety_margin_ms; /* Negative: half of ttl. */
    int driver;               /* enum conf_watchdog_driver */
};

struct conf_guard {
    const char *program;    /* NULL: beside the daemon, else in PATH. */
    int64_t kill_budget_ms; /* CONF_UNSET: from ttl. */
};

/* One database role; all but the name are libpq's connection options. */
struct conf_user {
    const char *username;
    const char *password;
    const char *sslmode;
    const char *sslkey;
    const char *sslpassword;
    const char *sslcert;
    const char *sslrootcert;
    const char *sslcrl;
    const char *sslcrldir;
    const char *sslnegotiation;
    const char *gssencmode;
    const char *channel_binding;
};

struct conf_bin_name {
    const char *pg_ctl;
    const char *initdb;
    const char *pg_controldata;
    const char *pg_basebackup;
    const char *postgres;
    const char *pg_isready;
    const char *pg_rewind;
};

struct conf_callbacks {
    const char *on_reload;
    const char *on_restart;
    const char *on_role_change;
    const char *on_start;
    const char *on_stop;
};

struct conf_postgresql {
    const struct node *root; /* The effective section; replica methods are maps in it. */
    struct conf_address listen;
    struct conf_address connect_address;
    struct conf_address proxy_address;
    const char *data_dir;
    const char *config_dir; /* data_dir if absent. */
    const char *pgpass;
    struct conf_user superuser;
    struct conf_user replication;
    struct conf_user rewind_user; /* The superuser if it has no username. */
    const char *config_base_name;
    const char *bin_dir;
    struct conf_bin_name bin_name;
    const char *database;
    bool use_unix_socket;
    bool use_unix_socket_repl;
    bool use_slots;
    bool use_pg_rewind;
    const struct node *rewind; /* Map or list of options. */
    bool remove_data_directory_on_rewind_failure;
    bool remove_data_directory_on_diverged_timelines;
    const struct node *create_replica_methods; /* List of texts; NULL: basebackup. */
    const struct node *create_replica_method;
    const struct node *basebackup; /* Map or list of options. */
    int64_t pg_ctl_timeout_ms;
    struct conf_callbacks callbacks;
    const char *pre_promote;
    const char *before_stop;
    const char *krbsrvname;
    const char *custom_conf;
    const struct node *recovery_conf;
    const struct node *parameters;
    const struct node *parameters_primary;
    const struct node *parameters_replica;
    const struct node *parameters_standby_leader;
    const struct node *pg_hba;
    const struct node *pg_hba_primary;
    const struct node *pg_hba_replica;
    const struct node *pg_hba_standby_leader;
    const struct node *pg_ident;
    const struct node *pg_ident_primary;
    const struct node *pg_ident_replica;
    const struct node *pg_ident_standby_leader;
};

/* What one node is told. */
struct conf {
    const struct node *root;
    const char *scope;
    const char *namespace_;
    const char *name;
    bool witness;
    struct conf_log log;
    struct conf_restapi restapi;
    struct conf_ctl ctl;
    struct conf_raft raft;
    struct conf_bootstrap bootstrap;
    struct conf_tags tags;
    struct conf_watchdog watchdog;
    struct conf_guard guard;
    struct conf_postgresql postgresql; /* Without the cluster-wide part. */
    /* Where settings without effect are read to, so that they are checked like any other. */
    int64_t ignored;
    const char *ignored_text;
    bool ignored_bool;
    const struct node *ignored_node;
};

enum conf_slot_type {
    CONF_SLOT_PHYSICAL,
    CONF_SLOT_LOGICAL,
};

struct conf_slot {
    const char *name; /* NULL in a matcher that takes any. */
    int type;         /* enum conf_slot_type; -1 in a matcher that takes any. */
    const char *database;
    const char *plugin;
    const char *cluster_type; /* "primary", "standby", or NULL for both. */
};

struct conf_slots {
    uint32_t count;
    struct conf_slot items[CONF_SLOTS_MAX];
};

struct conf_standby_cluster {
    bool active; /* Any of host, port, restore_command is there. */
    const char *host;
    const char *port;
    const char *primary_slot_name;
    const struct node *create_replica_methods;
    const char *restore_command;
    const char *archive_cleanup_command;
    const char *recovery_min_apply_delay;
};

/* Cluster-wide settings. */
struct conf_dynamic {
    const struct node *root;
    int64_t ttl_ms;
    int64_t loop_wait_ms;
    int64_t retry_timeout_ms;
    int64_t maximum_lag_on_failover_bytes;
    int64_t maximum_lag_on_syncnode_bytes; /* At most 0: no limit. */
    int64_t max_timelines_history;         /* 0: all. */
    bool check_timeline;
    int64_t primary_start_timeout_ms; /* Or else master_start_timeout. */
    int64_t primary_stop_timeout_ms;  /* Or else master_stop_timeout; 0: 30 s. */
    int64_t master_start_timeout_ms;
    int64_t master_stop_timeout_ms;
    int synchronous_mode; /* enum conf_sync_mode; off in a standby cluster. */
    bool synchronous_mode_strict;
    int64_t synchronous_node_count;
    bool strict_reads;
    bool failsafe_mode;
    bool pause;
    int64_t member_slots_ttl_ms;
    struct conf_slots permanent;
    struct conf_slots ignored_slots;
    struct conf_standby_cluster standby_cluster;
    const struct node *postgresql; /* Map or NULL. */
    /* As written; `permanent` and `ignored_slots` are made of these. */
    const struct node *slots;
    const struct node *permanent_slots;
    const struct node *permanent_replication_slots;
    const struct node *ignore_slots;
    int64_t ignored_ms;
};

enum conf_check {
    CONF_CHECK_START,  /* For running with these settings. */
    CONF_CHECK_STRICT, /* For --validate-config: others must be able to reach this node. */
    CONF_CHECK_CTL,    /* For the command line: nothing is required. */
};

/*
 * Reads the settings of a node from a map. `tree` is where `root` lives; lists written
 * as one text are added to it. `file` is for messages about what is missing. Everything
 * in `conf` is usable even if there were errors, but the settings must not be run.
 */
void conf_read(
    struct conf *conf, struct tree *tree, const struct node *root, const char *file,
    enum conf_check level, struct problems *problems);

/*
 * The section `postgresql` in effect: cluster-wide (NULL: none) under the node's own;
 * parameters are merged one by one, everything else replaces. New nodes go into `tree`,
 * which must be another one than `conf`'s if it is to be reset on the next change.
 */
void conf_postgresql_read(
    struct conf_postgresql *postgresql, struct tree *tree, const struct conf *conf,
    const struct node *dynamic_postgresql, struct problems *problems);

/*
 * Reads cluster-wide settings from a map; NULL stands for an empty one. A wrong value
 * is an error among the problems and its default in `dynamic`: refuse the change on
 * the way in, log and go on where it is decided already. Unknown keys are warnings.
 */
void conf_dynamic_read(
    struct conf_dynamic *dynamic, struct tree *tree, const struct node *root,
    struct problems *problems);

/*
 * Adds an error for each setting that is read, because its users have it, and that this
 * version does not carry out: refused on the way in rather than accepted without effect.
 */
void conf_dynamic_unsupported(const struct conf_dynamic *dynamic, struct problems *problems);

/* conf_dynamic_read() and conf_dynamic_unsupported() for who only wants the reasons: false if there
 * is any error. */
MUST_CHECK bool conf_dynamic_validate(
    struct tree *tree, const struct node *root, struct problems *problems);

struct conf_change {
    char path[TREE_PATH_MAX];
    bool needs_restart;
};

/*
 * Which settings differ, into `changes`; returns how many, at most `size`. Settings
 * of keys.h that are maps count as one.
 */
size_t conf_diff(
    const struct conf *old, const struct conf *now, struct conf_change *changes, size_t size);

#endif

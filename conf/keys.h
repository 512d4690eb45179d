/*
 * conf/keys.h - every setting, once: from these lists come the reader, the checks, the
 * variables of the environment, what a reload changes, and conf/pgbaton.yaml.
 *
 * X(path, env, type, field, range, fallback, example, when, sentence)
 *
 *   path      dotted; a MAP, LIST, LINES, WORDS or ANY also covers everything below it
 *   env       PGBATON_<env>, or Patroni's PATRONI_<env>; "" if there is none
 *   type      one of CONF_TYPE_MAP
 *   field     where struct conf (conf_dynamic, conf_postgresql) keeps the value
 *   range     "low..high", either may be missing; of a CHOICE: its words, "a|b", in the
 *             order of its enumerators
 *   fallback  the default, as text; NULL if there is none
 *   example   what the example shows instead of the default; NULL: the default
 *   when      one of CONF_WHEN_MAP
 *   sentence  what it is for
 */
#ifndef PGBATON_CONF_KEYS_H
#define PGBATON_CONF_KEYS_H

#define CONF_TYPE_MAP(X)                                                                   \
    X(TEXT, "text")                        /* const char * */                              \
    X(SECRET, "text")                      /* const char *; never shown */                 \
    X(COUNT, "a whole number")             /* int64_t */                                   \
    X(SECONDS, "seconds (or 500ms, 5min)") /* int64_t, milliseconds */                     \
    X(BYTES, "bytes (or 16MB, 1GB)")       /* int64_t */                                   \
    X(MODE, "permission bits as 0640")     /* int64_t */                                   \
    X(BOOL, "true or false")               /* bool */                                      \
    X(CHOICE, "one of a few words")        /* int: place among the words */                \
    X(ADDRESS, "host:port")                /* struct conf_address */                       \
    X(LISTEN, "host[,host...]:port")       /* struct conf_address */                       \
    X(ADDRESSES, "a list of host:port")    /* struct conf_addresses */                     \
    X(WORDS, "a list of texts")            /* const struct node *, a list */               \
    X(LINES, "a list of lines")            /* the same; one text is not split at commas */ \
    X(LIST, "a list")                      /* const struct node *, a list */               \
    X(MAP, "a map")                        /* const struct node *, a map */                \
    X(ANY, "a list or a map")              /* const struct node * */

#define CONF_WHEN_MAP(X)                                                \
    X(RELOAD, "reload")         /* A reload applies it. */              \
    X(RESTART, "restart")       /* It needs a restart of the daemon. */ \
    X(BOOTSTRAP, "new cluster") /* Read when a new cluster is made. */  \
    X(IGNORED, "no effect")     /* Known to Patroni users; accepted as such. */

/* What one node is told. Fields of struct conf. */
#define KEYS_LOCAL(X)                                                                              \
    X("scope", "SCOPE", TEXT, scope, "", NULL, "demo", RESTART,                                    \
      "Name of the cluster, the same on every node; also PostgreSQL's cluster_name.")              \
    X("namespace", "NAMESPACE", TEXT, namespace_, "", "/service", NULL, RESTART,                   \
      "Kept for tools that build paths of it; nothing here depends on it.")                        \
    X("name", "NAME", TEXT, name, "", NULL, "n1", RESTART,                                         \
      "Name of this node, unlike every other in the cluster.")                                     \
    X("witness", "WITNESS", BOOL, witness, "", "false", NULL, RESTART,                             \
      "A node that votes and runs no PostgreSQL; it has no section postgresql.")                   \
    X("thread_pool_size", "THREAD_POOL_SIZE", COUNT, ignored, "0..", NULL, "5", IGNORED,           \
      "One thread does all the work.")                                                             \
    X("thread_stack_size", "THREAD_STACK_SIZE", TEXT, ignored_text, "", NULL, "512kB", IGNORED,    \
      "One thread does all the work.")                                                             \
    X("log.type", "LOG_TYPE", CHOICE, log.type, "plain|json", "plain", NULL, RELOAD,               \
      "json: a line is an object with the fields that log.format names.")                          \
    X("log.level", "LOG_LEVEL", CHOICE, log.level, "DEBUG|INFO|WARNING|ERROR|CRITICAL", "INFO",    \
      NULL, RELOAD, "The least important lines that are written.")                                 \
    X("log.traceback_level", "LOG_TRACEBACK_LEVEL", TEXT, ignored_text, "", NULL, "ERROR",         \
      IGNORED, "There are no tracebacks.")                                                         \
    X("log.format", "LOG_FORMAT", TEXT, log.format, "", "%(asctime)s %(levelname)s: %(message)s",  \
      NULL, RELOAD, "Shape of a line: asctime, levelname, message, name, process.")                \
    X("log.dateformat", "LOG_DATEFORMAT", TEXT, ignored_text, "", NULL, "%Y-%m-%d", IGNORED,       \
      "Times are YYYY-MM-DD HH:MM:SS,mmm.")                                                        \
    X("log.static_fields", "LOG_STATIC_FIELDS", MAP, log.static_fields, "", NULL,                  \
      "{app: pgbaton}", RELOAD, "Fields that are added to JSON lines.")                            \
    X("log.max_queue_size", "LOG_MAX_QUEUE_SIZE", COUNT, ignored, "0..", NULL, "1000", IGNORED,    \
      "The queue is 64 KiB of lines.")                                                             \
    X("log.dir", "LOG_DIR", TEXT, log.dir, "", NULL, "/var/log/pgbaton", RELOAD,                   \
      "Write to a file in this directory, not to standard error.")                                 \
    X("log.mode", "LOG_MODE", MODE, log.mode, "0..0777", "0644", NULL, RELOAD,                     \
      "Permission bits of the log file.")                                                          \
    X("log.file_size", "LOG_FILE_SIZE", BYTES, log.file_size_bytes, "4096..", "25000000", NULL,    \
      RELOAD, "A log file is rotated before it grows past this.")                                  \
    X("log.file_num", "LOG_FILE_NUM", COUNT, log.file_num, "0..1000", "4", NULL, RELOAD,           \
      "How many rotated files are kept.")                                                          \
    X("log.loggers", "LOG_LOGGERS", MAP, ignored_node, "", NULL, "{urllib3: WARNING}", IGNORED,    \
      "Levels of Python's loggers.")                                                               \
    X("log.deduplicate_heartbeat_logs", "LOG_DEDUPLICATE_HEARTBEAT_LOGS", BOOL, ignored_bool, "",  \
      NULL, "false", IGNORED, "There is no line per heartbeat.")                                   \
    X("restapi.listen", "RESTAPI_LISTEN", LISTEN, restapi.listen, "", NULL, "0.0.0.0:8008",        \
      RESTART, "Where HTTP is served.")                                                            \
    X("restapi.connect_address", "RESTAPI_CONNECT_ADDRESS", ADDRESS, restapi.connect_address, "",  \
      NULL, "10.0.0.1:8008", RESTART, "Where others reach it.")                                    \
    X("restapi.authentication.username", "RESTAPI_USERNAME", TEXT,                                 \
      restapi.authentication.username, "", NULL, "admin", RELOAD,                                  \
      "Who may change anything through HTTP.")                                                     \
    X("restapi.authentication.password", "RESTAPI_PASSWORD", SECRET,                               \
      restapi.authentication.password, "", NULL, "secret", RELOAD, "And the password for it.")     \
    X("restapi.certfile", "RESTAPI_CERTFILE", TEXT, restapi.certfile, "", NULL,                    \
      "/etc/pgbaton/api.crt", RESTART, "Certificate (PEM); turns HTTP into HTTPS.")                \
    X("restapi.keyfile", "RESTAPI_KEYFILE", TEXT, restapi.keyfile, "", NULL,                       \
      "/etc/pgbaton/api.key", RESTART, "Its key, if not in the same file.")                        \
    X("restapi.keyfile_password", "RESTAPI_KEYFILE_PASSWORD", SECRET, restapi.keyfile_password,    \
      "", NULL, "secret", RESTART, "Password of the key.")                                         \
    X("restapi.cafile", "RESTAPI_CAFILE", TEXT, restapi.cafile, "", NULL, "/etc/pgbaton/ca.crt",   \
      RESTART, "Authorities that sign the certificates of clients.")                               \
    X("restapi.ciphers", "RESTAPI_CIPHERS", TEXT, restapi.ciphers, "", NULL, "NORMAL", RESTART,    \
      "Priority string of GnuTLS.")                                                                \
    X("restapi.verify_client", "RESTAPI_VERIFY_CLIENT", CHOICE, restapi.verify_client,             \
      "none|optional|required", "none", NULL, RESTART,                                             \
      "Who must show a certificate: nobody, whoever changes something, everybody.")                \
    X("restapi.allowlist", "RESTAPI_ALLOWLIST", WORDS, restapi.allowlist, "", NULL,                \
      "[10.0.0.0/24]", RELOAD, "Hosts and networks that may change something; nothing: all.")      \
    X("restapi.allowlist_include_members", "RESTAPI_ALLOWLIST_INCLUDE_MEMBERS", BOOL,              \
      restapi.allowlist_include_members, "", "false", NULL, RELOAD,                                \
      "The members of the cluster may as well.")                                                   \
    X("restapi.http_extra_headers", "RESTAPI_HTTP_EXTRA_HEADERS", MAP, restapi.http_extra_headers, \
      "", NULL, "{X-Frame-Options: SAMEORIGIN}", RELOAD, "Headers added to every answer.")         \
    X("restapi.https_extra_headers", "RESTAPI_HTTPS_EXTRA_HEADERS", MAP,                           \
      restapi.https_extra_headers, "", NULL, "{Strict-Transport-Security: max-age=31536000}",      \
      RELOAD, "Headers added to every answer over TLS.")                                           \
    X("restapi.request_queue_size", "RESTAPI_REQUEST_QUEUE_SIZE", COUNT,                           \
      restapi.request_queue_size, "0..4096", "5", NULL, RESTART,                                   \
      "Connections that may wait to be accepted; at least 64 are allowed.")                        \
    X("restapi.thread_pool_size", "", COUNT, ignored, "0..", NULL, "5", IGNORED,                   \
      "One thread answers everything, from memory.")                                               \
    X("restapi.server_tokens", "RESTAPI_SERVER_TOKENS", CHOICE, restapi.server_tokens,             \
      "original|productonly|minimal", "original", NULL, RELOAD,                                    \
      "How much the Server header tells.")                                                         \
    X("ctl.authentication.username", "CTL_USERNAME", TEXT, ctl.authentication.username, "", NULL,  \
      "admin", RELOAD, "Who the command line says it is; default: restapi's.")                     \
    X("ctl.authentication.password", "CTL_PASSWORD", SECRET, ctl.authentication.password, "",      \
      NULL, "secret", RELOAD, "And its password.")                                                 \
    X("ctl.insecure", "CTL_INSECURE", BOOL, ctl.insecure, "", "false", NULL, RELOAD,               \
      "Do not check certificates of the API.")                                                     \
    X("ctl.cacert", "CTL_CACERT", TEXT, ctl.cacert, "", NULL, "/etc/pgbaton/ca.crt", RELOAD,       \
      "Authorities that sign the certificates of the API; default: restapi.cafile.")               \
    X("ctl.certfile", "CTL_CERTFILE", TEXT, ctl.certfile, "", NULL, "/etc/pgbaton/client.crt",     \
      RELOAD, "Certificate to show to the API.")                                                   \
    X("ctl.keyfile", "CTL_KEYFILE", TEXT, ctl.keyfile, "", NULL, "/etc/pgbaton/client.key",        \
      RELOAD, "Its key.")                                                                          \
    X("ctl.keyfile_password", "CTL_KEYFILE_PASSWORD", SECRET, ctl.keyfile_password, "", NULL,      \
      "secret", RELOAD, "Password of the key.")                                                    \
    X("ctl.hosts", "CTL_HOSTS", WORDS, ctl.hosts, "", NULL, "[\"http://10.0.0.1:8008\"]", RELOAD,  \
      "API addresses to try, first to last; default: this node's, then its partners'.")            \
    X("raft.self_addr", "RAFT_SELF_ADDR", ADDRESS, raft.self_addr, "", NULL, "10.0.0.1:2222",      \
      RESTART, "Where the other nodes reach this one's consensus.")                                \
    X("raft.bind_addr", "RAFT_BIND_ADDR", LISTEN, raft.bind_addr, "", NULL, "0.0.0.0:2222",        \
      RESTART, "Where it listens; default: self_addr.")                                            \
    X("raft.partner_addrs", "RAFT_PARTNER_ADDRS", ADDRESSES, raft.partner_addrs, "", NULL,         \
      "[\"10.0.0.2:2222\", \"10.0.0.3:2222\"]", RESTART,                                           \
      "self_addr of every other node; read until the node has joined, then the cluster's own "     \
      "list counts.")                                                                              \
    X("raft.data_dir", "RAFT_DATA_DIR", TEXT, raft.data_dir, "", ".", "/var/lib/pgbaton", RESTART, \
      "Directory of the replicated log.")                                                          \
    X("raft.password", "RAFT_PASSWORD", SECRET, raft.password, "", NULL, "change me", RESTART,     \
      "Shared by all nodes; peers speak TLS 1.3 with a key made of it.")                           \
    X("raft.certfile", "RAFT_CERTFILE", TEXT, raft.certfile, "", NULL, "/etc/pgbaton/raft.crt",    \
      RESTART, "Certificate for mutual TLS between peers, in place of a password.")                \
    X("raft.keyfile", "RAFT_KEYFILE", TEXT, raft.keyfile, "", NULL, "/etc/pgbaton/raft.key",       \
      RESTART, "Its key.")                                                                         \
    X("raft.cafile", "RAFT_CAFILE", TEXT, raft.cafile, "", NULL, "/etc/pgbaton/ca.crt", RESTART,   \
      "Authorities that sign the certificates of peers.")                                          \
    X("raft.insecure", "RAFT_INSECURE", BOOL, raft.insecure, "", "false", NULL, RESTART,           \
      "Peers speak plain text. For experiments only.")                                             \
    X("raft.heartbeat", "RAFT_HEARTBEAT", SECONDS, raft.heartbeat_ms, "0.01..10", "0.1", NULL,     \
      RESTART, "How often a leader is heard; an election begins after ten missed ones.")           \
    X("raft.min_timeout", "RAFT_MIN_TIMEOUT", SECONDS, ignored, "", NULL, "0.4", IGNORED,          \
      "Follows from raft.heartbeat.")                                                              \
    X("raft.max_timeout", "RAFT_MAX_TIMEOUT", SECONDS, ignored, "", NULL, "1.4", IGNORED,          \
      "Follows from raft.heartbeat.")                                                              \
    X("raft.connection_timeout", "RAFT_CONNECTION_TIMEOUT", SECONDS, ignored, "", NULL, "3.5",     \
      IGNORED, "Follows from raft.heartbeat.")                                                     \
    X("raft.append_entries_period", "RAFT_APPEND_ENTRIES_PERIOD", SECONDS, ignored, "", NULL,      \
      "0.1", IGNORED, "Follows from raft.heartbeat.")                                              \
    X("raft.connection_retry_time", "RAFT_CONNECTION_RETRY_TIME", SECONDS, ignored, "", NULL,      \
      "5.0", IGNORED, "Follows from raft.heartbeat.")                                              \
    X("raft.leader_fallback_timeout", "RAFT_LEADER_FALLBACK_TIMEOUT", SECONDS, ignored, "", NULL,  \
      "30.0", IGNORED, "Follows from raft.heartbeat.")                                             \
    X("bootstrap.dcs", "", MAP, bootstrap.dcs, "", NULL, NULL, BOOTSTRAP,                          \
      "The first cluster-wide settings; later changes: pgbatonctl edit-config.")                   \
    X("bootstrap.method", "", TEXT, bootstrap.method, "", "initdb", NULL, BOOTSTRAP,               \
      "initdb, or the name of a map beside it with a command of yours.")                           \
    X("bootstrap.initdb", "", LIST, bootstrap.initdb, "", NULL,                                    \
      "[{encoding: UTF8}, data-checksums]", BOOTSTRAP,                                             \
      "Options of initdb: flags and {option: value}.")                                             \
    X("bootstrap.pg_hba", "", LINES, bootstrap.pg_hba, "", NULL,                                   \
      "[\"host replication replicator 10.0.0.0/24 scram-sha-256\", \"host all all 10.0.0.0/24 "    \
      "scram-sha-256\"]",                                                                          \
      BOOTSTRAP, "Lines added to the pg_hba.conf that initdb made.")                               \
    X("bootstrap.users", "", MAP, bootstrap.users, "", NULL,                                       \
      "{app: {password: secret, options: [createdb]}}", BOOTSTRAP,                                 \
      "Roles to make: name to password and options of CREATE ROLE.")                               \
    X("bootstrap.post_bootstrap", "", TEXT, bootstrap.post_bootstrap, "", NULL,                    \
      "/usr/local/bin/first.sh", BOOTSTRAP,                                                        \
      "Command run with a connection string when the new cluster is up.")                          \
    X("bootstrap.post_init", "", TEXT, bootstrap.post_init, "", NULL, "/usr/local/bin/first.sh",   \
      BOOTSTRAP, "Old name of post_bootstrap.")                                                    \
    X("tags", "", MAP, tags.all, "", NULL, NULL, RELOAD,                                           \
      "Properties of this node; others than these are shown and usable in tag_ filters.")          \
    X("tags.nofailover", "", BOOL, tags.nofailover, "", "false", NULL, RELOAD,                     \
      "Never becomes primary.")                                                                    \
    X("tags.failover_priority", "", COUNT, tags.failover_priority, "", "1", NULL, RELOAD,          \
      "Among equals the highest becomes primary; 0: never.")                                       \
    X("tags.nosync", "", BOOL, tags.nosync, "", "false", NULL, RELOAD,                             \
      "Never a synchronous standby.")                                                              \
    X("tags.sync_priority", "", COUNT, tags.sync_priority, "", "1", NULL, RELOAD,                  \
      "The highest is preferred as a synchronous standby; 0: never.")                              \
    X("tags.clonefrom", "", BOOL, tags.clonefrom, "", "false", NULL, RELOAD,                       \
      "Preferred source of new replicas.")                                                         \
    X("tags.noloadbalance", "", BOOL, tags.noloadbalance, "", "false", NULL, RELOAD,               \
      "The health checks for reading answer 503.")                                                 \
    X("tags.replicatefrom", "", TEXT, tags.replicatefrom, "", NULL, "n2", RELOAD,                  \
      "Follow this member, not the primary.")                                                      \
    X("tags.nostream", "", BOOL, tags.nostream, "", "false", NULL, RELOAD,                         \
      "Follow through the archive only.")                                                          \
    X("watchdog.mode", "", CHOICE, watchdog.mode, "off|automatic|required", "automatic", NULL,     \
      RELOAD, "Whether a kernel watchdog is armed while this node is primary.")                    \
    X("watchdog.device", "", TEXT, watchdog.device, "", "/dev/watchdog", NULL, RELOAD,             \
      "Its device.")                                                                               \
    X("watchdog.safety_margin", "", SECONDS, watchdog.safety_margin_ms, "-1..3600", "-1", NULL,    \
      RELOAD, "It fires so long before ttl ends; -1: half of ttl.")                                \
    X("watchdog.driver", "", CHOICE, watchdog.driver, "default|testing", "default", NULL, RELOAD,  \
      "testing: the device is a FIFO.")                                                            \
    X("guard.program", "GUARD_PROGRAM", TEXT, guard.program, "", NULL,                             \
      "/usr/lib/pgbaton/pgbaton-guard", RESTART,                                                   \
      "The guard; default: beside the daemon, else in PATH.")                                      \
    X("guard.kill_budget", "GUARD_KILL_BUDGET", SECONDS, guard.kill_budget_ms, "0.01..60", NULL,   \
      "0.3", RELOAD,                                                                               \
      "Time before the end of the lease at which an unrenewed PostgreSQL is stopped; default: "    \
      "from ttl.")

/* The options of one database user; `who` is superuser, replication or rewind, `member` its field.
 */
#define KEYS_USER(X, who, member, ENV)                                                             \
    X("authentication." #who ".username", ENV "_USERNAME", TEXT, member.username, "", NULL, #who,  \
      RELOAD, "Name of the role " #who ".")                                                        \
    X("authentication." #who ".password", ENV "_PASSWORD", SECRET, member.password, "", NULL,      \
      "secret", RELOAD, "Its password.")                                                           \
    X("authentication." #who ".sslmode", ENV "_SSLMODE", TEXT, member.sslmode, "", NULL, "prefer", \
      RELOAD, "As in libpq.")                                                                      \
    X("authentication." #who ".sslkey", ENV "_SSLKEY", TEXT, member.sslkey, "", NULL,              \
      "/etc/pgbaton/pg.key", RELOAD, "As in libpq.")                                               \
    X("authentication." #who ".sslpassword", ENV "_SSLPASSWORD", SECRET, member.sslpassword, "",   \
      NULL, "secret", RELOAD, "As in libpq.")                                                      \
    X("authentication." #who ".sslcert", ENV "_SSLCERT", TEXT, member.sslcert, "", NULL,           \
      "/etc/pgbaton/pg.crt", RELOAD, "As in libpq.")                                               \
    X("authentication." #who ".sslrootcert", ENV "_SSLROOTCERT", TEXT, member.sslrootcert, "",     \
      NULL, "/etc/pgbaton/ca.crt", RELOAD, "As in libpq.")                                         \
    X("authentication." #who ".sslcrl", ENV "_SSLCRL", TEXT, member.sslcrl, "", NULL,              \
      "/etc/pgbaton/ca.crl", RELOAD, "As in libpq.")                                               \
    X("authentication." #who ".sslcrldir", ENV "_SSLCRLDIR", TEXT, member.sslcrldir, "", NULL,     \
      "/etc/pgbaton/crl", RELOAD, "As in libpq.")                                                  \
    X("authentication." #who ".sslnegotiation", ENV "_SSLNEGOTIATION", TEXT,                       \
      member.sslnegotiation, "", NULL, "postgres", RELOAD, "As in libpq (17 and later).")          \
    X("authentication." #who ".gssencmode", ENV "_GSSENCMODE", TEXT, member.gssencmode, "", NULL,  \
      "prefer", RELOAD, "As in libpq.")                                                            \
    X("authentication." #who ".channel_binding", ENV "_CHANNEL_BINDING", TEXT,                     \
      member.channel_binding, "", NULL, "prefer", RELOAD, "As in libpq.")

/* Below `postgresql` of one node only. Fields of struct conf_postgresql. */
#define KEYS_POSTGRESQL_LOCAL(X)                                                               \
    X("listen", "POSTGRESQL_LISTEN", LISTEN, listen, "", NULL, "0.0.0.0:5432", RESTART,        \
      "Where PostgreSQL listens.")                                                             \
    X("connect_address", "POSTGRESQL_CONNECT_ADDRESS", ADDRESS, connect_address, "", NULL,     \
      "10.0.0.1:5432", RESTART, "Where others reach it.")                                      \
    X("proxy_address", "POSTGRESQL_PROXY_ADDRESS", ADDRESS, proxy_address, "", NULL,           \
      "10.0.0.1:6432", RELOAD,                                                                 \
      "Where a pooler in front of it is reached; shown to discovery tools.")                   \
    X("data_dir", "POSTGRESQL_DATA_DIR", TEXT, data_dir, "", NULL, "/var/lib/postgresql/data", \
      RESTART, "The data directory.")                                                          \
    X("config_dir", "POSTGRESQL_CONFIG_DIR", TEXT, config_dir, "", NULL, "/etc/postgresql",    \
      RESTART, "Where postgresql.conf is; default: data_dir.")                                 \
    X("pgpass", "POSTGRESQL_PGPASS", TEXT, pgpass, "", NULL,                                   \
      "/var/lib/postgresql/.pgpass_pgbaton", RESTART,                                          \
      "Password file written for programs that connect; default: data_dir with .pgpass.")      \
    KEYS_USER(X, superuser, superuser, "SUPERUSER")                                            \
    KEYS_USER(X, replication, replication, "REPLICATION")                                      \
    KEYS_USER(X, rewind, rewind_user, "REWIND")

/* Below `postgresql` of a node and of the cluster-wide settings; the node's count. */
#define KEYS_POSTGRESQL_BOTH(X)                                                                    \
    X("config_base_name", "", TEXT, config_base_name, "", "postgresql", NULL, RESTART,             \
      "Name of the configuration file without .conf.")                                             \
    X("bin_dir", "POSTGRESQL_BIN_DIR", TEXT, bin_dir, "", NULL, "/usr/lib/postgresql/15/bin",      \
      RELOAD, "Directory of PostgreSQL's programs; default: PATH.")                                \
    X("bin_name.pg_ctl", "POSTGRESQL_BIN_PG_CTL", TEXT, bin_name.pg_ctl, "", "pg_ctl", NULL,       \
      RELOAD, "Another name for the program.")                                                     \
    X("bin_name.initdb", "POSTGRESQL_BIN_INITDB", TEXT, bin_name.initdb, "", "initdb", NULL,       \
      RELOAD, "Another name for the program.")                                                     \
    X("bin_name.pg_controldata", "POSTGRESQL_BIN_PG_CONTROLDATA", TEXT, bin_name.pg_controldata,   \
      "", "pg_controldata", NULL, RELOAD, "Another name for the program.")                         \
    X("bin_name.pg_basebackup", "POSTGRESQL_BIN_PG_BASEBACKUP", TEXT, bin_name.pg_basebackup, "",  \
      "pg_basebackup", NULL, RELOAD, "Another name for the program.")                              \
    X("bin_name.postgres", "POSTGRESQL_BIN_POSTGRES", TEXT, bin_name.postgres, "", "postgres",     \
      NULL, RELOAD, "Another name for the program.")                                               \
    X("bin_name.pg_isready", "POSTGRESQL_BIN_PG_ISREADY", TEXT, bin_name.pg_isready, "",           \
      "pg_isready", NULL, RELOAD, "Another name for the program.")                                 \
    X("bin_name.pg_rewind", "POSTGRESQL_BIN_PG_REWIND", TEXT, bin_name.pg_rewind, "", "pg_rewind", \
      NULL, RELOAD, "Another name for the program.")                                               \
    X("database", "", TEXT, database, "", "postgres", NULL, RELOAD,                                \
      "Database the daemon connects to.")                                                          \
    X("use_unix_socket", "", BOOL, use_unix_socket, "", "false", NULL, RELOAD,                     \
      "Connect to the own PostgreSQL through its socket.")                                         \
    X("use_unix_socket_repl", "", BOOL, use_unix_socket_repl, "", "false", NULL, RELOAD,           \
      "The same for replication connections.")                                                     \
    X("use_slots", "", BOOL, use_slots, "", "true", NULL, RELOAD,                                  \
      "Keep a replication slot for every member; counts in the cluster-wide settings only.")       \
    X("use_pg_rewind", "", BOOL, use_pg_rewind, "", "true", NULL, RELOAD,                          \
      "Rewind a node whose history left the primary's.")                                           \
    X("rewind", "", ANY, rewind, "", NULL, "[debug]", RELOAD, "Further options of pg_rewind.")     \
    X("remove_data_directory_on_rewind_failure", "", BOOL,                                         \
      remove_data_directory_on_rewind_failure, "", "true", NULL, RELOAD,                           \
      "Clone anew where pg_rewind failed.")                                                        \
    X("remove_data_directory_on_diverged_timelines", "", BOOL,                                     \
      remove_data_directory_on_diverged_timelines, "", "true", NULL, RELOAD,                       \
      "Clone anew where a rewind would be needed and is not possible.")                            \
    X("create_replica_methods", "", WORDS, create_replica_methods, "", NULL, "[basebackup]",       \
      RELOAD,                                                                                      \
      "How a new replica is made, first to last; each but basebackup has a map of its own here.")  \
    X("create_replica_method", "", WORDS, create_replica_method, "", NULL, "[basebackup]", RELOAD, \
      "Old name of create_replica_methods.")                                                       \
    X("basebackup", "", ANY, basebackup, "", NULL, "[{max-rate: 100M}]", RELOAD,                   \
      "Further options of pg_basebackup.")                                                         \
    X("pg_ctl_timeout", "", SECONDS, pg_ctl_timeout_ms, "1..86400", "60", NULL, RELOAD,            \
      "How long a replica may take to start before the daemon goes on without it.")                \
    X("callbacks.on_reload", "", TEXT, callbacks.on_reload, "", NULL,                              \
      "/usr/local/bin/callback.sh", RELOAD, "Command run after a reload.")                         \
    X("callbacks.on_restart", "", TEXT, callbacks.on_restart, "", NULL,                            \
      "/usr/local/bin/callback.sh", RELOAD, "Command run after a restart.")                        \
    X("callbacks.on_role_change", "", TEXT, callbacks.on_role_change, "", NULL,                    \
      "/usr/local/bin/callback.sh", RELOAD, "Command run when the role changes.")                  \
    X("callbacks.on_start", "", TEXT, callbacks.on_start, "", NULL, "/usr/local/bin/callback.sh",  \
      RELOAD, "Command run after a start.")                                                        \
    X("callbacks.on_stop", "", TEXT, callbacks.on_stop, "", NULL, "/usr/local/bin/callback.sh",    \
      RELOAD, "Command run after a stop.")                                                         \
    X("pre_promote", "", TEXT, pre_promote, "", NULL, "/usr/local/bin/pre_promote.sh", RELOAD,     \
      "Command run before a promotion; if it fails, so does the promotion.")                       \
    X("before_stop", "", TEXT, before_stop, "", NULL, "/usr/local/bin/before_stop.sh", RELOAD,     \
      "Command run before every stop; its result does not count.")                                 \
    X("krbsrvname", "", TEXT, krbsrvname, "", NULL, "postgres", RELOAD, "Kerberos service name.")  \
    X("custom_conf", "", TEXT, custom_conf, "", NULL, "/etc/postgresql/custom.conf", RELOAD,       \
      "Included first, in place of the postgresql.conf found there.")                              \
    X("recovery_conf", "", MAP, recovery_conf, "", NULL,                                           \
      "{restore_command: \"cp /archive/%f %p\"}", RELOAD, "Recovery settings of replicas.")        \
    X("parameters", "", MAP, parameters, "", NULL, "{shared_buffers: 1GB}", RELOAD,                \
      "PostgreSQL's parameters.")                                                                  \
    X("parameters_primary", "", MAP, parameters_primary, "", NULL, "{archive_timeout: 60}",        \
      RELOAD, "And those of the primary.")                                                         \
    X("parameters_replica", "", MAP, parameters_replica, "", NULL, "{statement_timeout: 60s}",     \
      RELOAD, "And those of replicas.")                                                            \
    X("parameters_standby_leader", "", MAP, parameters_standby_leader, "", NULL, "{}", RELOAD,     \
      "And those of a standby leader.")                                                            \
    X("pg_hba", "", LINES, pg_hba, "", NULL, "[\"local all all peer\"]", RELOAD,                   \
      "The whole of pg_hba.conf.")                                                                 \
    X("pg_hba_primary", "", LINES, pg_hba_primary, "", NULL, "[]", RELOAD,                         \
      "In its place on the primary.")                                                              \
    X("pg_hba_replica", "", LINES, pg_hba_replica, "", NULL, "[]", RELOAD,                         \
      "In its place on replicas.")                                                                 \
    X("pg_hba_standby_leader", "", LINES, pg_hba_standby_leader, "", NULL, "[]", RELOAD,           \
      "In its place on a standby leader.")                                                         \
    X("pg_ident", "", LINES, pg_ident, "", NULL, "[\"map system_user role\"]", RELOAD,             \
      "The whole of pg_ident.conf.")                                                               \
    X("pg_ident_primary", "", LINES, pg_ident_primary, "", NULL, "[]", RELOAD,                     \
      "In its place on the primary.")                                                              \
    X("pg_ident_replica", "", LINES, pg_ident_replica, "", NULL, "[]", RELOAD,                     \
      "In its place on replicas.")                                                                 \
    X("pg_ident_standby_leader", "", LINES, pg_ident_standby_leader, "", NULL, "[]", RELOAD,       \
      "In its place on a standby leader.")

/* Cluster-wide settings. Fields of struct conf_dynamic. */
#define KEYS_DYNAMIC(X)                                                                            \
    X("ttl", "", SECONDS, ttl_ms, "1..86400", "2", NULL, RELOAD,                                   \
      "Length of the lease a primary serves under: a lost node is replaced after about this "      \
      "time.")                                                                                     \
    X("loop_wait", "", SECONDS, loop_wait_ms, "1..3600", "10", NULL, RELOAD,                       \
      "Longest pause between two looks at PostgreSQL; failover does not wait for it.")             \
    X("retry_timeout", "", SECONDS, retry_timeout_ms, "1..3600", "10", NULL, RELOAD,               \
      "How long a query or a stop for a rebuild may take.")                                        \
    X("maximum_lag_on_failover", "", BYTES, maximum_lag_on_failover_bytes, "0..", "1048576", NULL, \
      RELOAD, "A replica further behind is not promoted in asynchronous mode.")                    \
    X("maximum_lag_on_syncnode", "", BYTES, maximum_lag_on_syncnode_bytes, "-1..", "-1", NULL,     \
      RELOAD, "A synchronous standby further behind is replaced; -1: never.")                      \
    X("max_timelines_history", "", COUNT, max_timelines_history, "0..", "0", NULL, RELOAD,         \
      "Timelines kept in the history; 0: all.")                                                    \
    X("check_timeline", "", BOOL, check_timeline, "", "false", NULL, RELOAD,                       \
      "Do not promote a replica on an old timeline. Always so here: epochs are compared.")         \
    X("primary_start_timeout", "", SECONDS, primary_start_timeout_ms, "0..86400", "300", NULL,     \
      RELOAD,                                                                                      \
      "How long a failed primary may take to come back where it was; 0: fail over at once.")       \
    X("master_start_timeout", "", SECONDS, master_start_timeout_ms, "0..86400", NULL, "300",       \
      RELOAD, "Old name of primary_start_timeout.")                                                \
    X("primary_stop_timeout", "", SECONDS, primary_stop_timeout_ms, "0..86400", "0", NULL, RELOAD, \
      "How long the fast stop of a primary may take before an immediate one; 0: 30 s.")            \
    X("master_stop_timeout", "", SECONDS, master_stop_timeout_ms, "0..86400", NULL, "0", RELOAD,   \
      "Old name of primary_stop_timeout.")                                                         \
    X("primary_race_backoff", "", SECONDS, ignored_ms, "0..86400", NULL, "0", IGNORED,             \
      "There is no race: the leader chooses.")                                                     \
    X("synchronous_mode", "", CHOICE, synchronous_mode, "off|on|quorum", "off", NULL, RELOAD,      \
      "off; on: named standbys confirm each commit; quorum: any of them.")                         \
    X("synchronous_mode_strict", "", BOOL, synchronous_mode_strict, "", "false", NULL, RELOAD,     \
      "Commits wait when no synchronous standby is there.")                                        \
    X("synchronous_node_count", "", COUNT, synchronous_node_count, "1..8", "1", NULL, RELOAD,      \
      "How many standbys confirm each commit.")                                                    \
    X("strict_reads", "", BOOL, strict_reads, "", "false", NULL, RELOAD,                           \
      "In synchronous modes a failover waits for the old lease, so that nobody reads from an old " \
      "primary.")                                                                                  \
    X("failsafe_mode", "", BOOL, failsafe_mode, "", "false", NULL, RELOAD,                         \
      "A primary without majority serves on while every member that runs PostgreSQL answers it.")  \
    X("pause", "", BOOL, pause, "", "false", NULL, RELOAD,                                         \
      "Maintenance: nothing is done automatically.")                                               \
    X("member_slots_ttl", "", SECONDS, member_slots_ttl_ms, "0..31536000", "30min", NULL, RELOAD,  \
      "How long the slot of a vanished member is kept.")                                           \
    X("slots", "", MAP, slots, "", NULL, "{archive: {type: physical}}", RELOAD,                    \
      "Physical slots that each primary has; a new one begins them anew.")                         \
    X("permanent_slots", "", MAP, permanent_slots, "", NULL, "{}", RELOAD, "Old name of slots.")   \
    X("permanent_replication_slots", "", MAP, permanent_replication_slots, "", NULL, "{}", RELOAD, \
      "Old name of slots.")                                                                        \
    X("ignore_slots", "", LIST, ignore_slots, "", NULL, "[{name: b, type: logical}]", RELOAD,      \
      "Slots of others, to be left alone.")                                                        \
    X("standby_cluster.host", "", TEXT, standby_cluster.host, "", NULL, "10.1.0.1", RELOAD,        \
      "The whole cluster follows the one that is there.")                                          \
    X("standby_cluster.port", "", TEXT, standby_cluster.port, "", NULL, "5432", RELOAD,            \
      "And its port.")                                                                             \
    X("standby_cluster.primary_slot_name", "", TEXT, standby_cluster.primary_slot_name, "", NULL,  \
      "site_b", RELOAD, "Slot to use there.")                                                      \
    X("standby_cluster.create_replica_methods", "", WORDS, standby_cluster.create_replica_methods, \
      "", NULL, "[basebackup]", RELOAD, "How its first node is cloned.")                           \
    X("standby_cluster.restore_command", "", TEXT, standby_cluster.restore_command, "", NULL,      \
      "cp /archive/%f %p", RELOAD, "Fetches WAL from its archive.")                                \
    X("standby_cluster.archive_cleanup_command", "", TEXT,                                         \
      standby_cluster.archive_cleanup_command, "", NULL, "pg_archivecleanup /archive %r", RELOAD,  \
      "Cleans that archive.")                                                                      \
    X("standby_cluster.recovery_min_apply_delay", "", TEXT,                                        \
      standby_cluster.recovery_min_apply_delay, "", NULL, "1h", RELOAD, "Delay of its replay.")    \
    X("postgresql", "", MAP, postgresql, "", NULL,                                                 \
      "{use_pg_rewind: true, parameters: {max_connections: 200}}", RELOAD,                         \
      "As the section of a node, for all of them; addresses, directories and passwords do not "    \
      "count here.")

#endif

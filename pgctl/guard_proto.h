/*
 * pgctl/guard_proto.h - what the daemon and the guard say to each other, as structs and as bytes.
 *
 * Pure. One stream socket, requests from the daemon, facts from the guard. Each request carries
 * a number; its ACK or REFUSED carries it back. A STATUS comes after HELLO, when asked for, and
 * whenever anything in it but the deadline has changed; if a request changed it, before the answer.
 *
 * The guard outlives the daemon, so a new daemon talks to an old guard: fields are only ever
 * appended, a longer body is read as far as it is known, and GUARD_VERSION changes only when
 * that does not suffice. Numbers are big-endian.
 */
#ifndef PGBATON_PGCTL_GUARD_PROTO_H
#define PGBATON_PGCTL_GUARD_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define GUARD_VERSION      1
#define GUARD_GROUPS_MAX   16
#define GUARD_STRINGS_MAX  12288 /* Program, paths, arguments and environment of a start. */
#define GUARD_ARGS_MAX     128
#define GUARD_ENV_MAX      64
#define GUARD_PATH_MAX     1024
#define GUARD_TEXT_MAX     256
#define GUARD_HEADER_BYTES 20
#define GUARD_BYTES_MAX    (GUARD_HEADER_BYTES + 256 + GUARD_STRINGS_MAX)

/* No lease is longer than this: a deadline further away is a mistake of the sender. */
#define GUARD_LEASE_MAX_MS UINT64_C(3600000)

/* The number is the wire's: never renumber. */
#define GUARD_TYPE_MAP(X)          \
    X(HELLO, 1, "hello")           \
    X(START, 2, "start")           \
    X(PROMOTED, 3, "promoted")     \
    X(RENEW, 4, "renew")           \
    X(STOP, 5, "stop")             \
    X(WATCHDOG, 7, "watchdog")     \
    X(SHUTDOWN, 8, "shutdown")     \
    X(ADOPT, 10, "adopt")          \
    X(STATUS, 64, "status report") \
    X(ACK, 65, "ack")              \
    X(REFUSED, 66, "refused")

enum guard_type {
    GUARD_NONE,
#define X(code, number, text) GUARD_##code = (number),
    GUARD_TYPE_MAP(X)
#undef X
};

/* Why the guard refuses. The number is the wire's: append only. */
#define GUARD_REFUSAL_MAP(X)                                                      \
    X(NONE, "accepted")                                                           \
    X(TREE_LEFT, "processes of a PostgreSQL are left")                            \
    X(EPOCH_NEEDED, "a writable start needs an epoch")                            \
    X(EPOCH_UNWANTED, "a standby start takes epoch 0")                            \
    X(EPOCH_LOW, "the guard has seen a higher epoch")                             \
    X(EPOCH_ENDED, "this epoch has ended")                                        \
    X(FENCED, "the fence of this epoch has begun")                                \
    X(NOT_ARMED, "no deadline is armed for this epoch")                           \
    X(NOT_RUNNING, "PostgreSQL is not running")                                   \
    X(ENDING, "what is left of PostgreSQL is being killed")                       \
    X(DEADLINE_PAST, "the deadline is over, or too near to stop PostgreSQL")      \
    X(DEADLINE_INVALID, "the fence is behind the deadline, or it is too far off") \
    X(WATCHDOG, "the watchdog is required and cannot be used")                    \
    X(EXECUTE, "the program could not be started")                                \
    X(ADOPT, "the process is not one to adopt")                                   \
    X(LEAVING, "the guard is about to exit")                                      \
    X(UNKNOWN, "the guard does not know this request")

enum guard_refusal {
#define X(code, text) GUARD_REFUSAL_##code,
    GUARD_REFUSAL_MAP(X)
#undef X
};

enum guard_start_mode {
    GUARD_START_STANDBY,
    GUARD_START_WRITABLE,
};

enum guard_stop_mode {
    GUARD_STOP_SMART,     /* SIGTERM to the postmaster. */
    GUARD_STOP_FAST,      /* SIGINT to the postmaster. */
    GUARD_STOP_IMMEDIATE, /* SIGQUIT to the postmaster. */
    GUARD_STOP_KILL,      /* SIGKILL to every process, until none is left. */
};

enum guard_watchdog_mode {
    GUARD_WATCHDOG_OFF,
    GUARD_WATCHDOG_AUTOMATIC, /* Used if it can be. */
    GUARD_WATCHDOG_REQUIRED,  /* Nothing becomes writable without it. */
};

enum guard_watchdog_driver {
    GUARD_WATCHDOG_DEFAULT, /* The Linux watchdog device. */
    GUARD_WATCHDOG_TESTING, /* A FIFO that is told "1", "V" and "Ctimeout=N". */
};

enum guard_watchdog_state {
    GUARD_WATCHDOG_IS_OFF, /* Not open: not wanted, or not needed now. */
    GUARD_WATCHDOG_IS_ARMED,
    GUARD_WATCHDOG_IS_FAILED, /* Wanted and not usable, or it refused to be fed. */
};

/* What the status calls the life of PostgreSQL, as the guard sees it. */
#define GUARD_PHASE_MAP(X)                                                \
    X(IDLE, "nothing runs")                                               \
    X(STANDBY, "runs without a deadline: it must not be writable")        \
    X(ARMED, "may be writable until its deadline")                        \
    X(FENCING, "deadline not renewed: told to stop at once")              \
    X(SWEEPING, "postmaster is gone; what is left has a moment to leave") \
    X(KILLING, "every process is being killed")

enum guard_phase {
#define X(code, text) GUARD_PHASE_##code,
    GUARD_PHASE_MAP(X)
#undef X
};

/* Bits of `rings`: what would still act if the ring before it did not. */
enum guard_ring {
    GUARD_RING_TIMER = 1,    /* Kernel timer kills a stopped guard, its death the postmaster. */
    GUARD_RING_PIDNS = 2,    /* PostgreSQL is in a PID namespace of its own. */
    GUARD_RING_CGROUP = 4,   /* cgroup.kill of a cgroup that holds PostgreSQL only. */
    GUARD_RING_WATCHDOG = 8, /* An armed watchdog. */
};

/* The deadline of a lease; both CLOCK_BOOTTIME in milliseconds. */
struct guard_deadline {
    uint64_t fence_ms; /* Without a renewal PostgreSQL is told to stop: end less the kill budget. */
    uint64_t end_ms;   /* Nothing of it is left. */
};

struct guard_hello {
    uint32_t pid; /* The daemon's, for the guard's log. */
};

struct guard_start {
    enum guard_start_mode mode;
    uint64_t epoch;                 /* 0 for a standby, which needs no deadline. */
    struct guard_deadline deadline; /* Of a writable start. */
    bool change_user;               /* Take on the ids below; else PostgreSQL has the guard's. */
    uint32_t uid;
    uint32_t gid;
    uint32_t group_count;
    uint32_t groups[GUARD_GROUPS_MAX]; /* Supplementary groups. */
    uint32_t arg_count;
    uint32_t env_count;
    uint32_t strings_bytes;
    char strings[GUARD_STRINGS_MAX]; /* Filled by guard_start_set() and guard_start_add_*(). */
};

struct guard_promoted {
    uint64_t epoch;
    struct guard_deadline deadline;
};

struct guard_renew {
    uint64_t epoch;
    struct guard_deadline deadline;
};

struct guard_stop {
    enum guard_stop_mode mode;
};

struct guard_watchdog {
    enum guard_watchdog_mode mode;
    enum guard_watchdog_driver driver;
    uint32_t timeout_s;
    char device[GUARD_PATH_MAX];
};

struct guard_adopt {
    uint32_t pid;                  /* Of a postmaster that somebody else started. */
    char data_dir[GUARD_PATH_MAX]; /* Real path; the postmaster's working directory must be it. */
};

struct guard_status {
    uint32_t guard_pid;
    uint32_t server_pid; /* Of the postmaster; 0 if there is none. */
    uint32_t tree_count; /* Processes of PostgreSQL, when last counted; 0 only if none is left. */
    enum guard_phase phase;
    bool adopted; /* Watched, not a child: no timer ring, no cgroup. */
    bool memory_locked;
    bool realtime;                  /* The guard has a real-time priority. */
    uint32_t rings;                 /* enum guard_ring */
    uint64_t start_id;              /* Of the newest start or adoption; 0 before the first. */
    uint64_t armed_epoch;           /* 0 if no deadline is armed. */
    struct guard_deadline deadline; /* Of armed_epoch. */
    uint64_t highest_epoch;         /* Highest ever started or armed. */
    uint64_t ended_epoch;           /* Highest that is over for good. */
    uint64_t fenced_epoch;          /* Highest whose deadline passed; its end is near or over. */
    uint64_t fenced_ms;             /* When that fence began. */
    uint64_t gone_ms;               /* When the last process of PostgreSQL was gone; 0 if never. */
    bool exit_known;                /* A postmaster of ours has ended. */
    int32_t exit_status;            /* Its status, as of waitpid(). */
    uint64_t exit_ms;
    uint64_t exit_start_id; /* Of the start that ended so. */
    enum guard_watchdog_mode watchdog_mode;
    enum guard_watchdog_state watchdog_state;
    uint32_t watchdog_timeout_s;        /* As the device has it; 0 if it is not open. */
    char watchdog_text[GUARD_TEXT_MAX]; /* Why it failed, or what is odd about it; may be empty. */
};

struct guard_ack {
    enum guard_type request_type;
};

struct guard_refused {
    enum guard_type request_type;
    enum guard_refusal refusal;
    char text[GUARD_TEXT_MAX]; /* A sentence for the log. */
};

struct guard_message {
    enum guard_type type;
    uint32_t request; /* Number given by the daemon; 0 in a STATUS that nobody asked for. */
    union {
        struct guard_hello hello;
        struct guard_start start;
        struct guard_promoted promoted;
        struct guard_renew renew;
        struct guard_stop stop;
        struct guard_watchdog watchdog;
        struct guard_adopt adopt;
        struct guard_status status;
        struct guard_ack ack;
        struct guard_refused refused;
    };
};

const char *guard_type_name(enum guard_type type);
const char *guard_refusal_text(enum guard_refusal refusal);
const char *guard_phase_name(enum guard_phase phase); /* "idle", "standby" ... */
const char *guard_phase_text(enum guard_phase phase);

/*
 * Sets the strings of a start. `program` and `cwd` are absolute paths; `cwd` may be "" to stay
 * in the guard's. `log_path` gets what PostgreSQL writes to stdout and stderr (appended, created
 * 0600 as the user it runs as); "" lets it inherit the guard's. False if it does not fit.
 */
MUST_CHECK bool guard_start_set(
    struct guard_start *start, const char *program, const char *cwd, const char *log_path);

/* Then all arguments, argv[0] first. False if there are too many or they do not fit. */
MUST_CHECK bool guard_start_add_arg(struct guard_start *start, const char *arg);

/* Then, if any, "NAME=value" pairs that go on top of the guard's environment. */
MUST_CHECK bool guard_start_add_env(struct guard_start *start, const char *pair);

/* Pointers into the start's strings, which must not move; argv and env end with NULL. */
struct guard_start_view {
    char *program;
    char *cwd;
    char *log_path;
    char *argv[GUARD_ARGS_MAX + 1];
    char *env[GUARD_ENV_MAX + 1];
};

/* For a start that was decoded, or made by the functions above. */
void guard_start_view(struct guard_start *start, struct guard_start_view *view);

/* Writes the message and returns its length; `bytes` holds GUARD_BYTES_MAX. */
size_t guard_encode(const struct guard_message *message, uint8_t *bytes);

/*
 * Reads one message. `*used` is its length, or 0 with STATUS_OK if more bytes are needed.
 * INVALID: this stream cannot be understood any further. A type that is not known is no error;
 * it comes back as GUARD_NONE with its request number.
 */
MUST_CHECK enum status guard_decode(
    const uint8_t *bytes, size_t size, struct guard_message *message, size_t *used,
    struct err *err);

#endif

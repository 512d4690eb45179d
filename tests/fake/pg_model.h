/*
 * tests/fake/pg_model.h - a PostgreSQL, its data directory and its guard, modelled; behind the
 * vocabulary of pgctl/pgctl.h and with the contract of pgctl/local_uv.h.
 *
 * WAL is an array of records of one size, each with an id that no other record ever had: so
 * whether two histories are the same is plain to see, while what PostgreSQL goes by (timelines
 * and positions) can be fooled, here as there. What decides for the guard is the real thing,
 * pgctl/guard/deadline.c. Files, server and guard live through the death of the daemon; a crash
 * of the node ends server and guard.
 *
 * Pure but for the heap: time and chance come in from outside. Nothing is reported from inside a
 * call; facts and results are handed out by pg_model_tick(). Times are those of the node's clock.
 */
#ifndef PGBATON_TESTS_FAKE_PG_MODEL_H
#define PGBATON_TESTS_FAKE_PG_MODEL_H

#include "base/attr.h"
#include "base/prng.h"
#include "pgctl/guard/deadline.h"
#include "pgctl/pgctl.h"

#define PG_MODEL_RECORD_BYTES 100
#define PG_MODEL_BATCH        64 /* Records in one packet of a WAL sender. */

struct pg_model_record {
    uint64_t id;
    uint32_t timeline;
};

struct pg_model_wal {
    uint64_t count;
    uint64_t space;
    struct pg_model_record *records; /* On the heap. */
};

enum pg_model_server {
    PG_MODEL_GONE,
    PG_MODEL_STARTING,
    PG_MODEL_RECOVERY,
    PG_MODEL_PROMOTING,
    PG_MODEL_WRITABLE,
    PG_MODEL_SHUTTING, /* Fast: no session is left, the checkpoint is to be written and sent. */
    PG_MODEL_QUITTING, /* Immediate: sessions are being ended. */
    PG_MODEL_ORPHANS,  /* The postmaster is gone, its children are not. */
};

/* How things go here; the same for a whole run. Percents and milliseconds. */
struct pg_model_weather {
    uint32_t start_ms; /* Each span is drawn from a quarter of it to all of it. */
    uint32_t promote_ms;
    uint32_t checkpoint_ms; /* Before a planned stop: any span up to it. */
    uint32_t stop_ms;
    uint32_t kill_ms;
    uint32_t copy_ms;        /* Clone and rewind. */
    uint32_t stream_ms;      /* From a WAL sender to the disk of a standby. */
    uint32_t replay_records; /* In each 10 ms. */
    uint32_t fail_start;
    uint32_t fail_promote;
    uint32_t fail_copy;
    uint32_t fail_cut;
    uint32_t hang_stop; /* Does not end before it is killed. */
    uint32_t no_end;    /* The end of WAL cannot be found in the files. */
    uint32_t kill_margin_ms;
};

/* What does not work for a while, each time it is tried. */
enum pg_model_defect {
    PG_MODEL_NO_START,   /* A file that is damaged, say. */
    PG_MODEL_NO_STOP,    /* A fast stop does not get through. */
    PG_MODEL_NO_PROMOTE, /* The server dies of it. */
    PG_MODEL_DEFECTS,
};

struct pg_model;

/* What the model needs of the world around it. */
struct pg_model_ops {
    void (*facts)(void *owner, const struct pg_facts *facts);
    void (*done)(void *owner, const struct pg_action_done *done);
    /* The server of another node if it answers, else NULL. */
    const struct pg_model *(*reach)(void *owner, uint64_t node);
    uint64_t (*new_id)(void *owner);
    /* Watched from outside: the guard was armed for a first start or promotion of `epoch`; the
     * server became writable; its fence began; a server streams what is not its own history. */
    void (*armed)(void *owner, uint64_t epoch);
    void (*writable)(void *owner, uint64_t epoch);
    void (*fenced)(void *owner, uint64_t epoch);
    void (*diverged)(void *owner, uint64_t upstream);
    PRINTF(2, 3) void (*trace)(void *owner, const char *format, ...);
};

struct pg_model {
    const struct pg_model_ops *ops;
    void *owner;
    const struct pg_model_weather *weather;
    struct prng prng;
    uint64_t now_ms;

    /* Files. */
    enum pg_data data;
    uint64_t system_identifier;
    struct pg_record record;
    struct pg_model_wal wal;
    uint64_t checkpoint;     /* Records behind it are replayed after a crash. */
    uint64_t replayed;       /* Records; for a writable server all. */
    uint32_t known_timeline; /* Newest that any history file names. */
    bool clean;
    bool standby_signal;
    bool was_recovery; /* The control file says "in recovery". */
    bool conninfo;
    struct pg_upstream upstream; /* With `conninfo`. */

    /* Server. */
    enum pg_model_server server;
    uint64_t start_id;
    uint64_t server_due_ms; /* When its state changes by itself; 0: not. */
    bool will_fail;
    bool sessions;       /* Some that can write are left. */
    bool writable_start; /* It was started writable, or its promotion was asked for. */
    bool stop_hangs;
    bool checkpoint_written; /* SHUTTING. */
    uint64_t replay_ms;
    uint64_t replay_stuck_ms;             /* Until. */
    uint64_t sql_stuck_ms;                /* Until. */
    uint64_t defect_ms[PG_MODEL_DEFECTS]; /* Until. */
    bool received_any;                    /* A receiver brought something since this start. */

    /* Receiver. */
    bool receiver;
    bool receiver_stuck; /* Does not end when it is told to. */
    bool streaming;
    uint64_t receiver_heard_ms;
    uint64_t receiver_due_ms;
    uint64_t batch_due_ms; /* 0: nothing on its way. */
    uint64_t batch_from;
    uint32_t batch_count;
    uint32_t batch_timeline; /* Newest one of the sender's. */
    struct pg_model_record batch[PG_MODEL_BATCH];
    uint64_t sender_start_id; /* Server that the receiver is connected to. */

    /* Guard. */
    bool guard_up;
    struct deadline guard;
    uint64_t guard_wake_ms;
    uint64_t guard_timer_ms;             /* When the kernel kills the guard. */
    uint64_t guard_paused_ms;            /* It is stopped until then; 0: it runs. */
    struct deadline_event guard_waiting; /* A renewal that it will find when it goes on. */
    uint64_t kill_due_ms;                /* Every process is gone; 0: nobody kills. */
    uint64_t fenced_told;                /* As told to the owner. */

    /* The daemon's side; forgotten with the daemon. */
    bool attached;
    uint64_t look_ms; /* When the data directory will have been looked at; 0: it is known. */
    uint64_t poll_ms;
    uint64_t measure_ms; /* When the end of WAL is known; 0: nobody looks. */
    bool closely;
    bool was_up;
    bool stop_asked;
    uint64_t seen_start_id;
    struct pg_facts facts;
    struct pg_facts facts_told;
    bool busy;
    struct pg_action action;
    uint32_t step;
    uint64_t step_ms;
    uint64_t begun_ms;
    uint32_t done_count;
    struct pg_action_done dones[4];
};

static inline uint64_t pg_model_lsn(uint64_t count)
{
    return 1000 + PG_MODEL_RECORD_BYTES * count;
}

/* The caller's memory; `weather` and `ops` are borrowed. An empty data directory. */
void pg_model_init(
    struct pg_model *model, const struct pg_model_ops *ops, void *owner,
    const struct pg_model_weather *weather, uint64_t seed, uint64_t now_ms);
void pg_model_deinit(struct pg_model *model);

/* A daemon comes and goes; what runs runs on. */
void pg_model_attach(struct pg_model *model, uint64_t now_ms);
void pg_model_detach(struct pg_model *model);

/* What the daemon asks for, as in local_uv.h. */
void pg_model_start(struct pg_model *model, const struct pg_action *action, uint64_t now_ms);
void pg_model_renew(
    struct pg_model *model, uint64_t epoch, uint64_t fence_at_ms, uint64_t deadline_ms,
    uint64_t now_ms);
void pg_model_watch_closely(struct pg_model *model, bool closely);

/* Time has passed: at the latest at pg_model_wake_ms(). */
void pg_model_tick(struct pg_model *model, uint64_t now_ms);
uint64_t pg_model_wake_ms(const struct pg_model *model);
/* The same while the daemon is stopped: guard and server alone. */
void pg_model_tick_apart(struct pg_model *model, uint64_t now_ms);
uint64_t pg_model_wake_apart_ms(const struct pg_model *model);

/* A session could be told that its commit is done. */
bool pg_model_can_acknowledge(const struct pg_model *model);
/* Some process of a server that was started writable, or is being promoted, is left. */
bool pg_model_has_writable_process(const struct pg_model *model);
/* Writes a record; the id of it, 0 if there is no server to take it. */
uint64_t pg_model_commit(struct pg_model *model);
bool pg_model_contains(const struct pg_model *model, uint64_t at, uint64_t id);
/* One WAL is the beginning of the other. */
bool pg_model_same_history(const struct pg_model *a, const struct pg_model *b);
uint32_t pg_model_timeline(const struct pg_model *model);

/* Faults. */
void pg_model_crash_node(struct pg_model *model, uint64_t now_ms);   /* And power on again. */
void pg_model_crash_server(struct pg_model *model, uint64_t now_ms); /* All processes at once. */
void pg_model_kill_postmaster(struct pg_model *model, uint64_t now_ms);
void pg_model_stick_sql(struct pg_model *model, uint64_t until_ms);
void pg_model_stick_replay(struct pg_model *model, uint64_t until_ms);
void pg_model_spoil(struct pg_model *model, enum pg_model_defect defect, uint64_t until_ms);
/* The guard is stopped, as by SIGSTOP; 0: it goes on. */
void pg_model_pause_guard(struct pg_model *model, uint64_t until_ms);
void pg_model_kill_guard(struct pg_model *model, uint64_t now_ms);
void pg_model_wipe(struct pg_model *model); /* The data directory; nothing runs. */
/* The data directory is another cluster's; nothing runs. */
void pg_model_replace(struct pg_model *model);
/* The data directory is a new copy of that one's; nothing runs. */
void pg_model_copy(struct pg_model *model, const struct pg_model *from);

const char *pg_model_server_name(enum pg_model_server server);

#endif

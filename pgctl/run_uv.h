/*
 * pgctl/run_uv.h - one child program: its output captured, a deadline, its whole group killed.
 *
 * The program runs in a session of its own. What it writes is kept up to a limit, the end of
 * it when there is more. The result comes when the program has ended and its output is read;
 * what its descendants go on writing is not waited for.
 */
#ifndef PGBATON_PGCTL_RUN_UV_H
#define PGBATON_PGCTL_RUN_UV_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/status.h"

#define RUN_ARGS_MAX     96
#define RUN_ENV_MAX      16
#define RUN_STRINGS_SIZE 12288
#define RUN_OUTPUT_SIZE  16384

struct run_spec {
    bool change_user;
    uid_t uid;
    gid_t gid;
    uint64_t limit_ms;    /* Killed after that; 0: no limit. */
    bool inherits_output; /* Output goes where the daemon's goes; nothing is captured. */
    uint32_t arg_count;
    uint32_t env_count;
    uint32_t used;
    bool overflow; /* Something did not fit: run_start() refuses. */
    char *args[RUN_ARGS_MAX + 1];
    char *env[RUN_ENV_MAX + 1]; /* "NAME=value", on top of the daemon's environment. */
    char strings[RUN_STRINGS_SIZE];
};

/* `spec` must not move once something was added. */
void run_spec_init(struct run_spec *spec);
PRINTF(2, 3) void run_spec_arg(struct run_spec *spec, const char *format, ...);
PRINTF(2, 3) void run_spec_env(struct run_spec *spec, const char *format, ...);

/* A command line of the settings: /bin/sh -c "<command> <args...>", args quoted by the shell. */
void run_spec_shell(struct run_spec *spec, const char *command);

struct run_result {
    int exit_code; /* 127 if it could not be started; 128 + signal if one ended it. */
    bool timed_out;
    bool killed;        /* By run_kill(). */
    const char *output; /* Standard output and error, each ended by NUL; valid in the call. */
    const char *errors;
};

bool run_succeeded(const struct run_result *result);

/* The last line of what the program complained about, or how it ended; into a sentence. */
void run_explain(const struct run_result *result, char *text, size_t size);

struct run;

struct run_events {
    void (*line)(void *owner, const char *line); /* Of standard error, as they come; may be NULL. */
    void (*done)(void *owner, const struct run_result *result);
};

/*
 * Starts the program. Always ends in one events->done, never within this call. The run frees
 * itself after it.
 */
struct run *run_start(
    uv_loop_t *loop, const struct run_spec *spec, const struct run_events *events, void *owner);

/* It is killed that much later from now, whatever its limit was. */
void run_limit(struct run *run, uint64_t limit_ms);

/* SIGTERM to the group, SIGKILL a second later. */
void run_kill(struct run *run);

#endif

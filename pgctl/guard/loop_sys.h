/*
 * pgctl/guard/loop_sys.h - the guard at work: it waits for requests, deaths and deadlines.
 */
#ifndef PGBATON_PGCTL_GUARD_LOOP_SYS_H
#define PGBATON_PGCTL_GUARD_LOOP_SYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "pgctl/guard/cgroup_sys.h"
#include "pgctl/guard/deadline.h"
#include "pgctl/guard/link_sys.h"
#include "pgctl/guard/rings_sys.h"
#include "pgctl/guard/server_sys.h"
#include "pgctl/guard/tree_sys.h"
#include "pgctl/guard/watchdog_sys.h"

struct loop_options {
    const char *socket_path;
    uint64_t kill_margin_ms; /* Least time before the end at which the killing begins. */
    bool want_realtime;
    bool want_cgroup;
};

/* All the guard has; about 100 KiB, made once, so that nothing is allocated later. */
struct loop {
    struct deadline core;
    struct server server;
    struct tree tree;
    struct cgroup cgroup;
    struct rings rings;
    struct watchdog watchdog;
    struct link link;
    uint64_t kill_margin_ms;
    uint64_t timed_epoch; /* In whose fence a sweep was timed last. */
    int signal_fd;
    int timer_fd;
    uint64_t timer_fd_ms; /* What it is set to. */
    uint64_t wake_ms;
    bool exit;
    uint32_t tree_count;
    bool swept; /* A sweep that killed has to be reported to the core. */
    struct tree_count sweep;
    /* Who waits for the answer to a start that is under way; serial 0 for nobody. */
    uint64_t starter_serial;
    uint32_t starter_request;
    struct guard_message message; /* In, then out. */
    struct guard_message answer;
    uint8_t bytes[GUARD_BYTES_MAX];
    uint8_t told[1024]; /* The last status that went to all, without its deadline. */
    size_t told_size;
};

/* REFUSED if there is a guard already. */
MUST_CHECK enum status loop_open(
    struct loop *loop, const struct loop_options *options, struct err *err);

/* Until it is told to leave, and nothing of PostgreSQL is left. */
void loop_run(struct loop *loop);

void loop_close(struct loop *loop);

#endif

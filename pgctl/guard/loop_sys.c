/*
 * pgctl/guard/loop_sys.c - turns what happens into events, and carries out what the core decides.
 *
 * In each turn the deadlines come first, then deaths, then requests, then reports. The order in
 * which an update is carried out matters, too: kill before anything else; the kernel's timer and
 * the watchdog before something writable starts.
 */
#include "pgctl/guard/loop_sys.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "pgctl/guard/note_sys.h"

/*
 * Of the length of a sweep that only counts: one that kills takes half as much again, and another
 * one has to see that each process has its signal, also those that were born meanwhile.
 */
#define SWEEPS_SET_ASIDE 3

static void sweep(struct loop *loop, bool kill_all)
{
    tree_sweep(&loop->tree, kill_all, TIME_NEVER, &loop->sweep);
    loop->tree_count = loop->sweep.found;
}

static void kill_tree(struct loop *loop)
{
    if (loop->server.in_cgroup) {
        cgroup_kill(&loop->cgroup);
    }
    sweep(loop, true);
    loop->swept = true;
}

static void carry_out(struct loop *loop, const struct deadline_update *update)
{
    if (update->kill) {
        kill_tree(loop);
    }
    if (update->signal) {
        server_signal(&loop->server, update->signal_mode);
    }
    rings_set_timer(&loop->rings, update->timer_ms);
    if (!update->watchdog) {
        watchdog_close(&loop->watchdog);
    } else if (update->feed) {
        watchdog_feed(&loop->watchdog);
    }
    loop->wake_ms = update->wake_ms;
    loop->exit = update->exit;
}

static void log_change(const struct loop *loop, enum guard_phase before)
{
    const struct deadline *core = &loop->core;

    if (core->phase == before) {
        return;
    }
    if (core->phase == GUARD_PHASE_FENCING) {
        log_error(
            "epoch %llu was not renewed in time: PostgreSQL is stopped",
            (unsigned long long)core->fenced_epoch);
    }
    log_info(
        "phase=%s was=%s epoch=%llu postmaster=%d", guard_phase_name(core->phase),
        guard_phase_name(before), (unsigned long long)core->armed_epoch, (int)loop->server.pid);
}

static enum guard_refusal step(struct loop *loop, struct deadline_event event)
{
    const enum guard_phase before = loop->core.phase;
    struct deadline_update update;

    event.now_ms = clock_boot_ms();
    deadline_step(&loop->core, &event, &update);
    carry_out(loop, &update);
    log_change(loop, before);
    return update.refusal;
}

static void step_tree(struct loop *loop, uint32_t count, bool all_signalled)
{
    loop->tree_count = count;
    (void)step(
        loop, (struct deadline_event){
                  .kind = DEADLINE_EVENT_TREE,
                  .tree_count = count,
                  .all_signalled = all_signalled,
              });
}

static void step_server_gone(struct loop *loop, bool by_signal)
{
    tree_server_gone(&loop->tree);
    (void)step(
        loop, (struct deadline_event){.kind = DEADLINE_EVENT_SERVER_GONE, .by_signal = by_signal});
}

/* Of a stranger's tree nothing tells when its last process is gone, so it is counted. */
static void look_at_adopted(struct loop *loop)
{
    const bool postmaster_gone = loop->server.pid == 0;

    if (postmaster_gone && !loop->swept && loop->core.phase != GUARD_PHASE_IDLE) {
        sweep(loop, false);
        loop->swept = true;
    }
    if (loop->swept) {
        const bool some_left = loop->sweep.found > 0 || !postmaster_gone;

        loop->swept = false;
        step_tree(
            loop, some_left ? loop->sweep.found + (loop->sweep.found == 0) : 0,
            loop->sweep.unsignalled == 0);
    }
}

/* Of our own tree the kernel tells: without a child there is no descendant either. */
static void look_at_own(struct loop *loop)
{
    struct server_reaped reaped;

    server_reap(&loop->server, clock_boot_ms(), &reaped);
    if (reaped.server_gone) {
        step_server_gone(loop, reaped.by_signal);
    }
    if (reaped.none_left) {
        loop->swept = false;
        if (loop->core.phase != GUARD_PHASE_IDLE) {
            step_tree(loop, 0, false);
        }
    } else if (loop->swept) {
        loop->swept = false;
        /* Those that were not found are zombies about to be reaped. */
        step_tree(
            loop, loop->sweep.found > 0 ? loop->sweep.found : 1, loop->sweep.unsignalled == 0);
    }
}

static void look_at_tree(struct loop *loop)
{
    if (loop->core.adopted) {
        look_at_adopted(loop);
    } else {
        look_at_own(loop);
    }
}

static uint32_t present_rings(const struct loop *loop)
{
    uint32_t rings = 0;

    /* The timer ends the guard, which ends a postmaster only if it is the guard's child. */
    if (loop->rings.has_timer && !loop->core.adopted) {
        rings |= GUARD_RING_TIMER;
    }
    /* Before a start: what the next one would have. */
    if (loop->server.pid == 0 ? cgroup_usable(&loop->cgroup) : loop->server.in_cgroup) {
        rings |= GUARD_RING_CGROUP;
    }
    if (loop->watchdog.state == GUARD_WATCHDOG_IS_ARMED) {
        rings |= GUARD_RING_WATCHDOG;
    }
    return rings;
}

/*
 * Once in each fence a sweep is timed, to know when the killing has to begin. At no other time:
 * what counts is the tree as it is now, and while the lease runs nothing holds up the guard. The
 * killing needs the rest of the time; where a third does not suffice, it has to begin at once, and
 * that is what the margin then says.
 */
static void time_sweep(struct loop *loop)
{
    const uint64_t begin_ms = clock_boot_ms();
    struct tree_count count;
    uint64_t took_ms;

    if (loop->core.phase != GUARD_PHASE_FENCING || loop->timed_epoch == loop->core.armed_epoch) {
        return;
    }
    loop->timed_epoch = loop->core.armed_epoch;
    tree_sweep(
        &loop->tree, false, begin_ms + time_since(loop->core.armed.end_ms, begin_ms) / 3, &count);
    took_ms = time_since(clock_boot_ms(), begin_ms);
    log_info("counted=%u sweep_ms=%llu", count.found, (unsigned long long)took_ms);
    deadline_set_kill_margin(&loop->core, loop->kill_margin_ms + SWEEPS_SET_ASIDE * took_ms);
    (void)step(loop, (struct deadline_event){.kind = DEADLINE_EVENT_TICK});
}

static void fill_status(const struct loop *loop, struct guard_message *message)
{
    const struct deadline *core = &loop->core;
    const struct server *server = &loop->server;

    *message = (struct guard_message){.type = GUARD_STATUS};
    message->status = (struct guard_status){
        .guard_pid = (uint32_t)getpid(),
        .server_pid = (uint32_t)server->pid,
        .tree_count = core->phase == GUARD_PHASE_IDLE ? 0 : loop->tree_count,
        .phase = core->phase,
        .adopted = core->adopted,
        .memory_locked = loop->rings.memory_locked,
        .realtime = loop->rings.realtime,
        .rings = present_rings(loop),
        .start_id = server->start_id,
        .armed_epoch = core->armed_epoch,
        .deadline = core->armed,
        .highest_epoch = core->highest_epoch,
        .ended_epoch = core->ended_epoch,
        .fenced_epoch = core->fenced_epoch,
        .fenced_ms = core->fenced_ms,
        .gone_ms = core->gone_ms,
        .exit_known = server->exit_known,
        .exit_status = server->exit_status,
        .exit_ms = server->exit_ms,
        .exit_start_id = server->exit_start_id,
        .watchdog_mode = loop->watchdog.wanted.mode,
        .watchdog_state = loop->watchdog.state,
        .watchdog_timeout_s = loop->watchdog.timeout_s,
    };
    text_copy_cut(
        message->status.watchdog_text, sizeof message->status.watchdog_text, loop->watchdog.text);
}

/* Tells everybody, if there is news; a deadline that moves on is none. */
static void broadcast_status(struct loop *loop)
{
    struct guard_deadline deadline;
    size_t size;

    fill_status(loop, &loop->answer);
    deadline = loop->answer.status.deadline;
    loop->answer.status.deadline = (struct guard_deadline){0};
    size = guard_encode(&loop->answer, loop->bytes);
    ASSERT(size <= sizeof loop->told);
    if (size == loop->told_size && memcmp(loop->told, loop->bytes, size) == 0) {
        return;
    }
    memcpy(loop->told, loop->bytes, size);
    loop->told_size = size;

    loop->answer.status.deadline = deadline;
    size = guard_encode(&loop->answer, loop->bytes);
    for (size_t i = 0; i < LINK_PEERS_MAX; i++) {
        link_send(&loop->link.peers[i], loop->bytes, size);
    }
}

static void send_status(struct loop *loop, struct link_peer *peer, uint32_t request)
{
    fill_status(loop, &loop->answer);
    loop->answer.request = request;
    link_send(peer, loop->bytes, guard_encode(&loop->answer, loop->bytes));
}

/*
 * ACK, or REFUSED with `detail` behind the reason where there is one. What the request has changed
 * is told first, so that the answer finds the daemon with the facts it is about.
 */
static void reply(
    struct loop *loop, struct link_peer *peer, uint32_t request, enum guard_type type,
    enum guard_refusal refusal, const char *detail)
{
    struct text text;

    broadcast_status(loop);
    loop->answer = (struct guard_message){.type = GUARD_ACK, .request = request};
    if (refusal == GUARD_REFUSAL_NONE) {
        loop->answer.ack.request_type = type;
    } else {
        loop->answer.type = GUARD_REFUSED;
        loop->answer.refused.request_type = type;
        loop->answer.refused.refusal = refusal;
        text_init(&text, loop->answer.refused.text, sizeof loop->answer.refused.text);
        text_addf(
            &text, "%s%s%s", guard_refusal_text(refusal), detail[0] != '\0' ? ": " : "", detail);
    }
    link_send(peer, loop->bytes, guard_encode(&loop->answer, loop->bytes));
}

/* Like step(), for requests that make something writable: the watchdog has its say first. */
static enum guard_refusal step_to_writable(struct loop *loop, struct deadline_event event)
{
    enum guard_refusal refusal;

    event.now_ms = clock_boot_ms();
    refusal = deadline_check(&loop->core, &event);
    if (refusal == GUARD_REFUSAL_NONE && !watchdog_open(&loop->watchdog)) {
        return GUARD_REFUSAL_WATCHDOG;
    }
    /* If time ran out meanwhile, this refuses, and closes the watchdog again. */
    return step(loop, event);
}

static enum guard_refusal handle_start(
    struct loop *loop, struct link_peer *peer, struct guard_message *message, struct err *err)
{
    struct guard_start *start = &message->start;
    const struct deadline_event event = {
        .kind = DEADLINE_EVENT_START,
        .epoch = start->epoch,
        .start_mode = start->mode,
        .deadline = start->deadline,
    };
    const enum guard_refusal refusal =
        start->mode == GUARD_START_WRITABLE ? step_to_writable(loop, event) : step(loop, event);

    if (refusal != GUARD_REFUSAL_NONE) {
        return refusal;
    }
    if (server_start(&loop->server, start, &loop->cgroup, err) != STATUS_OK) {
        step_tree(loop, 0, false);
        return GUARD_REFUSAL_EXECUTE;
    }
    tree_own(&loop->tree, loop->server.pid);
    loop->tree_count = 1;
    loop->starter_serial = peer->serial;
    loop->starter_request = message->request;
    return GUARD_REFUSAL_NONE;
}

static enum guard_refusal handle_adopt(
    struct loop *loop, const struct guard_adopt *request, struct err *err)
{
    struct deadline_event event = {.kind = DEADLINE_EVENT_ADOPT, .now_ms = clock_boot_ms()};
    const pid_t pid = (pid_t)request->pid;
    const enum guard_refusal refusal = deadline_check(&loop->core, &event);

    if (refusal != GUARD_REFUSAL_NONE) {
        return refusal;
    }
    if (tree_adopt(&loop->tree, pid, request->data_dir, err) != STATUS_OK ||
        server_adopt(&loop->server, pid, err) != STATUS_OK) {
        return GUARD_REFUSAL_ADOPT;
    }
    (void)step(loop, event); /* What was just checked; nothing in it depends on the time. */
    sweep(loop, false);
    return GUARD_REFUSAL_NONE;
}

static enum guard_refusal handle_promoted(struct loop *loop, const struct guard_promoted *request)
{
    return step_to_writable(
        loop, (struct deadline_event){
                  .kind = DEADLINE_EVENT_PROMOTED,
                  .epoch = request->epoch,
                  .deadline = request->deadline,
              });
}

static enum guard_refusal handle_watchdog(
    struct loop *loop, const struct guard_watchdog *request, struct err *err)
{
    watchdog_configure(&loop->watchdog, request);
    /* A primary that runs already is not stopped for it; whoever asked hears that it failed. */
    if (loop->core.armed_epoch != 0 && !watchdog_open(&loop->watchdog)) {
        ERR(err, REFUSED, "%s", loop->watchdog.text);
        return GUARD_REFUSAL_WATCHDOG;
    }
    return GUARD_REFUSAL_NONE;
}

static enum guard_refusal handle(
    struct loop *loop, struct link_peer *peer, struct guard_message *message, struct err *err)
{
    switch (message->type) {
    case GUARD_START:
        return handle_start(loop, peer, message, err);
    case GUARD_ADOPT:
        return handle_adopt(loop, &message->adopt, err);
    case GUARD_PROMOTED:
        return handle_promoted(loop, &message->promoted);
    case GUARD_WATCHDOG:
        return handle_watchdog(loop, &message->watchdog, err);
    case GUARD_RENEW:
        return step(
            loop, (struct deadline_event){
                      .kind = DEADLINE_EVENT_RENEW,
                      .epoch = message->renew.epoch,
                      .deadline = message->renew.deadline,
                  });
    case GUARD_STOP:
        return step(
            loop,
            (struct deadline_event){.kind = DEADLINE_EVENT_STOP, .stop_mode = message->stop.mode});
    case GUARD_SHUTDOWN:
        return step(loop, (struct deadline_event){.kind = DEADLINE_EVENT_SHUTDOWN});
    case GUARD_NONE:
    case GUARD_HELLO:
    case GUARD_STATUS:
    case GUARD_ACK:
    case GUARD_REFUSED:
        return GUARD_REFUSAL_UNKNOWN;
    }
    UNREACHABLE();
}

static void handle_request(struct loop *loop, struct link_peer *peer, struct guard_message *message)
{
    struct err err = {.text = ""};
    enum guard_refusal refusal;

    if (message->type == GUARD_HELLO) {
        log_info("daemon %u has connected", message->hello.pid);
        send_status(loop, peer, message->request);
        return;
    }
    refusal = handle(loop, peer, message, &err);
    if (refusal == GUARD_REFUSAL_WATCHDOG) {
        ERR(&err, REFUSED, "%s", loop->watchdog.text);
    }
    if (refusal != GUARD_REFUSAL_NONE) {
        log_warning(
            "refused \"%s\": %s %s", guard_type_name(message->type), guard_refusal_text(refusal),
            err.text);
    } else if (message->type == GUARD_START) {
        return; /* Answered when it is known whether the program could be executed. */
    }
    reply(loop, peer, message->request, message->type, refusal, err.text);
}

static void handle_started(struct loop *loop)
{
    struct link_peer *peer = link_find(&loop->link, loop->starter_serial);
    enum guard_refusal refusal = GUARD_REFUSAL_NONE;
    struct err err = {.text = ""};
    enum status result;

    if (!server_read_start(&loop->server, &result, &err)) {
        return;
    }
    if (result != STATUS_OK) {
        refusal = GUARD_REFUSAL_EXECUTE;
        log_error("could not start PostgreSQL: %s", err.text);
    }
    if (peer != NULL) {
        reply(loop, peer, loop->starter_request, GUARD_START, refusal, err.text);
    }
    loop->starter_serial = 0;
}

static void handle_signals(struct loop *loop)
{
    struct signalfd_siginfo info;

    while (read(loop->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTERM) {
            log_warning("told to leave by SIGTERM from process %u", info.ssi_pid);
            (void)step(loop, (struct deadline_event){.kind = DEADLINE_EVENT_LEAVE});
        }
        /* SIGCHLD only had to wake us up; SIGINT and SIGHUP are meant for others. */
    }
}

static void handle_peer(struct loop *loop, struct link_peer *peer)
{
    if (!link_read(peer)) {
        return;
    }
    while (peer->fd != -1 && link_next(peer, &loop->message)) {
        handle_request(loop, peer, &loop->message);
    }
}

static void set_timer_fd(struct loop *loop)
{
    struct itimerspec when = {0};
    int rc;

    if (loop->wake_ms == loop->timer_fd_ms) {
        return;
    }
    if (loop->wake_ms != TIME_NEVER) {
        when.it_value.tv_sec = (time_t)(loop->wake_ms / 1000);
        when.it_value.tv_nsec = (long)(loop->wake_ms % 1000) * 1000000;
    }
    rc = timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    ASSERT(rc == 0); /* It refuses only times that are none. */
    loop->timer_fd_ms = loop->wake_ms;
}

enum {
    POLL_SIGNAL,
    POLL_TIMER,
    POLL_LISTEN,
    POLL_START,
    POLL_ADOPTED,
    POLL_PEERS
};

static void wait_for_something(struct loop *loop, struct pollfd fds[POLL_PEERS + LINK_PEERS_MAX])
{
    const int fixed[POLL_PEERS] = {
        loop->signal_fd,       loop->timer_fd,      loop->link.listen_fd,
        loop->server.start_fd, loop->server.pid_fd,
    };
    int rc;

    for (size_t i = 0; i < POLL_PEERS + LINK_PEERS_MAX; i++) {
        fds[i] = (struct pollfd){
            .fd = i < POLL_PEERS ? fixed[i] : loop->link.peers[i - POLL_PEERS].fd,
            .events = POLLIN,
        };
    }
    set_timer_fd(loop);
    rc = poll(fds, POLL_PEERS + LINK_PEERS_MAX, -1);
    ASSERT(rc != -1 || errno == EINTR);
    if (fds[POLL_TIMER].revents != 0) {
        uint64_t expirations;

        (void)!read(loop->timer_fd, &expirations, sizeof expirations);
        loop->timer_fd_ms = TIME_NEVER;
    }
}

static void turn(struct loop *loop)
{
    struct pollfd fds[POLL_PEERS + LINK_PEERS_MAX];

    wait_for_something(loop, fds);
    (void)step(loop, (struct deadline_event){.kind = DEADLINE_EVENT_TICK});
    if (fds[POLL_SIGNAL].revents != 0) {
        handle_signals(loop);
    }
    if (fds[POLL_START].revents != 0) {
        handle_started(loop);
    }
    if (fds[POLL_ADOPTED].revents != 0) {
        server_adopted_gone(&loop->server);
        step_server_gone(loop, false);
    }
    look_at_tree(loop);
    for (size_t i = 0; i < LINK_PEERS_MAX; i++) {
        if (fds[POLL_PEERS + i].revents != 0) {
            handle_peer(loop, &loop->link.peers[i]);
        }
    }
    if (fds[POLL_LISTEN].revents != 0) {
        link_accept(&loop->link);
    }
    broadcast_status(loop);
    time_sweep(loop);
    note_flush(loop->core.armed_epoch == 0);
}

void loop_run(struct loop *loop)
{
    while (!loop->exit) {
        turn(loop);
    }
    log_info("leaving");
    note_flush(true);
}

static enum status open_fds(struct loop *loop, struct err *err)
{
    sigset_t signals;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGPIPE);
    if (sigprocmask(SIG_SETMASK, &signals, NULL) == -1) {
        return ERR(err, IO, "could not block signals: %s", strerror(errno));
    }
    loop->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->signal_fd == -1 || loop->timer_fd == -1) {
        return ERR(err, IO, "could not watch signals and time: %s", strerror(errno));
    }
    return STATUS_OK;
}

enum status loop_open(struct loop *loop, const struct loop_options *options, struct err *err)
{
    enum status status;

    memset(loop, 0, sizeof *loop); /* Also touches every page before memory is locked. */
    loop->kill_margin_ms = options->kill_margin_ms;
    loop->timer_fd_ms = TIME_NEVER;
    loop->wake_ms = TIME_NEVER;
    loop->cgroup = (struct cgroup){.procs_fd = -1, .kill_fd = -1};
    server_init(&loop->server);
    watchdog_init(&loop->watchdog);
    deadline_init(&loop->core, clock_boot_ms(), options->kill_margin_ms);

    status = link_open(&loop->link, options->socket_path, err);
    if (status == STATUS_OK) {
        status = open_fds(loop, err);
    }
    if (status == STATUS_OK) {
        status = tree_open(&loop->tree, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (options->want_cgroup) {
        cgroup_open(&loop->cgroup);
    }
    rings_open(&loop->rings, options->want_realtime);
    return STATUS_OK;
}

void loop_close(struct loop *loop)
{
    link_close(&loop->link);
    cgroup_close(&loop->cgroup);
}

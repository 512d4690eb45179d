/*
 * tests/io/test_guard.c - the real guard with servers that are harder to end than PostgreSQL.
 *
 * This program is also the server: called with "--server DIR FLAGS" it behaves as the letters in
 * FLAGS say. It writes the number of each of its processes to DIR/pids.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock_sys.h"
#include "base/file_sys.h"
#include "base/text.h"
#include "pgctl/guard_uv.h"
#include "tests/lib/test.h"

#define PATIENCE_MS 10000
#define CROWD       1000
#define PIDS_MAX    16
#define NOBODY      65534

/* --- The server. --- */

static void write_pid(const char *dir)
{
    char path[TEST_PATH_SIZE];
    char line[16];
    const int length = snprintf(line, sizeof line, "%d\n", (int)getpid());
    int fd;

    (void)snprintf(path, sizeof path, "%s/pids", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd == -1 || write(fd, line, (size_t)length) != length) {
        _exit(90);
    }
    (void)close(fd);
}

static void ignore_stops(void)
{
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGQUIT, SIG_IGN);
}

NORETURN static void wait_for_ever(void)
{
    for (;;) {
        (void)pause();
    }
}

/* A backend: like those of PostgreSQL in a session of its own. */
static void fork_backend(const char *dir, bool as_orphan)
{
    const pid_t pid = fork();

    if (pid != 0) {
        if (as_orphan) {
            (void)waitpid(pid, NULL, 0);
        }
        return;
    }
    (void)setsid();
    if (as_orphan && fork() != 0) {
        _exit(0);
    }
    ignore_stops();
    write_pid(dir);
    wait_for_ever();
}

/* Clients in plenty. No test ends without an end to them, so that of the guard need not be right.
 */
static void fork_crowd(void)
{
    for (int i = 0; i < CROWD; i++) {
        const pid_t pid = fork();

        if (pid == 0) {
            (void)alarm(30);
            ignore_stops();
            wait_for_ever();
        }
        if (pid == -1) {
            _exit(93);
        }
    }
}

static const char *line_of_status_of(pid_t pid, const char *name, char *line, size_t size)
{
    char path[64];
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "re");

    while (file != NULL && fgets(line, (int)size, file) != NULL) {
        if (text_starts_with(line, name)) {
            (void)fclose(file);
            line[strcspn(line, "\n")] = '\0';
            return line + strlen(name) + strspn(line + strlen(name), ": \t");
        }
    }
    _exit(91);
}

static const char *line_of_status(const char *name, char *line, size_t size)
{
    return line_of_status_of(getpid(), name, line, size);
}

static uint32_t count_open_fds(void)
{
    uint32_t count = 0;

    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) != -1;
    }
    return count;
}

/* Signals 32 and 33 belong to the C library: nobody can set them back, and some who start tests
 * leave them ignored. */
static const char *without_libc_signals(const char *mask)
{
    static char text[17];

    (void)snprintf(text, sizeof text, "%016llx", strtoull(mask, NULL, 16) & ~(3ULL << 31));
    return text;
}

/* What a program finds that was started by the guard. */
static void write_facts(const char *dir)
{
    char cwd[PATH_MAX];
    char blocked[128];
    char ignored[128];
    char locked[128];
    char ambient[128];
    char path[TEST_PATH_SIZE];
    int death_signal = 0;
    FILE *file;

    (void)prctl(PR_GET_PDEATHSIG, &death_signal);
    (void)snprintf(path, sizeof path, "%s/facts", dir);
    file = fopen(path, "we");
    if (file == NULL || getcwd(cwd, sizeof cwd) == NULL) {
        _exit(92);
    }
    (void)fprintf(
        file,
        "blocked=%s ignored=%s locked=%s ambient=%s policy=%d nice=%d death=%d leader=%d uid=%u "
        "gid=%u "
        "groups=%d fds=%u own=%s password=%s cwd=%s",
        line_of_status("SigBlk", blocked, sizeof blocked),
        without_libc_signals(line_of_status("SigIgn", ignored, sizeof ignored)),
        line_of_status("VmLck", locked, sizeof locked),
        line_of_status("CapAmb", ambient, sizeof ambient), sched_getscheduler(0),
        getpriority(PRIO_PROCESS, 0), death_signal, getsid(0) == getpid(), getuid(), getgid(),
        getgroups(0, NULL), count_open_fds() - 1, getenv("OWN") ? getenv("OWN") : "",
        getenv("PATRONI_PASSWORD") ? "leaked" : "", cwd);
    (void)fclose(file);
}

static volatile sig_atomic_t last_signal;

static void on_signal(int number)
{
    last_signal = number;
}

/*
 * c: three backends; m: a crowd of them; o: an orphan; i: ignores stops; f: reports facts; w:
 * writes a line.
 */
NORETURN static void serve(const char *dir, const char *flags)
{
    sigset_t all;
    sigset_t none;

    (void)sigfillset(&all);
    (void)sigemptyset(&none);
    if (strchr(flags, 'f') != NULL) {
        write_facts(dir);
    }
    if (strchr(flags, 'c') != NULL) {
        fork_backend(dir, false);
        fork_backend(dir, false);
        fork_backend(dir, false);
    }
    if (strchr(flags, 'm') != NULL) {
        fork_crowd();
    }
    if (strchr(flags, 'o') != NULL) {
        fork_backend(dir, true);
    }
    if (strchr(flags, 'w') != NULL) {
        (void)puts("the server speaks");
        (void)fflush(stdout);
    }
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    if (strchr(flags, 'i') != NULL) {
        ignore_stops();
    } else {
        (void)signal(SIGTERM, on_signal);
        (void)signal(SIGINT, on_signal);
        (void)signal(SIGQUIT, on_signal);
    }
    write_pid(dir);
    while (last_signal == 0) {
        (void)sigsuspend(&none);
    }
    _exit(100 + last_signal);
}

/* --- The daemon's side. --- */

struct world {
    char dir[TEST_PATH_SIZE];
    char real_dir[PATH_MAX];
    char socket_path[TEST_PATH_SIZE];
    char guard[PATH_MAX];
    char self[PATH_MAX];
    uv_loop_t loop;
    uv_timer_t ticker;
    struct guard_client client;
    bool open;
    struct guard_status status;
    uint32_t status_count;
    uint32_t up_count;
    uint32_t down_count;
    enum status down_status;
    bool closed;
    bool exited;
    int64_t exit_code;
    int exit_signal;
    uint32_t answered; /* Request of the newest answer. */
    enum guard_refusal refusal;
    char reason[GUARD_TEXT_MAX];
    struct guard_start start;
    uint64_t waiting_until_ms; /* For clock_reached(). */
    uint32_t waiting_request;
    uint32_t waiting_pids;
    pid_t second_pid; /* Of a guard beside the first. */
    int second_status;
    struct err err;
};

static void on_up(void *owner)
{
    ((struct world *)owner)->up_count++;
}

static void on_down(void *owner, const struct err *err)
{
    struct world *world = owner;

    world->down_count++;
    world->down_status = err->status;
}

static void on_status(void *owner, const struct guard_status *status)
{
    struct world *world = owner;

    world->status = *status;
    world->status_count++;
}

static void on_answer(
    void *owner, uint32_t request, enum guard_type type, const struct guard_refused *refused)
{
    struct world *world = owner;

    (void)type;
    world->answered = request;
    world->refusal = refused == NULL ? GUARD_REFUSAL_NONE : refused->refusal;
    text_copy_cut(world->reason, sizeof world->reason, refused == NULL ? "" : refused->text);
}

static void on_exited(void *owner, int64_t exit_code, int term_signal)
{
    struct world *world = owner;

    world->exited = true;
    world->exit_code = exit_code;
    world->exit_signal = term_signal;
}

static void on_closed(void *owner)
{
    ((struct world *)owner)->closed = true;
}

static const struct guard_client_events events = {
    .up = on_up,
    .down = on_down,
    .status = on_status,
    .answer = on_answer,
    .exited = on_exited,
    .closed = on_closed,
};

static void on_tick(uv_timer_t *timer)
{
    (void)timer; /* It only ends uv_run(), so that conditions outside of the loop are seen. */
}

typedef bool condition(struct world *world);

static bool holds_in_time(struct world *world, condition *holds)
{
    const uint64_t limit_ms = clock_boot_ms() + PATIENCE_MS;

    while (!holds(world)) {
        if (clock_boot_ms() > limit_ms) {
            return false;
        }
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    }
    return true;
}

#define wait_for(world, holds) assert_true(holds_in_time((world), (holds)))

static bool is_up(struct world *world)
{
    return guard_client_is_up(&world->client) && world->status_count > 0;
}

static bool is_down(struct world *world)
{
    return !guard_client_is_up(&world->client);
}

static bool is_closed(struct world *world)
{
    return world->closed;
}

static bool has_exited(struct world *world)
{
    return world->exited;
}

static bool is_idle(struct world *world)
{
    return world->status.phase == GUARD_PHASE_IDLE;
}

static bool clock_reached(struct world *world)
{
    return clock_boot_ms() >= world->waiting_until_ms;
}

static bool has_answer(struct world *world)
{
    return world->answered == world->waiting_request;
}

/* Waits for the answer to a request that was sent. */
static enum guard_refusal answer_to(struct world *world, uint32_t request)
{
    assert_int_not_equal(request, 0);
    world->waiting_request = request;
    wait_for(world, has_answer);
    return world->refusal;
}

static void assert_accepted(struct world *world, uint32_t request, int line)
{
    if (answer_to(world, request) != GUARD_REFUSAL_NONE) {
        fail_msg("line %d: refused: %s", line, world->reason);
    }
}

#define accepted(world, request)     assert_accepted((world), (request), __LINE__)
#define refused(world, request, why) assert_int_equal(answer_to((world), (request)), (why))

static uint32_t read_pids(struct world *world, pid_t pids[PIDS_MAX])
{
    char path[TEST_PATH_SIZE];
    char text[512];
    uint32_t count = 0;
    char *at = text;

    test_path(path, world->dir, "pids");
    if (file_read(path, text, sizeof text, NULL, &world->err) != STATUS_OK) {
        return 0;
    }
    while (*at != '\0' && count < PIDS_MAX) {
        pids[count++] = (pid_t)strtol(at, &at, 10);
        at += *at == '\n';
    }
    return count;
}

/* A zombie runs no more; who collects it is another matter. */
static bool is_gone(pid_t pid)
{
    char path[64];
    char text[512];
    struct err err;
    const char *state;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (file_read(path, text, sizeof text, NULL, &err) != STATUS_OK) {
        return true;
    }
    state = strrchr(text, ')');
    return state == NULL || state[2] == 'Z' || state[2] == 'X';
}

static bool all_pids_there(struct world *world)
{
    pid_t pids[PIDS_MAX];

    return read_pids(world, pids) == world->waiting_pids;
}

static void wait_for_pids(struct world *world, uint32_t count)
{
    world->waiting_pids = count;
    wait_for(world, all_pids_there);
}

static bool all_pids_gone(struct world *world)
{
    pid_t pids[PIDS_MAX];
    const uint32_t count = read_pids(world, pids);

    for (uint32_t i = 0; i < count; i++) {
        if (!is_gone(pids[i])) {
            return false;
        }
    }
    return count > 0;
}

static void forget_pids(struct world *world)
{
    char path[TEST_PATH_SIZE];

    test_path(path, world->dir, "pids");
    test_ok(file_remove(path, &world->err), &world->err);
}

static void open_client(struct world *world)
{
    world->closed = false;
    world->status_count = 0;
    test_ok(
        guard_client_open(
            &world->client, &world->loop, world->socket_path, &events, world, &world->err),
        &world->err);
    world->open = true;
}

static void close_client(struct world *world)
{
    guard_client_close(&world->client);
    wait_for(world, is_closed);
    world->open = false;
}

static void spawn_to_kill(struct world *world, bool no_cgroup, uint64_t kill_margin_ms)
{
    const struct guard_spawn how = {
        .program = world->guard,
        .kill_margin_ms = kill_margin_ms,
        .no_cgroup = no_cgroup,
        .out_fd = -1,
        .err_fd = -1,
    };

    world->exited = false;
    test_ok(guard_client_spawn(&world->client, &how, &world->err), &world->err);
    wait_for(world, is_up);
}

static void spawn(struct world *world, bool no_cgroup)
{
    spawn_to_kill(world, no_cgroup, 100);
}

static struct guard_deadline in_ms(uint64_t fence_ms, uint64_t end_ms)
{
    const uint64_t now_ms = clock_boot_ms();

    return (struct guard_deadline){.fence_ms = now_ms + fence_ms, .end_ms = now_ms + end_ms};
}

/* Soon enough to be waited for, late enough for a machine that is busy to get there first. */
static struct guard_deadline soon(void)
{
    return in_ms(1500, 2500);
}

static void make_start(struct world *world, uint64_t epoch, const char *flags)
{
    struct guard_start *start = &world->start;
    char log_path[TEST_PATH_SIZE];

    test_path(log_path, world->dir, "log");
    *start = (struct guard_start){
        .mode = epoch == 0 ? GUARD_START_STANDBY : GUARD_START_WRITABLE, .epoch = epoch};
    assert_true(guard_start_set(start, world->self, world->dir, log_path));
    assert_true(guard_start_add_arg(start, "server"));
    assert_true(guard_start_add_arg(start, "--server"));
    assert_true(guard_start_add_arg(start, world->dir));
    assert_true(guard_start_add_arg(start, flags));
    assert_true(guard_start_add_env(start, "OWN=value"));
}

static uint32_t start_until(
    struct world *world, uint64_t epoch, const char *flags, struct guard_deadline deadline)
{
    make_start(world, epoch, flags);
    world->start.deadline = deadline;
    return guard_client_start(&world->client, &world->start);
}

/* A writable server that nobody will fence during the test. */
static uint32_t start_writable(struct world *world, uint64_t epoch, const char *flags)
{
    return start_until(world, epoch, flags, in_ms(60000, 61000));
}

static uint32_t start_standby(struct world *world, const char *flags)
{
    return start_until(world, 0, flags, (struct guard_deadline){0});
}

static void kill_and_wait(struct world *world)
{
    accepted(world, guard_client_stop(&world->client, GUARD_STOP_KILL));
    wait_for(world, is_idle);
}

/* Where the programs are: told by make, else three folders up from this one. */
static void find_guard(struct world *world)
{
    const char *build = getenv("PGBATON_BUILD");
    char *end;

    assert_true(readlink("/proc/self/exe", world->self, sizeof world->self - 1) > 0);
    (void)snprintf(world->guard, sizeof world->guard, "%s/pgbaton-guard", build ? build : "");
    if (build != NULL) {
        return;
    }
    memcpy(world->guard, world->self, sizeof world->guard);
    for (int up = 0; up < 3; up++) {
        end = strrchr(world->guard, '/');
        assert_non_null(end);
        *end = '\0';
    }
    (void)snprintf(
        world->guard + strlen(world->guard), sizeof world->guard - strlen(world->guard),
        "/pgbaton-guard");
}

static int set_up(void **state)
{
    static struct world world;

    memset(&world, 0, sizeof world);
    find_guard(&world);
    (void)setenv("PATRONI_PASSWORD", "secret", 1);
    test_dir_make(world.dir);
    assert_int_equal(chmod(world.dir, 0777), 0); /* For the server under another user. */
    assert_non_null(realpath(world.dir, world.real_dir));
    test_path(world.socket_path, world.dir, "guard.sock");
    assert_int_equal(uv_loop_init(&world.loop), 0);
    assert_int_equal(uv_timer_init(&world.loop, &world.ticker), 0);
    assert_int_equal(uv_timer_start(&world.ticker, on_tick, 1, 1), 0);
    open_client(&world);
    *state = &world;
    return 0;
}

/* Also after a failed test nothing is left running. */
static int tear_down(void **state)
{
    struct world *world = *state;
    pid_t pids[PIDS_MAX];
    const uint32_t count = read_pids(world, pids);

    if (world->open && is_up(world)) {
        (void)guard_client_stop(&world->client, GUARD_STOP_KILL);
        if (holds_in_time(world, is_idle)) {
            (void)guard_client_shutdown(&world->client);
        }
        (void)holds_in_time(world, is_down);
    }
    if (world->client.process_open && !world->exited) {
        (void)kill(world->client.process.pid, SIGKILL);
        (void)holds_in_time(world, has_exited);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!is_gone(pids[i])) {
            (void)kill(pids[i], SIGKILL);
        }
    }
    if (world->open) {
        close_client(world);
    }
    uv_close((uv_handle_t *)&world->ticker, NULL);
    while (uv_run(&world->loop, UV_RUN_DEFAULT) != 0) {
    }
    assert_int_equal(uv_loop_close(&world->loop), 0);
    test_dir_remove(world->dir);
    return 0;
}

/* --- The tests. --- */

static void test_without_a_guard_the_client_says_so_and_finds_a_later_one(void **state)
{
    struct world *world = *state;

    world->waiting_until_ms = clock_boot_ms() + 120;
    wait_for(world, clock_reached);
    assert_true(world->down_count > 0);
    assert_int_equal(world->down_status, STATUS_NOT_FOUND);
    assert_int_equal(guard_client_stop(&world->client, GUARD_STOP_FAST), 0);
    spawn(world, false);
    assert_int_equal(world->up_count, 1);
    assert_int_equal(world->status.phase, GUARD_PHASE_IDLE);
    assert_int_equal(world->status.server_pid, 0);
    assert_true((world->status.rings & GUARD_RING_TIMER) != 0);
}

static void test_a_server_begins_as_if_started_by_hand(void **state)
{
    struct world *world = *state;
    char path[TEST_PATH_SIZE];
    char want[PATH_MAX + 512];
    char got[PATH_MAX + 512];
    const int forgotten = open("/dev/null", O_RDONLY); /* Not close-on-exec: that is the point. */

    assert_int_not_equal(forgotten, -1);
    spawn(world, false);
    (void)close(forgotten);
    accepted(world, start_writable(world, 5, "fw"));
    wait_for_pids(world, 1);
    test_path(path, world->dir, "facts");
    test_ok(file_read(path, got, sizeof got, NULL, &world->err), &world->err);
    (void)snprintf(
        want, sizeof want,
        "blocked=0000000000000000 ignored=0000000000000000 locked=0 kB "
        "ambient=0000000000000000 policy=0 nice=0 death=9 "
        "leader=1 uid=%u gid=%u groups=%d fds=3 own=value password= cwd=%s",
        getuid(), getgid(), getgroups(0, NULL), world->real_dir);
    assert_string_equal(got, want);

    test_path(path, world->dir, "log");
    test_ok(file_read(path, got, sizeof got, NULL, &world->err), &world->err);
    assert_string_equal(got, "the server speaks\n");
    assert_int_equal(world->status.phase, GUARD_PHASE_ARMED);
    assert_int_equal(world->status.armed_epoch, 5);
    assert_int_equal(world->status.tree_count, 1);
    assert_true(world->status.start_id != 0);
}

static void test_the_guard_keeps_its_capabilities_to_itself(void **state)
{
    struct world *world = *state;
    char path[TEST_PATH_SIZE];
    char ambient[128];
    char got[PATH_MAX + 512];

    if (!test_lend_capability()) {
        skip();
    }
    spawn(world, false);
    assert_int_equal(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), 0);
    assert_string_equal(
        line_of_status_of((pid_t)world->status.guard_pid, "CapAmb", ambient, sizeof ambient),
        "0000000000800000");
    accepted(world, start_standby(world, "f"));
    wait_for_pids(world, 1);
    test_path(path, world->dir, "facts");
    test_ok(file_read(path, got, sizeof got, NULL, &world->err), &world->err);
    assert_non_null(strstr(got, " ambient=0000000000000000 "));
}

static void test_a_server_runs_as_the_user_that_is_named(void **state)
{
    struct world *world = *state;
    char path[TEST_PATH_SIZE];
    char got[PATH_MAX + 512];
    struct stat info;

    if (geteuid() != 0) {
        skip(); /* Only root can become somebody else. */
    }
    spawn(world, false);
    make_start(world, 0, "f");
    world->start.change_user = true;
    world->start.uid = NOBODY;
    world->start.gid = NOBODY;
    world->start.group_count = 1;
    world->start.groups[0] = NOBODY;
    accepted(world, guard_client_start(&world->client, &world->start));
    wait_for_pids(world, 1);
    test_path(path, world->dir, "facts");
    test_ok(file_read(path, got, sizeof got, NULL, &world->err), &world->err);
    assert_non_null(strstr(got, "death=9 leader=1 uid=65534 gid=65534 groups=1 fds=3"));
    test_path(path, world->dir, "log");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_uid, NOBODY);
    assert_int_equal(info.st_mode & 0777, 0600);
}

/* Backends with sessions of their own, an orphan, and nobody listens to signals. */
static void fence_a_stubborn_tree(struct world *world, bool no_cgroup)
{
    struct guard_deadline deadline;

    spawn(world, no_cgroup);
    deadline = soon();
    accepted(world, start_until(world, 5, "cio", deadline));
    wait_for_pids(world, 5);
    wait_for(world, is_idle);
    assert_true(all_pids_gone(world));
    assert_int_equal(world->status.fenced_epoch, 5);
    assert_int_equal(world->status.ended_epoch, 5);
    assert_int_equal(world->status.tree_count, 0);
    assert_true(world->status.fenced_ms >= deadline.fence_ms);
    assert_true(world->status.gone_ms <= deadline.end_ms);
    /* It was given its time to stop by itself. */
    assert_true(world->status.gone_ms > deadline.fence_ms);
    assert_true(world->status.exit_known);
    assert_true(WIFSIGNALED(world->status.exit_status));
    assert_int_equal(WTERMSIG(world->status.exit_status), SIGKILL);
    assert_true(world->status.exit_start_id == world->status.start_id);

    refused(world, guard_client_renew(&world->client, 5, in_ms(1000, 2000)), GUARD_REFUSAL_FENCED);
    refused(world, start_writable(world, 5, ""), GUARD_REFUSAL_EPOCH_ENDED);
    refused(world, start_writable(world, 4, ""), GUARD_REFUSAL_EPOCH_ENDED);
    forget_pids(world);
    accepted(world, start_writable(world, 6, ""));
    wait_for_pids(world, 1);
}

static void test_a_tree_that_ignores_everything_is_gone_by_the_end(void **state)
{
    fence_a_stubborn_tree(*state, true);
}

static void test_the_same_with_a_cgroup_where_there_is_one(void **state)
{
    fence_a_stubborn_tree(*state, false);
}

/*
 * To kill these takes longer than the least margin. A guard that has not sent each of them its
 * SIGKILL by the end is ended there by its own timer, and nobody tells that all is gone.
 */
static void test_a_crowd_that_ignores_everything_has_its_end_in_time(void **state)
{
    struct world *world = *state;

    spawn_to_kill(world, true, 20);
    if (!world->status.realtime) {
        skip(); /* Who has to wait for the processor cannot promise it. */
    }
    accepted(world, start_until(world, 5, "im", in_ms(4000, 5000)));
    wait_for_pids(world, 1);
    wait_for(world, is_idle);
    assert_int_equal(world->status.fenced_epoch, 5);
    assert_int_equal(WTERMSIG(world->status.exit_status), SIGKILL);
}

static bool is_fenced(struct world *world)
{
    return world->status.fenced_epoch == 5;
}

static void test_a_server_that_obeys_is_gone_before_the_killing(void **state)
{
    struct world *world = *state;

    spawn(world, false);
    accepted(world, start_until(world, 5, "", in_ms(500, 60000)));
    wait_for(world, is_fenced);
    wait_for(world, is_idle);
    assert_true(WIFEXITED(world->status.exit_status));
    assert_int_equal(WEXITSTATUS(world->status.exit_status), 100 + SIGQUIT);
}

static void test_renewals_keep_it_alive_until_they_stop(void **state)
{
    struct world *world = *state;
    struct guard_deadline first;
    uint64_t start_id;

    spawn(world, false);
    first = soon();
    accepted(world, start_until(world, 5, "c", first));
    wait_for_pids(world, 4);
    start_id = world->status.start_id;
    while (clock_boot_ms() <= first.end_ms + 500) {
        world->waiting_until_ms = clock_boot_ms() + 80;
        wait_for(world, clock_reached);
        accepted(world, guard_client_renew(&world->client, 5, soon()));
    }
    assert_int_equal(world->status.phase, GUARD_PHASE_ARMED);
    assert_true(world->status.start_id == start_id);
    assert_false(all_pids_gone(world));
    refused(world, guard_client_renew(&world->client, 4, soon()), GUARD_REFUSAL_EPOCH_LOW);
    wait_for(world, is_idle);
    assert_int_equal(world->status.fenced_epoch, 5);
    assert_true(all_pids_gone(world));
}

static void test_a_stopped_guard_is_killed_and_takes_the_postmaster_along(void **state)
{
    struct world *world = *state;
    struct guard_deadline deadline;

    spawn(world, false);
    deadline = soon();
    accepted(world, start_until(world, 5, "i", deadline));
    wait_for_pids(world, 1);
    assert_int_equal(kill((pid_t)world->status.guard_pid, SIGSTOP), 0);
    wait_for(world, has_exited);
    assert_int_equal(world->exit_signal, SIGKILL);
    assert_true(clock_boot_ms() >= deadline.end_ms);
    wait_for(world, all_pids_gone);
    /* Nobody but the kernel had a part in it, so it was not late. */
    assert_true(clock_boot_ms() <= deadline.end_ms + 2000);
}

static void test_a_guard_that_is_killed_takes_the_postmaster_along(void **state)
{
    struct world *world = *state;

    spawn(world, false);
    accepted(world, start_standby(world, "i"));
    wait_for_pids(world, 1);
    assert_int_equal(kill((pid_t)world->status.guard_pid, SIGKILL), 0);
    wait_for(world, all_pids_gone);
    /* The next guard finds the lock free and the old socket in its place. */
    wait_for(world, has_exited);
    world->status_count = 0;
    spawn(world, false);
    assert_int_equal(world->status.phase, GUARD_PHASE_IDLE);
    assert_int_equal(world->status.highest_epoch, 0);
}

static void test_there_is_one_postmaster_and_one_start_per_epoch(void **state)
{
    struct world *world = *state;

    spawn(world, false);
    accepted(world, start_writable(world, 5, "c"));
    wait_for_pids(world, 4);
    refused(world, start_writable(world, 5, ""), GUARD_REFUSAL_TREE_LEFT);
    refused(world, start_writable(world, 6, ""), GUARD_REFUSAL_TREE_LEFT);
    refused(world, start_standby(world, ""), GUARD_REFUSAL_TREE_LEFT);
    refused(world, guard_client_shutdown(&world->client), GUARD_REFUSAL_TREE_LEFT);
    kill_and_wait(world);
    assert_true(all_pids_gone(world));
    refused(world, start_writable(world, 5, ""), GUARD_REFUSAL_EPOCH_ENDED);
    forget_pids(world);
    accepted(world, start_standby(world, ""));
    wait_for_pids(world, 1);
    refused(
        world, guard_client_promoted(&world->client, 5, in_ms(1000, 2000)),
        GUARD_REFUSAL_EPOCH_ENDED);
    accepted(world, guard_client_promoted(&world->client, 6, in_ms(60000, 61000)));
    assert_int_equal(world->status.armed_epoch, 6);
}

static void test_a_killed_postmaster_leaves_no_backend(void **state)
{
    struct world *world = *state;

    spawn(world, true);
    accepted(world, start_writable(world, 5, "co"));
    wait_for_pids(world, 5);
    assert_int_equal(kill((pid_t)world->status.server_pid, SIGKILL), 0);
    wait_for(world, is_idle);
    assert_true(all_pids_gone(world));
    assert_int_equal(WTERMSIG(world->status.exit_status), SIGKILL);
    assert_int_equal(world->status.ended_epoch, 5);
    assert_int_equal(world->status.fenced_epoch, 0);
}

static void test_an_orderly_end_leaves_no_backend_either(void **state)
{
    struct world *world = *state;

    spawn(world, true);
    accepted(world, start_standby(world, "co"));
    wait_for_pids(world, 5);
    accepted(world, guard_client_stop(&world->client, GUARD_STOP_FAST));
    wait_for(world, is_idle);
    assert_true(all_pids_gone(world));
    assert_int_equal(WEXITSTATUS(world->status.exit_status), 100 + SIGINT);
}

static void test_each_way_to_stop_sends_its_signal(void **state)
{
    static const struct {
        enum guard_stop_mode mode;
        int want;
    } cases[] = {
        {GUARD_STOP_SMART,     SIGTERM},
        {GUARD_STOP_FAST,      SIGINT },
        {GUARD_STOP_IMMEDIATE, SIGQUIT},
    };
    struct world *world = *state;

    spawn(world, false);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        accepted(world, start_standby(world, ""));
        wait_for_pids(world, 1);
        accepted(world, guard_client_stop(&world->client, cases[i].mode));
        wait_for(world, is_idle);
        assert_int_equal(WEXITSTATUS(world->status.exit_status), 100 + cases[i].want);
        refused(world, guard_client_stop(&world->client, cases[i].mode), GUARD_REFUSAL_NOT_RUNNING);
        forget_pids(world);
    }
}

static void test_a_program_that_cannot_be_started_is_reported(void **state)
{
    struct world *world = *state;

    spawn(world, false);
    make_start(world, 5, "");
    assert_true(guard_start_set(&world->start, "/no/such/program", "", ""));
    assert_true(guard_start_add_arg(&world->start, "postgres"));
    world->start.deadline = in_ms(60000, 61000);
    refused(world, guard_client_start(&world->client, &world->start), GUARD_REFUSAL_EXECUTE);
    assert_non_null(strstr(world->reason, "could not execute the program: No such file"));
    wait_for(world, is_idle);
    assert_int_equal(world->status.ended_epoch, 5);

    make_start(world, 0, "");
    assert_true(guard_start_set(&world->start, world->self, "/no/such/directory", ""));
    assert_true(guard_start_add_arg(&world->start, "postgres"));
    refused(world, guard_client_start(&world->client, &world->start), GUARD_REFUSAL_EXECUTE);
    assert_non_null(strstr(world->reason, "could not enter the directory"));
    wait_for(world, is_idle);

    make_start(world, 0, "");
    assert_true(guard_start_set(&world->start, world->self, "", "/no/such/log"));
    assert_true(guard_start_add_arg(&world->start, "postgres"));
    refused(world, guard_client_start(&world->client, &world->start), GUARD_REFUSAL_EXECUTE);
    assert_non_null(strstr(world->reason, "could not open the log file"));
}

static void test_a_daemon_that_comes_back_finds_the_same_start(void **state)
{
    struct world *world = *state;
    uint64_t start_id;
    uint32_t server_pid;
    uint32_t guard_pid;

    spawn(world, false);
    accepted(world, start_writable(world, 5, "c"));
    wait_for_pids(world, 4);
    start_id = world->status.start_id;
    server_pid = world->status.server_pid;
    guard_pid = world->status.guard_pid;
    close_client(world);
    memset(&world->status, 0, sizeof world->status);
    open_client(world);
    wait_for(world, is_up);
    assert_true(world->status.start_id == start_id);
    assert_int_equal(world->status.server_pid, server_pid);
    assert_int_equal(world->status.guard_pid, guard_pid);
    assert_int_equal(world->status.armed_epoch, 5);
    accepted(world, guard_client_renew(&world->client, 5, in_ms(70000, 71000)));

    /* The next start is told apart. */
    kill_and_wait(world);
    forget_pids(world);
    accepted(world, start_writable(world, 6, ""));
    assert_true(world->status.start_id != start_id);
    kill_and_wait(world);
    accepted(world, guard_client_shutdown(&world->client));
}

static void test_without_a_daemon_the_deadline_does_its_work(void **state)
{
    struct world *world = *state;
    struct guard_deadline deadline;

    spawn(world, false);
    deadline = soon();
    accepted(world, start_until(world, 5, "ci", deadline));
    wait_for_pids(world, 4);
    close_client(world);
    wait_for(world, all_pids_gone);
    assert_true(clock_boot_ms() >= deadline.fence_ms);
    open_client(world);
    wait_for(world, is_up);
    wait_for(world, is_idle);
    assert_int_equal(world->status.fenced_epoch, 5);
    assert_true(world->status.gone_ms <= deadline.end_ms);
    accepted(world, guard_client_shutdown(&world->client));
}

static bool second_has_exited(struct world *world)
{
    return waitpid(world->second_pid, &world->second_status, WNOHANG) == world->second_pid;
}

static void test_a_second_guard_is_refused(void **state)
{
    struct world *world = *state;
    char option[TEST_PATH_SIZE + 16];

    spawn(world, false);
    (void)snprintf(option, sizeof option, "--socket=%s", world->socket_path);
    world->second_pid = fork();
    assert_int_not_equal(world->second_pid, -1);
    if (world->second_pid == 0) {
        (void)execl(world->guard, world->guard, option, (char *)NULL);
        _exit(127);
    }
    if (!holds_in_time(world, second_has_exited)) {
        (void)kill(world->second_pid, SIGKILL);
        fail_msg("the second guard runs on");
    }
    assert_int_equal(WEXITSTATUS(world->second_status), 3);
    /* The first one still has its socket. */
    close_client(world);
    open_client(world);
    wait_for(world, is_up);
    accepted(world, guard_client_shutdown(&world->client));
}

static void test_sigterm_stops_the_server_then_the_guard(void **state)
{
    struct world *world = *state;

    spawn(world, false);
    accepted(world, start_writable(world, 5, "c"));
    wait_for_pids(world, 4);
    assert_int_equal(kill((pid_t)world->status.guard_pid, SIGTERM), 0);
    wait_for(world, has_exited);
    assert_int_equal(world->exit_code, 0);
    assert_int_equal(world->exit_signal, 0);
    assert_true(all_pids_gone(world));
    assert_false(file_exists(world->socket_path));
}

static void test_nonsense_costs_only_the_one_who_talks_it(void **state)
{
    struct world *world = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char nonsense[64];
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    spawn(world, false);
    memset(nonsense, 'x', sizeof nonsense);
    assert_true(text_copy(address.sun_path, sizeof address.sun_path, world->socket_path));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, nonsense, sizeof nonsense, MSG_NOSIGNAL), sizeof nonsense);
    assert_int_equal(recv(fd, nonsense, sizeof nonsense, 0), 0); /* Closed by the guard. */
    (void)close(fd);
    accepted(world, start_standby(world, ""));
}

/* What has come out of the FIFO so far. */
static bool fifo_says(int fd, char *said, size_t size, const char *want)
{
    const size_t length = strlen(said);
    const ssize_t count = read(fd, said + length, size - 1 - length);

    if (count > 0) {
        said[length + (size_t)count] = '\0';
    }
    return text_equal(said, want);
}

static void wait_for_fifo(struct world *world, int fd, const char *want)
{
    const uint64_t limit_ms = clock_boot_ms() + PATIENCE_MS;
    char said[128] = "";

    while (!fifo_says(fd, said, sizeof said, want)) {
        if (clock_boot_ms() > limit_ms) {
            fail_msg("the watchdog was told \"%s\", not \"%s\"", said, want);
        }
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    }
}

static struct guard_watchdog make_watchdog(struct world *world, enum guard_watchdog_mode mode)
{
    struct guard_watchdog watchdog = {
        .mode = mode, .driver = GUARD_WATCHDOG_TESTING, .timeout_s = 7};
    char path[TEST_PATH_SIZE];

    test_path(path, world->dir, "watchdog");
    assert_true(text_copy(watchdog.device, sizeof watchdog.device, path));
    return watchdog;
}

static void test_the_watchdog_is_fed_by_the_lease_and_closed_at_the_end(void **state)
{
    struct world *world = *state;
    struct guard_watchdog watchdog = make_watchdog(world, GUARD_WATCHDOG_REQUIRED);
    int fd;

    spawn(world, false);
    assert_int_equal(mkfifo(watchdog.device, 0600), 0);
    fd = open(watchdog.device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_int_not_equal(fd, -1);
    accepted(world, guard_client_watchdog(&world->client, &watchdog));
    accepted(world, start_standby(world, "ci"));
    wait_for_pids(world, 4);
    assert_int_equal(world->status.watchdog_state, GUARD_WATCHDOG_IS_OFF);

    accepted(world, guard_client_promoted(&world->client, 5, in_ms(60000, 61000)));
    wait_for_fifo(world, fd, "Ctimeout=7\n1");
    assert_int_equal(world->status.watchdog_state, GUARD_WATCHDOG_IS_ARMED);
    assert_int_equal(world->status.watchdog_timeout_s, 7);
    assert_true((world->status.rings & GUARD_RING_WATCHDOG) != 0);

    accepted(world, guard_client_renew(&world->client, 5, in_ms(60000, 61000)));
    wait_for_fifo(world, fd, "1");
    refused(world, guard_client_renew(&world->client, 4, in_ms(500, 700)), GUARD_REFUSAL_EPOCH_LOW);
    watchdog.timeout_s = 9; /* Applied at once or with the next renewal. */
    accepted(world, guard_client_watchdog(&world->client, &watchdog));
    accepted(world, guard_client_renew(&world->client, 5, in_ms(60000, 61000)));
    wait_for_fifo(world, fd, "Ctimeout=9\n1");

    kill_and_wait(world);
    wait_for_fifo(world, fd, "V");
    assert_true(all_pids_gone(world));
    assert_int_equal(world->status.watchdog_state, GUARD_WATCHDOG_IS_OFF);
    (void)close(fd);
}

static void test_a_required_watchdog_that_is_not_there_forbids_to_write(void **state)
{
    struct world *world = *state;
    struct guard_watchdog watchdog = make_watchdog(world, GUARD_WATCHDOG_REQUIRED);

    spawn(world, false);
    accepted(world, guard_client_watchdog(&world->client, &watchdog));
    refused(world, start_writable(world, 5, ""), GUARD_REFUSAL_WATCHDOG);
    assert_non_null(strstr(world->reason, "could not open"));
    assert_int_equal(world->status.highest_epoch, 0); /* The epoch was not spent. */
    accepted(world, start_standby(world, ""));
    refused(
        world, guard_client_promoted(&world->client, 5, in_ms(60000, 61000)),
        GUARD_REFUSAL_WATCHDOG);
    assert_int_equal(world->status.armed_epoch, 0);

    watchdog.mode = GUARD_WATCHDOG_AUTOMATIC;
    accepted(world, guard_client_watchdog(&world->client, &watchdog));
    accepted(world, guard_client_promoted(&world->client, 5, in_ms(60000, 61000)));
    assert_int_equal(world->status.watchdog_state, GUARD_WATCHDOG_IS_FAILED);
    assert_non_null(strstr(world->status.watchdog_text, "could not open"));

    watchdog.mode = GUARD_WATCHDOG_OFF;
    accepted(world, guard_client_watchdog(&world->client, &watchdog));
    accepted(world, guard_client_renew(&world->client, 5, in_ms(60000, 61000)));
    assert_int_equal(world->status.watchdog_state, GUARD_WATCHDOG_IS_OFF);
}

/* A server that somebody else started, as Patroni would have. */
static pid_t start_stranger(struct world *world, const char *flags)
{
    const pid_t pid = fork();

    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        if (chdir(world->dir) == 0) {
            (void)execl(world->self, "server", "--server", world->dir, flags, (char *)NULL);
        }
        _exit(127);
    }
    return pid;
}

static struct guard_adopt make_adopt(struct world *world, pid_t pid)
{
    struct guard_adopt adopt = {.pid = (uint32_t)pid};

    assert_true(text_copy(adopt.data_dir, sizeof adopt.data_dir, world->real_dir));
    return adopt;
}

static void test_an_adopted_server_is_fenced_with_all_its_backends(void **state)
{
    struct world *world = *state;
    const pid_t pid = start_stranger(world, "cio");
    const struct guard_adopt adopt = make_adopt(world, pid);
    struct guard_deadline deadline;

    spawn(world, false);
    wait_for_pids(world, 5);
    accepted(world, guard_client_adopt(&world->client, &adopt));
    assert_true(world->status.adopted);
    assert_int_equal(world->status.server_pid, pid);
    assert_int_equal(world->status.tree_count, 5);
    assert_int_equal(world->status.phase, GUARD_PHASE_STANDBY);
    assert_int_equal(world->status.rings & (GUARD_RING_TIMER | GUARD_RING_CGROUP), 0);
    assert_true(world->status.start_id != 0);
    refused(world, guard_client_adopt(&world->client, &adopt), GUARD_REFUSAL_TREE_LEFT);
    refused(world, start_standby(world, ""), GUARD_REFUSAL_TREE_LEFT);

    deadline = soon();
    accepted(world, guard_client_promoted(&world->client, 5, deadline));
    wait_for(world, is_idle);
    assert_true(all_pids_gone(world));
    assert_true(world->status.gone_ms <= deadline.end_ms);
    assert_false(world->status.adopted);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_an_adopted_server_that_is_killed_leaves_no_backend(void **state)
{
    struct world *world = *state;
    const pid_t pid = start_stranger(world, "co");
    const struct guard_adopt adopt = make_adopt(world, pid);

    spawn(world, false);
    wait_for_pids(world, 5);
    accepted(world, guard_client_adopt(&world->client, &adopt));
    assert_int_equal(kill(pid, SIGKILL), 0);
    wait_for(world, is_idle);
    assert_true(all_pids_gone(world));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_only_a_server_of_that_directory_is_adopted(void **state)
{
    struct world *world = *state;
    const pid_t pid = start_stranger(world, "");
    struct guard_adopt adopt = make_adopt(world, pid);

    spawn(world, false);
    wait_for_pids(world, 1);
    assert_true(text_copy(adopt.data_dir, sizeof adopt.data_dir, "/somewhere/else"));
    refused(world, guard_client_adopt(&world->client, &adopt), GUARD_REFUSAL_ADOPT);
    assert_non_null(strstr(world->reason, "not in \"/somewhere/else\""));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    adopt = make_adopt(world, pid);
    refused(world, guard_client_adopt(&world->client, &adopt), GUARD_REFUSAL_ADOPT);
    adopt = make_adopt(world, 1);
    refused(world, guard_client_adopt(&world->client, &adopt), GUARD_REFUSAL_ADOPT);
    assert_int_equal(world->status.phase, GUARD_PHASE_IDLE);
}

static void test_a_path_too_long_for_a_socket_is_refused(void **state)
{
    struct world *world = *state;
    struct guard_client other;
    char path[200];

    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    assert_int_equal(
        guard_client_open(&other, &world->loop, path, &events, world, &world->err), STATUS_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_without_a_guard_the_client_says_so_and_finds_a_later_one),
        TEST(test_a_server_begins_as_if_started_by_hand),
        TEST(test_the_guard_keeps_its_capabilities_to_itself),
        TEST(test_a_server_runs_as_the_user_that_is_named),
        TEST(test_a_tree_that_ignores_everything_is_gone_by_the_end),
        TEST(test_the_same_with_a_cgroup_where_there_is_one),
        TEST(test_a_crowd_that_ignores_everything_has_its_end_in_time),
        TEST(test_a_server_that_obeys_is_gone_before_the_killing),
        TEST(test_renewals_keep_it_alive_until_they_stop),
        TEST(test_a_stopped_guard_is_killed_and_takes_the_postmaster_along),
        TEST(test_a_guard_that_is_killed_takes_the_postmaster_along),
        TEST(test_there_is_one_postmaster_and_one_start_per_epoch),
        TEST(test_a_killed_postmaster_leaves_no_backend),
        TEST(test_an_orderly_end_leaves_no_backend_either),
        TEST(test_each_way_to_stop_sends_its_signal),
        TEST(test_a_program_that_cannot_be_started_is_reported),
        TEST(test_a_daemon_that_comes_back_finds_the_same_start),
        TEST(test_without_a_daemon_the_deadline_does_its_work),
        TEST(test_a_second_guard_is_refused),
        TEST(test_sigterm_stops_the_server_then_the_guard),
        TEST(test_nonsense_costs_only_the_one_who_talks_it),
        TEST(test_the_watchdog_is_fed_by_the_lease_and_closed_at_the_end),
        TEST(test_a_required_watchdog_that_is_not_there_forbids_to_write),
        TEST(test_an_adopted_server_is_fenced_with_all_its_backends),
        TEST(test_an_adopted_server_that_is_killed_leaves_no_backend),
        TEST(test_only_a_server_of_that_directory_is_adopted),
        TEST(test_a_path_too_long_for_a_socket_is_refused),
    };

    if (argc == 4 && text_equal(argv[1], "--server")) {
        serve(argv[2], argv[3]);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

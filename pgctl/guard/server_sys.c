/*
 * pgctl/guard/server_sys.c - fork, and what happens between it and exec.
 *
 * The child reports a step that failed through a pipe that exec closes, so that the end of the
 * pipe without a report means that the program runs. The guard never waits for it: a log file or
 * a directory on a disk that hangs stops the child only.
 */
#include "pgctl/guard/server_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock_sys.h"

#define EXIT_NOT_STARTED 127

/* Steps on the way to the program, as the child reports them. */
#define STEP_MAP(X)                            \
    X(CGROUP, "enter the cgroup")              \
    X(SESSION, "begin a session")              \
    X(SCHEDULING, "return to normal priority") \
    X(USER, "change the user")                 \
    X(CAPABILITIES, "give up capabilities")    \
    X(PARENT, "be killed with the guard")      \
    X(DIRECTORY, "enter the directory")        \
    X(LOG, "open the log file")                \
    X(PROGRAM, "execute the program")

enum step {
#define X(code, text) STEP_##code,
    STEP_MAP(X)
#undef X
};

static const char *const step_texts[] = {
#define X(code, text) [STEP_##code] = (text),
    STEP_MAP(X)
#undef X
};

struct report {
    enum step step;
    int cause;
};

void server_init(struct server *server)
{
    *server = (struct server){.pid_fd = -1, .start_fd = -1};
}

static void close_fd(int *fd)
{
    if (*fd != -1) {
        (void)close(*fd);
        *fd = -1;
    }
}

/* In the child, like all that follow down to run(). */
static void tell(int fd, enum step step)
{
    const struct report report = {.step = step, .cause = errno};

    if (write(fd, &report, sizeof report) != (ssize_t)sizeof report) {
        _exit(EXIT_NOT_STARTED); /* The guard is gone, or will read the exit status. */
    }
}

NORETURN static void fail(int fd, enum step step)
{
    tell(fd, step);
    _exit(EXIT_NOT_STARTED);
}

static void reset_signals(void)
{
    const struct sigaction act = {.sa_handler = SIG_DFL};
    sigset_t none;

    /* Refused for a few numbers, SIGKILL and SIGSTOP among them, which cannot be changed anyway. */
    for (int number = 1; number < NSIG; number++) {
        (void)sigaction(number, &act, NULL);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Scheduling has been reset by fork where it was asked for so; this makes it certain. */
static bool reset_scheduling(void)
{
    const struct sched_param normal = {0};
    int fd;

    if (sched_setscheduler(0, SCHED_OTHER, &normal) == -1) {
        return false;
    }
    if (getpriority(PRIO_PROCESS, 0) < 0 && setpriority(PRIO_PROCESS, 0, 0) == -1) {
        return false;
    }
    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd != -1) {
        /* Where it is not permitted, the guard could not lower its own either. */
        (void)!write(fd, "0", 1);
        (void)close(fd);
    }
    return true;
}

static bool change_user(const struct guard_start *start)
{
    gid_t groups[GUARD_GROUPS_MAX];

    if (!start->change_user) {
        return true;
    }
    for (uint32_t i = 0; i < start->group_count; i++) {
        groups[i] = (gid_t)start->groups[i];
    }
    /* Not root, but already who we shall be: there is nothing to change, nor the right to. */
    if (geteuid() != 0 && geteuid() == (uid_t)start->uid && getegid() == (gid_t)start->gid) {
        return true;
    }
    return setgroups(start->group_count, groups) == 0 &&
           setresgid((gid_t)start->gid, (gid_t)start->gid, (gid_t)start->gid) == 0 &&
           setresuid((uid_t)start->uid, (uid_t)start->uid, (uid_t)start->uid) == 0;
}

/* After the change of user, which would clear it; then make sure the guard had not died before. */
static bool die_with_guard(pid_t guard_pid)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1) {
        return false;
    }
    if (getppid() != guard_pid) {
        errno = ESRCH;
        return false;
    }
    return true;
}

/* stdin from nowhere; stdout and stderr into the log, if one is named. */
static bool open_outputs(const char *log_path)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (fd == -1 || dup2(fd, STDIN_FILENO) == -1) {
        return false;
    }
    if (log_path[0] == '\0') {
        return true;
    }
    fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
    return fd != -1 && dup2(fd, STDOUT_FILENO) != -1 && dup2(fd, STDERR_FILENO) != -1;
}

static void set_environment(char *const *pairs)
{
    for (; *pairs != NULL; pairs++) {
        (void)putenv(*pairs); /* Refuses nothing but a lack of memory; exec would fail of that. */
    }
}

NORETURN static void run(
    struct guard_start *start, const struct cgroup *cgroup, pid_t guard_pid, int report_fd)
{
    struct guard_start_view view;

    guard_start_view(start, &view);
    if (cgroup_usable(cgroup) && !cgroup_enter(cgroup)) {
        tell(report_fd, STEP_CGROUP); /* Not fatal, but the status must not claim this ring. */
    }
    reset_signals();
    if (setsid() == -1) {
        fail(report_fd, STEP_SESSION);
    }
    if (!reset_scheduling()) {
        fail(report_fd, STEP_SCHEDULING);
    }
    if (!change_user(start)) {
        fail(report_fd, STEP_USER);
    }
    /* They are the guard's; with them PostgreSQL could pass over the limits of its user. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1) {
        fail(report_fd, STEP_CAPABILITIES);
    }
    if (!die_with_guard(guard_pid)) {
        fail(report_fd, STEP_PARENT);
    }
    if (view.cwd[0] != '\0' && chdir(view.cwd) == -1) {
        fail(report_fd, STEP_DIRECTORY);
    }
    if (!open_outputs(view.log_path)) {
        fail(report_fd, STEP_LOG);
    }
    set_environment(view.env);
    (void)execv(view.program, view.argv);
    fail(report_fd, STEP_PROGRAM);
}

enum status server_start(
    struct server *server, struct guard_start *start, const struct cgroup *cgroup, struct err *err)
{
    const pid_t guard_pid = getpid();
    int pipe_fds[2];
    pid_t pid;

    ASSERT(server->pid == 0);
    if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) == -1) {
        return ERR(err, IO, "could not make a pipe: %s", strerror(errno));
    }
    pid = fork();
    if (pid == -1) {
        const int cause = errno;

        (void)close(pipe_fds[0]);
        (void)close(pipe_fds[1]);
        return ERR(err, IO, "could not fork: %s", strerror(cause));
    }
    if (pid == 0) {
        run(start, cgroup, guard_pid, pipe_fds[1]);
    }
    (void)close(pipe_fds[1]);
    close_fd(&server->start_fd);
    server->start_fd = pipe_fds[0];
    server->pid = pid;
    server->adopted = false;
    server->in_cgroup = cgroup_usable(cgroup);
    server->start_id = clock_random_u64();
    return STATUS_OK;
}

bool server_read_start(struct server *server, enum status *result, struct err *err)
{
    struct report report;
    ssize_t count;

    while ((count = read(server->start_fd, &report, sizeof report)) == (ssize_t)sizeof report) {
        if (report.step == STEP_CGROUP) {
            server->in_cgroup = false;
            continue;
        }
        close_fd(&server->start_fd);
        *result = ERR(err, IO, "could not %s: %s", step_texts[report.step], strerror(report.cause));
        return true;
    }
    if (count == -1 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    close_fd(&server->start_fd);
    *result = STATUS_OK;
    return true;
}

enum status server_adopt(struct server *server, pid_t pid, struct err *err)
{
    ASSERT(server->pid == 0);
    server->pid_fd = pidfd_open(pid, 0);
    if (server->pid_fd == -1) {
        return ERR(err, IO, "could not watch process %d: %s", (int)pid, strerror(errno));
    }
    (void)fcntl(server->pid_fd, F_SETFD, FD_CLOEXEC); /* It is set already, says pidfd_open(2). */
    server->pid = pid;
    server->adopted = true;
    server->in_cgroup = false;
    server->start_id = clock_random_u64();
    return STATUS_OK;
}

void server_signal(const struct server *server, enum guard_stop_mode mode)
{
    static const int signals[] = {
        [GUARD_STOP_SMART] = SIGTERM,
        [GUARD_STOP_FAST] = SIGINT,
        [GUARD_STOP_IMMEDIATE] = SIGQUIT,
        [GUARD_STOP_KILL] = SIGKILL,
    };

    if (server->pid == 0) {
        return;
    }
    /* A failure means that it is gone, which is reported by other ways. */
    if (server->adopted) {
        (void)pidfd_send_signal(server->pid_fd, signals[mode], NULL, 0);
    } else {
        (void)kill(server->pid, signals[mode]);
    }
}

void server_reap(struct server *server, uint64_t now_ms, struct server_reaped *reaped)
{
    int exit_status;
    pid_t pid;

    *reaped = (struct server_reaped){0};
    while ((pid = waitpid(-1, &exit_status, WNOHANG)) > 0) {
        if (server->adopted || pid != server->pid) {
            continue; /* An orphan that came to us. */
        }
        reaped->server_gone = true;
        reaped->by_signal = WIFSIGNALED(exit_status);
        server->pid = 0;
        server->exit_known = true;
        server->exit_status = exit_status;
        server->exit_ms = now_ms;
        server->exit_start_id = server->start_id;
    }
    reaped->none_left = pid == -1 && errno == ECHILD;
}

void server_adopted_gone(struct server *server)
{
    close_fd(&server->pid_fd);
    server->pid = 0;
}

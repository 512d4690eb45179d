#include "pgctl/proc_sys.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock_sys.h"
#include "base/file_sys.h"
#include "base/text.h"

#define STAT_LIMIT_BYTES        ((size_t)4 * 1024)
#define CHILDREN_LIMIT_BYTES    ((size_t)256 * 1024)
#define CONNECTIONS_LIMIT_BYTES ((size_t)4 * 1024 * 1024)

/* With which all processes of PostgreSQL but the postmaster say who they are. */
#define TITLE_PREFIX "postgres: "

/* The kernel's list of children, blank between pids; the caller frees it. NULL: no process. */
static char *read_children(pid_t pid)
{
    char path[64];
    char *list = NULL;
    struct err err;

    (void)snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)pid, (long)pid);
    if (file_read_alloc(path, CHILDREN_LIMIT_BYTES, &list, NULL, &err) != STATUS_OK) {
        return NULL;
    }
    return list;
}

static bool read_title(pid_t pid, char title[PROC_TITLE_SIZE])
{
    char path[64];
    char *line = NULL;
    struct err err;
    bool found;

    (void)snprintf(path, sizeof path, "/proc/%ld/cmdline", (long)pid);
    found = file_read_alloc(path, CHILDREN_LIMIT_BYTES, &line, NULL, &err) == STATUS_OK;
    text_copy_cut(title, PROC_TITLE_SIZE, found ? line : "");
    free(line);
    return found;
}

bool proc_is_stopped(pid_t pid)
{
    char path[64];
    char *line = NULL;
    const char *state = NULL;
    struct err err;
    bool stopped;

    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    if (file_read_alloc(path, STAT_LIMIT_BYTES, &line, NULL, &err) == STATUS_OK) {
        state = strrchr(line, ')'); /* "pid (name) state ...", and the name is anything. */
    }
    stopped = state != NULL && (text_starts_with(state, ") T") || text_starts_with(state, ") t"));
    free(line);
    return stopped;
}

/* "postgres: cluster: kind what it does" or "postgres: kind ...". */
static bool is_kind(const char *title, const char *kind)
{
    const size_t length = strlen(kind);
    const char *found = title;

    if (!text_starts_with(title, TITLE_PREFIX)) {
        return false;
    }
    while ((found = strstr(found, kind)) != NULL) {
        const bool begins = found[-1] == ' ';
        const bool ends = found[length] == ' ' || found[length] == '\0';

        /* A session's title has a database name there; its backend is never that alone. */
        if (begins && ends && found[-2] == ':') {
            return true;
        }
        found++;
    }
    return false;
}

/* The next child of that kind in the list, which is moved on behind it; 0: there is none. */
static pid_t next_of_kind(const char **list, const char *kind, char title[PROC_TITLE_SIZE])
{
    while (**list != '\0') {
        char *rest;
        const long pid = strtol(*list, &rest, 10);

        if (rest == *list) {
            break;
        }
        *list = rest + strspn(rest, " ");
        if (read_title((pid_t)pid, title) && is_kind(title, kind)) {
            return (pid_t)pid;
        }
    }
    return 0;
}

pid_t proc_find_child(pid_t parent, const char *kind, char title[PROC_TITLE_SIZE])
{
    char *list = read_children(parent);
    const char *at = list;
    char own_title[PROC_TITLE_SIZE];
    const pid_t found = list == NULL ? 0 : next_of_kind(&at, kind, own_title);

    free(list);
    if (title != NULL) {
        text_copy_cut(title, PROC_TITLE_SIZE, found != 0 ? own_title : "");
    }
    return found;
}

void proc_each_child(pid_t parent, const char *kind, proc_visit *visit, void *context)
{
    char *list = read_children(parent);
    const char *at = list;
    char title[PROC_TITLE_SIZE];
    pid_t pid;

    while (list != NULL && (pid = next_of_kind(&at, kind, title)) != 0) {
        visit(context, pid, title);
    }
    free(list);
}

/* Adds the lines of one of the kernel's lists of connections. */
static void hash_unsent(const char *list, uint16_t port, uint32_t *hash)
{
    for (const char *line = list; line != NULL; line = strchr(line, '\n')) {
        unsigned local_port;
        unsigned remote_port;
        unsigned unsent;

        line += *line == '\n';
        /* "0: 0100007F:1538 0100007F:A2C4 01 0000A2F0:00000000 ...": addresses, state, bytes. */
        if (sscanf(
                line, " %*u: %*[0-9A-F]:%x %*[0-9A-F]:%x %*x %x:", &local_port, &remote_port,
                &unsent) == 3 &&
            local_port == port && remote_port != 0 && unsent != 0) {
            *hash = (*hash * 31 + remote_port) * 31 + unsent;
        }
    }
}

uint32_t proc_hash_unsent(pid_t pid, uint16_t port)
{
    static const char *const names[] = {"tcp", "tcp6"};
    uint32_t hash = 0;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char path[64];
        char *list = NULL;
        struct err err;

        (void)snprintf(path, sizeof path, "/proc/%ld/net/%s", (long)pid, names[i]);
        if (file_read_alloc(path, CONNECTIONS_LIMIT_BYTES, &list, NULL, &err) == STATUS_OK) {
            hash_unsent(list, port, &hash);
        }
        free(list);
    }
    return hash;
}

bool proc_has_children(pid_t pid)
{
    char *list = read_children(pid);
    const bool has = list != NULL && list[strspn(list, " ")] != '\0';

    free(list);
    return has;
}

bool proc_signal(pid_t pid, int signal_number)
{
    /* To the kernel 0 is our own process group, and less than that are others. */
    return pid > 0 && (kill(pid, signal_number) == 0 || errno != ESRCH);
}

/* The kernel has fewer, and says so of the rest. */
#define CAPABILITIES_MAX 64

uint64_t proc_keep_capabilities(void)
{
    uint64_t kept = 0;

    for (unsigned i = 0; i < CAPABILITIES_MAX; i++) {
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1) {
            kept |= UINT64_C(1) << i;
        }
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* Of its own: never refused. */
    return kept;
}

void proc_lend_capabilities(uint64_t kept)
{
    for (unsigned i = 0; i < CAPABILITIES_MAX; i++) {
        if ((kept & UINT64_C(1) << i) != 0) {
            (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0); /* It was just there. */
        }
    }
}

bool proc_read_link(pid_t pid, const char *name, char target[PATH_MAX])
{
    static const char deleted[] = " (deleted)"; /* So does the kernel mark what was replaced. */
    char path[64];
    ssize_t length;

    (void)snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    length = readlink(path, target, PATH_MAX - 1);
    if (length <= 0) {
        return false;
    }
    target[length] = '\0';
    if (text_ends_with(target, deleted)) {
        target[(size_t)length - (sizeof deleted - 1)] = '\0';
    }
    return true;
}

/*
 * A backend has PostgreSQL's title, whatever its program is called and wherever a link or a wrapper
 * of that name leads. One that was born a moment ago has still that of its postmaster.
 */
static bool is_of_server(pid_t pid, const char *program)
{
    char title[PROC_TITLE_SIZE];
    char target[PATH_MAX];
    const char *name;

    if (read_title(pid, title) && text_starts_with(title, TITLE_PREFIX)) {
        return true;
    }
    name = proc_read_link(pid, "exe", target) ? strrchr(target, '/') : NULL;
    return name != NULL && text_equal(&name[1], program);
}

static bool runs_in(pid_t pid, const char *dir)
{
    char target[PATH_MAX];

    return proc_read_link(pid, "cwd", target) && text_equal(target, dir);
}

/* How many there were; each has been sent SIGKILL. */
static unsigned kill_all(const char *dir, const char *program)
{
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    unsigned count = 0;

    while (processes != NULL && (entry = readdir(processes)) != NULL) {
        const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid > 1 && runs_in(pid, dir) && is_of_server(pid, program)) {
            (void)kill(pid, SIGKILL);
            count++;
        }
    }
    if (processes != NULL) {
        (void)closedir(processes);
    }
    return count;
}

static void pause_briefly(void)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    (void)nanosleep(&pause, NULL); /* Cut short by a signal: one look more. */
}

bool proc_wait_gone(pid_t pid, uint64_t limit_ms)
{
    const uint64_t until_ms = clock_boot_ms() + limit_ms;

    while (kill(pid, 0) == 0) {
        if (clock_boot_ms() >= until_ms) {
            return false;
        }
        pause_briefly();
    }
    return true;
}

bool proc_end_all(const char *dir, const char *program, uint64_t limit_ms)
{
    const uint64_t until_ms = clock_boot_ms() + limit_ms;

    while (kill_all(dir, program) > 0) {
        if (clock_boot_ms() >= until_ms) {
            return false;
        }
        pause_briefly();
    }
    return true;
}

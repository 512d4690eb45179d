#include "pgctl/guard/tree_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/text.h"
#include "pgctl/proc_sys.h"

#define DEPTH_MAX       64 /* Of a chain of parents; PostgreSQL's is two, with a script four. */
#define FLAG_EXITING    0x4UL
#define SIGKILL_PENDING (1UL << (SIGKILL - 1))

/* What /proc/<pid>/stat says, see proc(5). */
struct process {
    pid_t pid;
    pid_t parent;
    char state;
    unsigned long flags;
    unsigned long pending;
};

enum status tree_open(struct tree *tree, struct err *err)
{
    *tree = (struct tree){.guard_pid = getpid()};
    tree->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tree->proc_fd == -1) {
        return ERR(err, IO, "could not open \"/proc\": %s", strerror(errno));
    }
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1) {
        return ERR(err, IO, "could not become the reaper of orphans: %s", strerror(errno));
    }
    return STATUS_OK;
}

void tree_own(struct tree *tree, pid_t server_pid)
{
    tree->server_pid = server_pid;
    tree->adopted = false;
    tree->adopted_pid = 0;
}

void tree_server_gone(struct tree *tree)
{
    tree->server_pid = 0;
}

/* The user of a process; false if it is gone. */
static bool read_uid(const struct tree *tree, pid_t pid, uid_t *uid)
{
    char path[32];
    struct stat info;

    (void)snprintf(path, sizeof path, "%d", (int)pid);
    if (fstatat(tree->proc_fd, path, &info, 0) == -1) {
        return false;
    }
    *uid = info.st_uid;
    return true;
}

enum status tree_adopt(struct tree *tree, pid_t server_pid, const char *data_dir, struct err *err)
{
    if (server_pid <= 1 || server_pid == tree->guard_pid) {
        return ERR(err, INVALID, "process %d is no postmaster", (int)server_pid);
    }
    if (kill(server_pid, 0) == -1) {
        return ERR(
            err, INVALID, "process %d cannot be signalled: %s", (int)server_pid, strerror(errno));
    }
    if (!proc_read_link(server_pid, "exe", tree->exe) ||
        !proc_read_link(server_pid, "cwd", tree->cwd) ||
        !read_uid(tree, server_pid, &tree->adopted_uid)) {
        return ERR(
            err, INVALID, "process %d cannot be looked at: %s", (int)server_pid, strerror(errno));
    }
    if (data_dir[0] != '\0' && !text_equal(data_dir, tree->cwd)) {
        return ERR(
            err, INVALID, "process %d runs in \"%.80s\", not in \"%.80s\"", (int)server_pid,
            tree->cwd, data_dir);
    }
    tree->server_pid = server_pid;
    tree->adopted = true;
    tree->adopted_pid = server_pid;
    tree->reaper_pid = 1;
    return STATUS_OK;
}

/* The numbers behind the name, which may itself hold spaces and parentheses. */
static bool parse_stat(const char *text, struct process *process)
{
    const char *name_end = strrchr(text, ')');
    const char *at;

    if (name_end == NULL || name_end[1] != ' ' || name_end[2] == '\0') {
        return false;
    }
    process->state = name_end[2];
    at = name_end + 3;
    /* Fields are counted from 1; the state was the third. */
    for (int field = 4; field <= 31; field++) {
        char *end;
        const unsigned long value = strtoul(at, &end, 10);

        if (end == at) {
            return false;
        }
        at = end;
        if (field == 4) {
            process->parent = (pid_t)value;
        } else if (field == 9) {
            process->flags = value;
        } else if (field == 31) {
            process->pending = value;
        }
    }
    return true;
}

static bool read_process(const struct tree *tree, pid_t pid, struct process *process)
{
    char text[1024];
    char path[32];
    ssize_t length;
    int fd;

    (void)snprintf(path, sizeof path, "%d/stat", (int)pid);
    fd = openat(tree->proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return false;
    }
    length = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (length <= 0) {
        return false; /* It ended in between. */
    }
    text[length] = '\0';
    process->pid = pid;
    return parse_stat(text, process);
}

/*
 * Whether `process` descends from `ancestor`. A parent that ends during the walk breaks the
 * chain; the next sweep finds the orphan where it went to.
 */
static bool descends_from(const struct tree *tree, const struct process *process, pid_t ancestor)
{
    struct process at = *process;

    for (int depth = 0; depth < DEPTH_MAX && at.parent > 1; depth++) {
        if (at.parent == ancestor || at.parent == tree->server_pid) {
            return true;
        }
        if (!read_process(tree, at.parent, &at)) {
            return false;
        }
    }
    return false;
}

/* One on its way out has no program to be known by any more, but may still hold its sockets. */
static bool is_orphan_ending(const struct tree *tree, const struct process *process)
{
    uid_t uid;

    return (process->flags & FLAG_EXITING) != 0 && process->parent == tree->reaper_pid &&
           read_uid(tree, process->pid, &uid) && uid == tree->adopted_uid;
}

/* What runs the program of the adopted postmaster where that one ran. */
static bool is_orphan(struct tree *tree, const struct process *process)
{
    char target[PATH_MAX];

    if (!proc_read_link(process->pid, "exe", target)) {
        return is_orphan_ending(tree, process);
    }
    if (!text_equal(target, tree->exe) || !proc_read_link(process->pid, "cwd", target) ||
        !text_equal(target, tree->cwd)) {
        return false;
    }
    tree->reaper_pid = process->parent;
    return true;
}

static bool is_member(struct tree *tree, const struct process *process)
{
    if (!tree->adopted) {
        return descends_from(tree, process, tree->guard_pid);
    }
    return process->pid == tree->server_pid || descends_from(tree, process, tree->adopted_pid) ||
           is_orphan(tree, process);
}

static void visit(struct tree *tree, pid_t pid, bool kill_all, struct tree_count *count)
{
    struct process process = {0};

    if (pid == tree->guard_pid || !read_process(tree, pid, &process) || process.state == 'Z' ||
        process.state == 'X' || !is_member(tree, &process)) {
        return;
    }
    count->found++;
    if ((process.flags & FLAG_EXITING) == 0 && (process.pending & SIGKILL_PENDING) == 0) {
        count->unsignalled++;
    }
    if (kill_all && kill(pid, SIGKILL) == -1 && errno == EPERM) {
        count->kept++;
    }
}

/* The number that a name in /proc is, or 0. */
static pid_t name_to_pid(const char *name)
{
    char *end;
    const long value = strtol(name, &end, 10);

    return *end == '\0' && value > 0 && value <= INT_MAX ? (pid_t)value : 0;
}

void tree_sweep(struct tree *tree, bool kill_all, uint64_t until_ms, struct tree_count *count)
{
    ssize_t length;
    const off_t rewound = lseek(tree->proc_fd, 0, SEEK_SET);

    ASSERT(rewound == 0);
    *count = (struct tree_count){0};
    if (kill_all && tree->server_pid != 0) {
        (void)kill(tree->server_pid, SIGKILL); /* The walk below sees whether it worked. */
    }
    while (clock_boot_ms() < until_ms &&
           (length = getdents64(tree->proc_fd, tree->entries, sizeof tree->entries)) > 0) {
        for (ssize_t at = 0; at < length;) {
            struct dirent64 *entry = (struct dirent64 *)(void *)(tree->entries + at);
            const pid_t pid = name_to_pid(entry->d_name);

            if (pid != 0) {
                visit(tree, pid, kill_all, count);
            }
            at += entry->d_reclen;
        }
    }
}

#include "pgctl/guard/cgroup_sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/name.h"
#include "base/text.h"

/* Finds where cgroup v2 is mounted: the line's fifth word, if the type behind " - " is cgroup2. */
static bool find_mount(char *path, size_t size)
{
    char line[2 * PATH_MAX];
    bool found = false;
    FILE *mounts = fopen("/proc/self/mountinfo", "re");

    if (mounts == NULL) {
        return false;
    }
    while (!found && fgets(line, sizeof line, mounts) != NULL) {
        char mount_point[PATH_MAX];

        found = strstr(line, " - cgroup2 ") != NULL &&
                sscanf(line, "%*s %*s %*s %*s %4095s", mount_point) == 1 &&
                text_copy(path, size, mount_point);
    }
    (void)fclose(mounts);
    return found;
}

/* The cgroup v2 this process is in, from the line that begins with "0::". */
static bool find_own(char *path, size_t size)
{
    char line[PATH_MAX];
    bool found = false;
    FILE *groups = fopen("/proc/self/cgroup", "re");

    if (groups == NULL) {
        return false;
    }
    while (!found && fgets(line, sizeof line, groups) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        found = text_starts_with(line, "0::/") && text_copy(path, size, line + 3);
    }
    (void)fclose(groups);
    return found;
}

/* Removes what guards left behind that were killed, as far as it is empty. */
static void remove_stale(const char *parent)
{
    static const char prefix[] = PRODUCT_NAME "-";
    DIR *dir = opendir(parent);
    const struct dirent *entry;

    if (dir == NULL) {
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        char *end;
        long pid;

        if (!text_starts_with(entry->d_name, prefix)) {
            continue;
        }
        pid = strtol(entry->d_name + sizeof prefix - 1, &end, 10);
        if (pid > 0 && *end == '\0' && kill((pid_t)pid, 0) == -1 && errno == ESRCH) {
            (void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
        }
    }
    (void)closedir(dir);
}

/* A process that was reaped may stay in its cgroup for a moment. */
static void remove_cgroup(const char *path)
{
    const struct timespec moment = {.tv_nsec = 5000000};

    for (int tries = 0; tries < 50 && rmdir(path) == -1 && errno == EBUSY; tries++) {
        (void)nanosleep(&moment, NULL);
    }
}

static int open_below(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct text text;

    text_init(&text, path, sizeof path);
    text_addf(&text, "%s/%s", dir, name);
    return text_overflowed(&text) ? -1 : open(path, O_WRONLY | O_CLOEXEC);
}

static void forget(struct cgroup *cgroup)
{
    if (cgroup->procs_fd != -1) {
        (void)close(cgroup->procs_fd);
    }
    if (cgroup->kill_fd != -1) {
        (void)close(cgroup->kill_fd);
    }
    cgroup->procs_fd = -1;
    cgroup->kill_fd = -1;
}

void cgroup_open(struct cgroup *cgroup)
{
    char parent[2 * PATH_MAX];
    char mount_point[PATH_MAX];
    char own[PATH_MAX];
    struct text text;

    cgroup->procs_fd = -1;
    cgroup->kill_fd = -1;
    if (!find_mount(mount_point, sizeof mount_point) || !find_own(own, sizeof own)) {
        return;
    }
    text_init(&text, parent, sizeof parent);
    text_addf(&text, "%s%s", mount_point, text_equal(own, "/") ? "" : own);
    remove_stale(parent);

    text_init(&text, cgroup->path, sizeof cgroup->path);
    text_addf(&text, "%s/" PRODUCT_NAME "-%d", parent, (int)getpid());
    if (text_overflowed(&text) || (mkdir(cgroup->path, 0755) == -1 && errno != EEXIST)) {
        return; /* Not delegated to us, which is the usual case outside of root. */
    }
    cgroup->procs_fd = open_below(cgroup->path, "cgroup.procs");
    cgroup->kill_fd = open_below(cgroup->path, "cgroup.kill");
    if (cgroup->procs_fd == -1 || cgroup->kill_fd == -1) {
        forget(cgroup);
        remove_cgroup(cgroup->path);
    }
}

bool cgroup_usable(const struct cgroup *cgroup)
{
    return cgroup->kill_fd != -1;
}

bool cgroup_enter(const struct cgroup *cgroup)
{
    return write(cgroup->procs_fd, "0", 1) == 1;
}

void cgroup_kill(const struct cgroup *cgroup)
{
    if (cgroup->kill_fd != -1 && write(cgroup->kill_fd, "1", 1) != 1) {
        log_warning("could not kill \"%s\": %s", cgroup->path, strerror(errno));
    }
}

void cgroup_close(struct cgroup *cgroup)
{
    if (cgroup->procs_fd != -1) {
        forget(cgroup);
        remove_cgroup(cgroup->path);
    }
}

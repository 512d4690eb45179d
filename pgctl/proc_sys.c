#include "pgctl/proc_sys.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_sys.h"
#include "base/text.h"

#define CHILDREN_LIMIT_BYTES (256 * 1024)

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

/* "postgres: cluster: kind what it does" or "postgres: kind ...". */
static bool is_kind(const char *title, const char *kind)
{
    const size_t length = strlen(kind);
    const char *found = title;

    if (!text_starts_with(title, "postgres: ")) {
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

pid_t proc_find_child(pid_t parent, const char *kind, char title[PROC_TITLE_SIZE])
{
    char *list = read_children(parent);
    char own_title[PROC_TITLE_SIZE];
    pid_t found = 0;

    if (list == NULL) {
        return 0;
    }
    for (char *at = list; found == 0 && *at != '\0';) {
        char *rest;
        const long pid = strtol(at, &rest, 10);

        if (rest == at) {
            break;
        }
        if (read_title((pid_t)pid, own_title) && is_kind(own_title, kind)) {
            found = (pid_t)pid;
        }
        at = rest + strspn(rest, " ");
    }
    free(list);
    if (title != NULL) {
        text_copy_cut(title, PROC_TITLE_SIZE, found != 0 ? own_title : "");
    }
    return found;
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
    return kill(pid, signal_number) == 0 || errno != ESRCH;
}

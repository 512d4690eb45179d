#include <stdlib.h>

#include "cli/cmd.h"
#include "cli/options_sys.h"
#include "cli/prompt_sys.h"
#include "cli/show.h"
#include "cli/zone_sys.h"

#define WATCH_SECONDS     2.0
#define WATCH_SECONDS_MAX 86400.0

struct view {
    enum rows_form form;
    bool extended;
    bool timestamp;
    double watch_seconds; /* 0: shown once. */
};

/* Which rings of the guard are there only the member itself knows; one that is silent has none. */
static void add_rings(struct ctl *ctl, struct node *cluster)
{
    struct node *members = tree_child_mutable(cluster, "members");
    struct node *member = members == NULL ? NULL : members->first;

    for (; member != NULL; member = member->next) {
        struct node *state = NULL;
        struct err err;

        if (ctl_get_from(ctl, member, "/state", &state, &err) == STATUS_OK) {
            const struct node *rings = tree_get(state, "guard.rings");

            if (rings != NULL) {
                tree_put(&ctl->tree, member, "rings", tree_copy(&ctl->tree, rings));
            }
        }
    }
}

static void add_timestamp(struct ctl *ctl)
{
    struct when now;

    zone_now(0, &now);
    text_addf(
        &ctl->text, "%04d-%02d-%02d %02d:%02d:%02d\n", now.year, now.month, now.day, now.hour,
        now.minute, now.second);
}

static int show_one(struct ctl *ctl, const char *name, const struct view *view)
{
    struct node *cluster = NULL;
    struct err err;

    if (ctl_cluster(ctl, name, &cluster, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    if (view->extended) {
        add_rings(ctl, cluster);
    }
    if (view->timestamp) {
        add_timestamp(ctl);
    }
    return show_members(ctl, cluster, view->form, view->extended);
}

static int show_all(struct ctl *ctl, char *const names[], int count, const struct view *view)
{
    int status = CTL_OK;

    if (count == 0) {
        return show_one(ctl, NULL, view);
    }
    for (int i = 0; i < count && status == CTL_OK; i++) {
        status = show_one(ctl, names[i], view);
    }
    return status;
}

/* Goes on while nobody is there: a watcher wants to see the cluster come back. */
static int watch(struct ctl *ctl, char *const names[], int count, const struct view *view)
{
    const struct tree empty = ctl->tree; /* Every look starts with the same memory. */
    int status;

    do {
        ctl->tree = empty;
        prompt_clear_screen();
        status = show_all(ctl, names, count, view);
    } while (prompt_pause(view->watch_seconds));
    return status;
}

static int show_or_watch(struct ctl *ctl, char *const names[], int count, const struct view *view)
{
    return view->watch_seconds > 0 ? watch(ctl, names, count, view)
                                   : show_all(ctl, names, count, view);
}

/* -W means every two seconds, -w says how many; false if that is no number of seconds. */
static bool parse_watch(const char *typed, bool plain, double *seconds)
{
    char *end = NULL;

    *seconds = plain ? WATCH_SECONDS : 0;
    if (typed == NULL) {
        return true;
    }
    *seconds = strtod(typed, &end);
    return end != typed && *end == '\0' && *seconds > 0 && *seconds <= WATCH_SECONDS_MAX;
}

int cmd_list(struct ctl *ctl, int argc, char **argv)
{
    static const char usage[] =
        "list [-e|--extended] [-t|--timestamp] [-f|--format pretty|tsv|json|yaml]\n"
        "       [-W] [-w|--watch SECONDS] [CLUSTER...]";
    struct view view = {.form = ROWS_PRETTY};
    const char *format = "pretty";
    const char *seconds = NULL;
    bool watched = false;
    const struct options_spec specs[] = {
        {"extended",  'e', &view.extended,  NULL,     NULL},
        {"timestamp", 't', &view.timestamp, NULL,     NULL},
        {"format",    'f', NULL,            &format,  NULL},
        {"watch2",    'W', &watched,        NULL,     NULL},
        {"watch",     'w', NULL,            &seconds, NULL},
    };
    int first;
    const enum options_result result =
        options_parse(argc, argv, specs, ARRAY_SIZE(specs), false, &first);

    if (result != OPTIONS_OK || !rows_form_parse(format, &view.form) ||
        !parse_watch(seconds, watched, &view.watch_seconds)) {
        return ctl_usage(usage, result != OPTIONS_HELP);
    }
    return show_or_watch(ctl, argv + first, argc - first, &view);
}

int cmd_topology(struct ctl *ctl, int argc, char **argv)
{
    static const char usage[] = "topology [-W] [-w|--watch SECONDS] [CLUSTER...]";
    struct view view = {.form = ROWS_TOPOLOGY};
    const char *seconds = NULL;
    bool watched = false;
    const struct options_spec specs[] = {
        {"watch2", 'W', &watched, NULL,     NULL},
        {"watch",  'w', NULL,     &seconds, NULL},
    };
    int first;
    const enum options_result result =
        options_parse(argc, argv, specs, ARRAY_SIZE(specs), false, &first);

    if (result != OPTIONS_OK || !parse_watch(seconds, watched, &view.watch_seconds)) {
        return ctl_usage(usage, result != OPTIONS_HELP);
    }
    return show_or_watch(ctl, argv + first, argc - first, &view);
}

#include <string.h>

#include "base/clock_sys.h"
#include "base/prng.h"
#include "cli/cmd.h"
#include "cli/each.h"
#include "cli/options_sys.h"
#include "cli/prompt_sys.h"
#include "cli/schedule.h"
#include "cli/show.h"

#define QUESTION_SIZE 2048

struct restart {
    const char *role;
    const char *scheduled;
    const char *version;
    const char *timeout;
    bool any;
    bool pending;
    bool force;
    char version_answer[64];
    char scheduled_at[WHEN_SIZE]; /* "" for now. */
};

/* Members that need no restart are left out now; a scheduled one looks again when it is due. */
static void keep_pending(struct selection *selection)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < selection->count; i++) {
        bool pending = false;

        if (node_bool(tree_child(selection->members[i], "pending_restart"), &pending) && pending) {
            selection->members[kept++] = selection->members[i];
        }
    }
    selection->count = kept;
}

static void keep_any(struct selection *selection)
{
    struct prng prng;

    prng_init(&prng, clock_random_u64());
    selection->members[0] = selection->members[prng_between(&prng, 0, selection->count - 1)];
    selection->count = 1;
}

static int narrow(const struct restart *restart, struct selection *selection)
{
    if (restart->pending && restart->scheduled_at[0] == '\0') {
        keep_pending(selection);
    }
    if (selection->count == 0) {
        return ctl_error("no member has a pending restart");
    }
    if (restart->any) {
        keep_any(selection);
    }
    return CTL_OK;
}

static int confirm(const struct restart *restart, const struct selection *selection)
{
    const bool later = restart->scheduled_at[0] != '\0';
    char question[QUESTION_SIZE];
    struct text text;

    if (restart->force) {
        return CTL_OK;
    }
    text_init(&text, question, sizeof question);
    text_add(&text, "Are you sure you want to ");
    text_add(&text, later ? "schedule restart of members " : "restart members ");
    select_names(selection, &text);
    if (later) {
        text_addf(&text, " at %s", restart->scheduled_at);
    }
    if (later && restart->pending) {
        text_add(&text, ", if a restart is pending then");
    }
    text_add(&text, "?");
    return prompt_confirm(question) ? CTL_OK : CTL_FAILED;
}

static int ask_version(struct restart *restart)
{
    if (restart->version != NULL || restart->force) {
        return CTL_OK;
    }
    if (!prompt_text(
            "Restart only where the PostgreSQL version is below (e.g. 16.4)", "",
            restart->version_answer, sizeof restart->version_answer)) {
        return CTL_FAILED;
    }
    restart->version = restart->version_answer;
    return CTL_OK;
}

static int ask_time(struct restart *restart)
{
    if (restart->scheduled != NULL) {
        return schedule_parse(restart->scheduled, restart->scheduled_at);
    }
    return restart->force ? CTL_OK : schedule_ask("restart", restart->scheduled_at);
}

/* In the order in which users know the questions. */
static int prepare(struct restart *restart, const struct node *cluster, struct selection *selection)
{
    int status = ask_time(restart);
    bool paused = false;

    status = status != CTL_OK ? status : narrow(restart, selection);
    status = status != CTL_OK ? status : confirm(restart, selection);
    status = status != CTL_OK ? status : ask_version(restart);
    if (status == CTL_OK && restart->scheduled_at[0] != '\0' &&
        node_bool(tree_child(cluster, "pause"), &paused) && paused) {
        return ctl_error("Can't schedule restart in the paused state");
    }
    return status;
}

static struct node *make_body(struct ctl *ctl, const struct restart *restart)
{
    struct node *body = tree_map(&ctl->tree);

    /* Only what was asked for: the presence of a field alone has a meaning. */
    if (restart->pending) {
        ctl_put_true(ctl, body, "restart_pending");
    }
    if (restart->version != NULL && restart->version[0] != '\0') {
        ctl_put_text(ctl, body, "postgres_version", restart->version);
    }
    if (restart->timeout != NULL) {
        ctl_put_text(ctl, body, "timeout", restart->timeout);
    }
    if (restart->scheduled_at[0] != '\0') {
        ctl_put_text(ctl, body, "schedule", restart->scheduled_at);
    }
    return body;
}

/* With --force a restart that is scheduled already makes room for the new one. */
static int make_room(struct ctl *ctl, const struct selection *selection)
{
    static const struct each_meaning meanings[] = {
        {200, true, "flush scheduled restart for member"      },
        {404, true, "no scheduled restart any more for member"},
    };
    const struct each_call call = {
        .request = {.method = "DELETE", .path = "/restart", .timeout_ms = CTL_ACTION_MS},
        .action = "flush scheduled restart",
        .meanings = meanings,
        .meaning_count = ARRAY_SIZE(meanings),
    };
    struct selection scheduled = {.count = 0};

    for (uint32_t i = 0; i < selection->count; i++) {
        if (tree_get(selection->members[i], "scheduled_restart") != NULL) {
            scheduled.members[scheduled.count++] = selection->members[i];
        }
    }
    return each_send(ctl, &scheduled, &call);
}

static int send_restart(
    struct ctl *ctl, const struct restart *restart, const struct selection *selection)
{
    static const struct each_meaning meanings[] = {
        {200, true,  "restart on member"                              },
        {202, true,  "restart scheduled on member"                    },
        {409, false, "another restart is already scheduled for member"},
    };
    const struct each_call call = {
        .request =
            {
                      .method = "POST",
                      .path = "/restart",
                      .body = make_body(ctl, restart),
                      .timeout_ms = CTL_WAIT_MS,
                      },
        .action = "restart",
        .meanings = meanings,
        .meaning_count = ARRAY_SIZE(meanings),
    };
    int status = CTL_OK;

    if (tree_full(&ctl->tree)) {
        return ctl_error("out of memory");
    }
    if (restart->force && restart->scheduled_at[0] != '\0') {
        status = make_room(ctl, selection);
    }
    return status != CTL_OK ? status : each_send(ctl, selection, &call);
}

static int run(struct ctl *ctl, char *const arguments[], int count, struct restart *restart)
{
    struct node *cluster = NULL;
    struct selection selection;
    struct err err;
    int status;

    if (ctl_cluster(ctl, arguments[0], &cluster, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    status = show_members(ctl, cluster, ROWS_PRETTY, false);
    if (status == CTL_OK) {
        status = select_members(cluster, arguments + 1, count - 1, restart->role, &selection);
    }
    status = status != CTL_OK ? status : prepare(restart, cluster, &selection);
    return status != CTL_OK ? status : send_restart(ctl, restart, &selection);
}

int cmd_restart(struct ctl *ctl, int argc, char **argv)
{
    static const char usage[] =
        "restart [-r|--role ROLE] [--any] [--scheduled TIME] [--pg-version VERSION]\n"
        "       [--pending] [--timeout TIME] [--force] CLUSTER [MEMBER...]";
    struct restart restart = {.force = false};
    const struct options_spec specs[] = {
        {"role",       'r', NULL,             &restart.role,      NULL},
        {"any",        0,   &restart.any,     NULL,               NULL},
        {"scheduled",  0,   NULL,             &restart.scheduled, NULL},
        {"pg-version", 0,   NULL,             &restart.version,   NULL},
        {"pending",    0,   &restart.pending, NULL,               NULL},
        {"timeout",    0,   NULL,             &restart.timeout,   NULL},
        {"force",      0,   &restart.force,   NULL,               NULL},
    };
    int first;
    const enum options_result result =
        options_parse(argc, argv, specs, ARRAY_SIZE(specs), false, &first);

    if (result != OPTIONS_OK || first == argc) {
        return ctl_usage(usage, result != OPTIONS_HELP);
    }
    return run(ctl, argv + first, argc - first, &restart);
}

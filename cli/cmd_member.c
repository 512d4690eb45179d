/* What is asked of single members besides a restart: reload, reinit, flush. */
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/each.h"
#include "cli/member.h"
#include "cli/options_sys.h"
#include "cli/prompt_sys.h"
#include "cli/show.h"

#define QUESTION_SIZE 2048
#define POLL_SECONDS  2.0

/* "Are you sure you want to <action> members n1, n2?" */
static int confirm(const char *action, const struct selection *selection, bool force)
{
    char question[QUESTION_SIZE];
    struct text text;

    if (force) {
        return CTL_OK;
    }
    text_init(&text, question, sizeof question);
    text_addf(&text, "Are you sure you want to %s members ", action);
    select_names(selection, &text);
    text_add(&text, "?");
    return prompt_confirm(question) ? CTL_OK : CTL_FAILED;
}

/* Asks for the cluster and shows it, as every command does that is about to change something. */
static int get_and_show(struct ctl *ctl, const char *name, struct node **cluster)
{
    struct err err;

    if (ctl_cluster(ctl, name, cluster, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    return show_members(ctl, *cluster, ROWS_PRETTY, false);
}

int cmd_reload(struct ctl *ctl, int argc, char **argv)
{
    static const char usage[] = "reload [-r|--role ROLE] [--force] CLUSTER [MEMBER...]";
    static const struct each_meaning meanings[] = {
        {200, true, "no changes to apply on member"     },
        {202, true, "reload request received for member"},
    };
    const struct each_call call = {
        .request = {.method = "POST", .path = "/reload", .timeout_ms = CTL_ACTION_MS},
        .action = "reload",
        .meanings = meanings,
        .meaning_count = ARRAY_SIZE(meanings),
    };
    const char *role = NULL;
    bool force = false;
    const struct options_spec specs[] = {
        {"role",  'r', NULL,   &role, NULL},
        {"force", 0,   &force, NULL,  NULL},
    };
    struct node *cluster = NULL;
    struct selection selection;
    int first;
    int status;
    const enum options_result result =
        options_parse(argc, argv, specs, ARRAY_SIZE(specs), false, &first);

    if (result != OPTIONS_OK || first == argc) {
        return ctl_usage(usage, result != OPTIONS_HELP);
    }
    status = get_and_show(ctl, argv[first], &cluster);
    if (status == CTL_OK) {
        status = select_members(cluster, argv + first + 1, argc - first - 1, role, &selection);
    }
    status = status != CTL_OK ? status : confirm("reload", &selection, force);
    return status != CTL_OK ? status : each_send(ctl, &selection, &call);
}

struct reinit {
    bool force;
    bool from_leader;
    bool wait;
};

/* Sends it once; `busy` tells that the member is in the middle of something else. */
static int send_reinit(
    struct ctl *ctl, const struct node *member, const struct reinit *reinit, bool cancel,
    bool *busy)
{
    const char *name = member_field(member, "name");
    struct node *body = tree_map(&ctl->tree);
    const struct ctl_request request = {
        .method = "POST", .path = "/reinitialize", .body = body, .timeout_ms = CTL_ACTION_MS};
    struct client_answer answer = {0};
    struct err err;
    int status = CTL_FAILED;

    *busy = false;
    tree_put(
        &ctl->tree, body, "force", tree_scalar(&ctl->tree, NODE_BOOL, cancel ? "true" : "false"));
    tree_put(
        &ctl->tree, body, "from_leader",
        tree_scalar(&ctl->tree, NODE_BOOL, reinit->from_leader ? "true" : "false"));
    if (tree_full(&ctl->tree)) {
        return ctl_error("out of memory");
    }
    if (ctl_send_to(ctl, member, &request, &answer, &err) != STATUS_OK) {
        (void)printf("Failed: reinitialize for member %s, (%s)\n", name, err.text);
    } else if (answer.code == 200) {
        (void)printf("Success: reinitialize for member %s\n", name);
        status = CTL_OK;
    } else {
        *busy = text_ends_with(ctl_answer_text(&answer), " already in progress");
        (void)printf(
            "Failed: reinitialize for member %s, status code=%ld, (%s)\n", name, answer.code,
            ctl_answer_text(&answer));
    }
    client_answer_deinit(&answer);
    return status;
}

static int reinit_member(struct ctl *ctl, const struct node *member, const struct reinit *reinit)
{
    bool busy = false;
    bool yes = false;
    int status = send_reinit(ctl, member, reinit, reinit->force, &busy);

    if (!busy || reinit->force) {
        return status;
    }
    if (!prompt_yes("Do you want to cancel it and reinitialize anyway?", &yes) || !yes) {
        return CTL_FAILED;
    }
    return send_reinit(ctl, member, reinit, true, &busy);
}

/* Until the member creates its replica no more; a member that does not answer is asked again. */
static int wait_for_replica(struct ctl *ctl, const struct node *member)
{
    const struct tree before = ctl->tree;

    for (;;) {
        struct node *status = NULL;
        struct err err;

        if (!prompt_pause(POLL_SECONDS)) {
            return CTL_FAILED;
        }
        ctl->tree = before;
        if (ctl_get_from(ctl, member, "/patroni", &status, &err) == STATUS_OK &&
            !text_equal(member_field(status, "state"), "creating replica")) {
            (void)printf("Reinitialize is completed on: %s\n", member_field(member, "name"));
            return CTL_OK;
        }
    }
}

/* Only replicas; with nothing named, one is asked for rather than all taken. */
static int select_for_reinit(
    const struct node *cluster, char *const names[], int count, bool force,
    struct selection *selection)
{
    char typed[256];
    char *name = typed;
    struct selection replicas;
    char question[QUESTION_SIZE];
    struct text text;
    int status;

    for (int i = 0; i < count; i++) {
        const struct node *member = member_find(cluster, names[i]);

        if (member != NULL && !member_has_role(member, "replica")) {
            return ctl_error("member \"%s\" is no replica and is not reinitialized", names[i]);
        }
    }
    status = select_members(cluster, names, count, "replica", selection);
    if (status != CTL_OK || count > 0) {
        return status;
    }
    replicas = *selection;
    selection->count = 0;
    if (force) {
        return CTL_OK; /* As it always was: nothing was named, and nobody is to be asked. */
    }
    text_init(&text, question, sizeof question);
    text_add(&text, "Which member do you want to reinitialize (");
    select_names(&replicas, &text);
    text_add(&text, ")?");
    if (!prompt_text(question, "", typed, sizeof typed)) {
        return CTL_FAILED;
    }
    return select_members(cluster, &name, 1, "replica", selection);
}

static int reinit_selected(
    struct ctl *ctl, const struct selection *selection, const struct reinit *reinit)
{
    struct selection started = {.count = 0};
    int status = CTL_OK;

    for (uint32_t i = 0; i < selection->count; i++) {
        if (reinit_member(ctl, selection->members[i], reinit) == CTL_OK) {
            started.members[started.count++] = selection->members[i];
        } else {
            status = CTL_FAILED;
        }
    }
    for (uint32_t i = 0; reinit->wait && i < started.count; i++) {
        if (wait_for_replica(ctl, started.members[i]) != CTL_OK) {
            return CTL_FAILED;
        }
    }
    return status;
}

int cmd_reinit(struct ctl *ctl, int argc, char **argv)
{
    static const char usage[] = "reinit [--force] [--from-leader] [--wait] CLUSTER [MEMBER...]";
    struct reinit reinit = {.force = false};
    const struct options_spec specs[] = {
        {"force",       0, &reinit.force,       NULL, NULL},
        {"from-leader", 0, &reinit.from_leader, NULL, NULL},
        {"wait",        0, &reinit.wait,        NULL, NULL},
    };
    struct node *cluster = NULL;
    struct selection selection;
    int first;
    int status;
    const enum options_result result =
        options_parse(argc, argv, specs, ARRAY_SIZE(specs), false, &first);

    if (result != OPTIONS_OK || first == argc) {
        return ctl_usage(usage, result != OPTIONS_HELP);
    }
    status = get_and_show(ctl, argv[first], &cluster);
    if (status == CTL_OK) {
        status = select_for_reinit(
            cluster, argv + first + 1, argc - first - 1, reinit.force, &selection);
    }
    status = status != CTL_OK ? status : confirm("reinitialize", &selection, reinit.force);
    return status != CTL_OK ? status : reinit_selected(ctl, &selection, &reinit);
}

static int flush_restart(
    struct ctl *ctl, const struct node *cluster, char *const names[], int count, const char *role,
    bool force)
{
    static const struct each_meaning meanings[] = {
        {200, true, "flush scheduled restart for member"},
        {404, true, "no scheduled restart for member"   },
    };
    const struct each_call call = {
        .request = {.method = "DELETE", .path = "/restart", .timeout_ms = CTL_ACTION_MS},
        .action = "flush scheduled restart",
        .meanings = meanings,
        .meaning_count = ARRAY_SIZE(meanings),
    };
    struct selection selection;
    struct selection scheduled = {.count = 0};
    int status = select_members(cluster, names, count, role, &selection);

    if (status != CTL_OK) {
        return status;
    }
    for (uint32_t i = 0; i < selection.count; i++) {
        if (tree_get(selection.members[i], "scheduled_restart") != NULL) {
            scheduled.members[scheduled.count++] = selection.members[i];
        } else {
            (void)printf(
                "No scheduled restart for member %s\n", member_field(selection.members[i], "name"));
        }
    }
    if (scheduled.count == 0) {
        return CTL_OK;
    }
    status = confirm("flush the scheduled restart of", &scheduled, force);
    return status != CTL_OK ? status : each_send(ctl, &scheduled, &call);
}

static int flush_switchover(struct ctl *ctl, const struct node *cluster)
{
    const struct ctl_request request = {
        .method = "DELETE", .path = "/switchover", .timeout_ms = CTL_ACTION_MS};
    struct client_answer answer;
    struct err err;
    int status = CTL_OK;

    if (tree_get(cluster, "scheduled_switchover") == NULL) {
        (void)printf("No scheduled switchover for cluster %s\n", member_field(cluster, "scope"));
        return CTL_OK;
    }
    if (ctl_send(ctl, &request, &answer, &err) != STATUS_OK) {
        status = ctl_fail(&err);
    } else if (answer.code == 200 || answer.code == 404) {
        (void)printf("Success: %s\n", ctl_answer_text(&answer));
    } else {
        (void)printf("Failed: %ld, %s\n", answer.code, ctl_answer_text(&answer));
        status = CTL_FAILED;
    }
    client_answer_deinit(&answer);
    return status;
}

int cmd_flush(struct ctl *ctl, int argc, char **argv)
{
    static const char usage[] =
        "flush [-r|--role ROLE] [--force] CLUSTER [MEMBER...] restart|switchover";
    const char *role = NULL;
    bool force = false;
    const struct options_spec specs[] = {
        {"role",  'r', NULL,   &role, NULL},
        {"force", 0,   &force, NULL,  NULL},
    };
    struct node *cluster = NULL;
    struct err err;
    int first;
    const enum options_result result =
        options_parse(argc, argv, specs, ARRAY_SIZE(specs), false, &first);
    const char *target = result == OPTIONS_OK && argc - first >= 2 ? argv[argc - 1] : "";
    const bool restart = text_equal(target, "restart");

    if (!restart && !text_equal(target, "switchover")) {
        return ctl_usage(usage, result != OPTIONS_HELP);
    }
    if (ctl_cluster(ctl, argv[first], &cluster, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    return restart ? flush_restart(ctl, cluster, argv + first + 1, argc - first - 2, role, force)
                   : flush_switchover(ctl, cluster);
}

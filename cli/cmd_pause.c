#include <stdio.h>
#include <stdlib.h>

#include "base/clock_sys.h"
#include "base/time.h"
#include "cli/cmd.h"
#include "cli/member.h"
#include "cli/options_sys.h"
#include "cli/prompt_sys.h"

#define POLL_SECONDS    0.5
#define LOOP_WAIT_MS    10000 /* Where the configuration does not say. */
#define LOOP_WAIT_MAX_S 3600

/* Members notice at their next turn at the latest; one second more for the way. */
static uint64_t wait_ms(struct ctl *ctl)
{
    struct node *config = NULL;
    struct err err;
    double seconds;

    if (ctl_get(ctl, "/config", &config, NULL, &err) != STATUS_OK) {
        return LOOP_WAIT_MS + 1000;
    }
    seconds = strtod(member_field(config, "loop_wait"), NULL);
    return seconds > 0 && seconds <= LOOP_WAIT_MAX_S ? (uint64_t)(seconds * 1000) + 1000
                                                     : LOOP_WAIT_MS + 1000;
}

/* Lists the members that have not followed; true if there are none. */
static bool all_follow(struct ctl *ctl, const struct node *cluster, bool pause, struct text *behind)
{
    const struct node *members = tree_child(cluster, "members");
    const struct node *member = members == NULL ? NULL : members->first;

    behind->length = 0;
    behind->data[0] = '\0';
    for (; member != NULL; member = member->next) {
        struct node *status = NULL;
        struct err err;
        bool paused = false;

        if (ctl_get_from(ctl, member, "/patroni", &status, &err) != STATUS_OK ||
            (node_bool(tree_child(status, "pause"), &paused) && paused) != pause) {
            text_addf(
                behind, "%s%s", behind->length == 0 ? "" : ", ", member_field(member, "name"));
        }
    }
    return behind->length == 0;
}

static int wait_for_members(struct ctl *ctl, const struct node *cluster, bool pause)
{
    const char *word = pause ? "paused" : "resumed";
    const uint64_t deadline_ms = time_add(clock_boot_ms(), wait_ms(ctl));
    const struct tree before = ctl->tree;
    char names[1024];
    struct text behind;

    text_init(&behind, names, sizeof names);
    while (!all_follow(ctl, cluster, pause, &behind)) {
        if (clock_boot_ms() >= deadline_ms || !prompt_pause(POLL_SECONDS)) {
            return ctl_error("these members have not %s yet: %s", word, names);
        }
        ctl->tree = before;
    }
    (void)printf("Success: cluster management is %s on all members\n", word);
    return CTL_OK;
}

static int send_pause(struct ctl *ctl, bool pause)
{
    struct node *body = tree_map(&ctl->tree);
    const struct ctl_request request = {
        .method = "PATCH", .path = "/config", .body = body, .timeout_ms = CTL_ACTION_MS};
    const char *word = pause ? "pause" : "resume";
    struct client_answer answer;
    struct err err;
    int status = CTL_OK;

    tree_put(
        &ctl->tree, body, "pause",
        pause ? tree_scalar(&ctl->tree, NODE_BOOL, "true")
              : tree_scalar(&ctl->tree, NODE_NULL, ""));
    if (ctl_send(ctl, &request, &answer, &err) != STATUS_OK) {
        status = ctl_fail(&err);
    } else if (answer.code == 200) {
        (void)printf("Success: cluster management is %sd\n", word);
    } else {
        (void)printf(
            "Failed: %s cluster management status code=%ld, (%s)\n", word, answer.code,
            ctl_answer_text(&answer));
        status = CTL_FAILED;
    }
    client_answer_deinit(&answer);
    return status;
}

static int change_pause(struct ctl *ctl, int argc, char **argv, bool pause)
{
    bool wait = false;
    const struct options_spec specs[] = {
        {"wait", 0, &wait, NULL, NULL}
    };
    struct node *cluster = NULL;
    struct err err;
    bool paused = false;
    int first;
    int status;
    const enum options_result result =
        options_parse(argc, argv, specs, ARRAY_SIZE(specs), false, &first);

    if (result != OPTIONS_OK || argc - first > 1) {
        return ctl_usage(
            pause ? "pause [--wait] [CLUSTER]" : "resume [--wait] [CLUSTER]",
            result != OPTIONS_HELP);
    }
    if (ctl_cluster(ctl, argv[first], &cluster, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    paused = node_bool(tree_child(cluster, "pause"), &paused) && paused;
    if (paused == pause) {
        return ctl_error("Cluster is %s paused", pause ? "already" : "not");
    }
    status = send_pause(ctl, pause);
    return status != CTL_OK || !wait ? status : wait_for_members(ctl, cluster, pause);
}

int cmd_pause(struct ctl *ctl, int argc, char **argv)
{
    return change_pause(ctl, argc, argv, true);
}

int cmd_resume(struct ctl *ctl, int argc, char **argv)
{
    return change_pause(ctl, argc, argv, false);
}

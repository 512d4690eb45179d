/*
 * Switchover and failover: the cluster is shown, what was not said is asked for, what cannot
 * work is refused here, the rest is for the leader to decide.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/member.h"
#include "cli/options_sys.h"
#include "cli/prompt_sys.h"
#include "cli/schedule.h"
#include "cli/show.h"
#include "cli/zone_sys.h"

#define NAME_SIZE     256
#define QUESTION_SIZE 2048

struct change {
    const char *action; /* "switchover" or "failover" */
    bool planned;       /* A switchover. */
    bool force;
    const char *leader;    /* As typed; NULL: not said. */
    const char *candidate; /* As typed; NULL: not said; "": anybody. */
    const char *scheduled; /* As typed; NULL: not said. */
    char leader_answer[NAME_SIZE];
    char candidate_answer[NAME_SIZE];
    char scheduled_at[WHEN_SIZE]; /* "" for now. */
};

/* "['n2', 'n3']"; returns how many there are. */
static uint32_t list_candidates(const struct node *cluster, struct text *out)
{
    const struct node *members = tree_child(cluster, "members");
    const struct node *member = members == NULL ? NULL : members->first;
    uint32_t count = 0;

    text_add(out, "[");
    for (; member != NULL; member = member->next) {
        if (member_is_candidate(member)) {
            text_addf(out, "%s'%s'", count++ == 0 ? "" : ", ", member_field(member, "name"));
        }
    }
    text_add(out, "]");
    return count;
}

static int ask_leader(struct change *change, const struct node *leader)
{
    const bool standby = text_equal(member_field(leader, "role"), "standby_leader");
    const char *current = member_field(leader, "name");

    if (change->leader == NULL && change->force) {
        change->leader = current;
    } else if (change->leader == NULL) {
        if (!prompt_text(
                standby ? "Standby Leader" : "Primary", current, change->leader_answer,
                sizeof change->leader_answer)) {
            return CTL_FAILED;
        }
        change->leader = change->leader_answer;
    }
    if (!text_equal(change->leader, current)) {
        return ctl_error("member \"%s\" is not the leader of the cluster", change->leader);
    }
    return CTL_OK;
}

static int ask_candidate(struct change *change, const struct node *cluster)
{
    char question[QUESTION_SIZE];
    struct text text;

    text_init(&text, question, sizeof question);
    text_add(&text, "Candidate ");
    if (list_candidates(cluster, &text) == 0) {
        return ctl_error("No candidates found to %s to", change->action);
    }
    if (change->candidate == NULL && !change->force) {
        if (!prompt_text(question, "", change->candidate_answer, sizeof change->candidate_answer)) {
            return CTL_FAILED;
        }
        change->candidate = change->candidate_answer;
    }
    if (change->candidate == NULL || change->candidate[0] == '\0') {
        change->candidate = "";
        return change->planned ? CTL_OK : ctl_error("a failover needs a candidate");
    }
    return CTL_OK;
}

static int check_candidate(const struct change *change, const struct node *cluster)
{
    const struct node *member = member_find(cluster, change->candidate);

    if (change->candidate[0] == '\0') {
        return CTL_OK;
    }
    if (member == NULL) {
        return ctl_error("member \"%s\" does not exist", change->candidate);
    }
    if (member_is_leader(member)) {
        return ctl_error("member \"%s\" is the leader already", change->candidate);
    }
    if (!member_is_candidate(member)) {
        return ctl_error("member \"%s\" may not be promoted", change->candidate);
    }
    return CTL_OK;
}

static bool is_synchronous(const struct node *member)
{
    const char *role = member_field(member, "role");

    return text_equal(role, "sync_standby") || text_equal(role, "quorum_standby");
}

/* A failover may go to a node that lacks acknowledged commits: only if that is really meant. */
static int confirm_asynchronous(const struct change *change, const struct node *cluster)
{
    const struct node *members = tree_child(cluster, "members");
    const struct node *member = members == NULL ? NULL : members->first;
    char question[QUESTION_SIZE];
    struct text text;
    bool synchronous = false;

    for (; member != NULL; member = member->next) {
        synchronous = synchronous || is_synchronous(member);
    }
    member = member_find(cluster, change->candidate);
    if (change->planned || change->force || !synchronous || is_synchronous(member)) {
        return CTL_OK;
    }
    text_init(&text, question, sizeof question);
    text_addf(
        &text, "Are you sure you want to fail over to the asynchronous node %s?",
        change->candidate);
    return prompt_confirm(question) ? CTL_OK : CTL_FAILED;
}

static int ask_time(struct change *change, const struct node *cluster)
{
    int status = CTL_OK;
    bool paused = false;

    if (change->scheduled != NULL) {
        status = schedule_parse(change->scheduled, change->scheduled_at);
    } else if (change->planned && !change->force) {
        status = schedule_ask(change->action, change->scheduled_at);
    }
    if (status == CTL_OK && change->scheduled_at[0] != '\0' &&
        node_bool(tree_child(cluster, "pause"), &paused) && paused) {
        return ctl_error("Can't schedule switchover in the paused state");
    }
    return status;
}

static int confirm(const struct change *change, const char *scope, const char *leader)
{
    char question[QUESTION_SIZE];
    struct text text;

    if (change->force) {
        return CTL_OK;
    }
    text_init(&text, question, sizeof question);
    text_addf(&text, "Are you sure you want to ");
    if (change->scheduled_at[0] != '\0') {
        text_addf(&text, "schedule %s of", change->action);
    } else {
        text_add(&text, change->action);
    }
    text_addf(&text, " cluster %s", scope);
    if (change->scheduled_at[0] != '\0') {
        text_addf(&text, " at %s", change->scheduled_at);
    }
    if (leader[0] != '\0') {
        text_addf(&text, ", demoting current leader %s", leader);
    }
    text_add(&text, "?");
    return prompt_confirm(question) ? CTL_OK : CTL_FAILED;
}

/* Everything that can be known and asked before the request is sent. */
static int prepare(struct change *change, const struct node *cluster)
{
    const struct node *leader = member_find_leader(cluster);
    int status;

    if (leader == NULL && change->planned) {
        return ctl_error("the cluster has no leader to switch over from");
    }
    status = change->planned ? ask_leader(change, leader) : CTL_OK;
    status = status != CTL_OK ? status : ask_candidate(change, cluster);
    status = status != CTL_OK ? status : check_candidate(change, cluster);
    status = status != CTL_OK ? status : confirm_asynchronous(change, cluster);
    status = status != CTL_OK ? status : ask_time(change, cluster);
    if (status != CTL_OK) {
        return status;
    }
    return confirm(
        change, member_field(cluster, "scope"), leader == NULL ? "" : member_field(leader, "name"));
}

/* The answer as a line; a refusal is a failure also of this program. */
static int report(struct ctl *ctl, const struct change *change, struct client_answer *answer)
{
    const char *body = ctl_answer_text(answer);
    const char *name = change->planned ? "Switchover" : "Failover";
    struct when now;

    if (answer->code == 200 || answer->code == 202) {
        zone_now(0, &now);
        when_format(&now, &ctl->text);
        text_addf(&ctl->text, " %s\n", body);
        return ctl_print(ctl);
    }
    (void)printf(
        "%s %s: %ld, %s\n", name,
        strstr(body, "status unknown") != NULL ? "result unknown, details" : "failed, details",
        answer->code, body);
    return CTL_FAILED;
}

static int send_change(struct ctl *ctl, const struct change *change)
{
    struct node *body = tree_map(&ctl->tree);
    const struct ctl_request request = {
        .method = "POST",
        .path = change->planned ? "/switchover" : "/failover",
        .body = body,
        .timeout_ms = CTL_ACTION_MS,
    };
    struct client_answer answer;
    struct err err;
    int status;

    if (change->planned) {
        ctl_put_text(ctl, body, "leader", change->leader);
    }
    if (change->candidate[0] != '\0') {
        ctl_put_text(ctl, body, "candidate", change->candidate);
    }
    if (change->scheduled_at[0] != '\0') {
        ctl_put_text(ctl, body, "scheduled_at", change->scheduled_at);
    }
    if (tree_full(&ctl->tree)) {
        return ctl_error("out of memory");
    }
    status = ctl_send(ctl, &request, &answer, &err) == STATUS_OK ? report(ctl, change, &answer)
                                                                 : ctl_fail(&err);
    client_answer_deinit(&answer);
    return status;
}

static int run(struct ctl *ctl, const char *name, struct change *change)
{
    struct node *cluster = NULL;
    struct err err;
    int status;

    if (ctl_cluster(ctl, name, &cluster, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    text_add(&ctl->text, "Current cluster topology\n");
    status = show_members(ctl, cluster, ROWS_PRETTY, false);
    status = status != CTL_OK ? status : prepare(change, cluster);
    status = status != CTL_OK ? status : send_change(ctl, change);
    if (status != CTL_OK) {
        return status;
    }
    /* It has happened; that nobody can show it now does not change that. */
    if (ctl_cluster(ctl, name, &cluster, &err) != STATUS_OK) {
        (void)fprintf(stderr, "Warning: %s\n", err.text);
        return CTL_OK;
    }
    return show_members(ctl, cluster, ROWS_PRETTY, false);
}

int cmd_switchover(struct ctl *ctl, int argc, char **argv)
{
    static const char usage[] = "switchover [--leader|--primary NAME] [--candidate NAME]\n"
                                "       [--scheduled TIME] [--force] [CLUSTER]";
    struct change change = {.action = "switchover", .planned = true};
    const struct options_spec specs[] = {
        {"leader",    0, NULL,          &change.leader,    NULL},
        {"primary",   0, NULL,          &change.leader,    NULL},
        {"candidate", 0, NULL,          &change.candidate, NULL},
        {"scheduled", 0, NULL,          &change.scheduled, NULL},
        {"force",     0, &change.force, NULL,              NULL},
    };
    int first;
    const enum options_result result =
        options_parse(argc, argv, specs, ARRAY_SIZE(specs), false, &first);

    if (result != OPTIONS_OK || argc - first > 1) {
        return ctl_usage(usage, result != OPTIONS_HELP);
    }
    return run(ctl, argv[first], &change);
}

int cmd_failover(struct ctl *ctl, int argc, char **argv)
{
    static const char usage[] = "failover [--candidate NAME] [--force] [CLUSTER]";
    struct change change = {.action = "failover"};
    const struct options_spec specs[] = {
        {"candidate", 0, NULL,          &change.candidate, NULL},
        {"force",     0, &change.force, NULL,              NULL},
    };
    int first;
    const enum options_result result =
        options_parse(argc, argv, specs, ARRAY_SIZE(specs), false, &first);

    if (result != OPTIONS_OK || argc - first > 1) {
        return ctl_usage(usage, result != OPTIONS_HELP);
    }
    return run(ctl, argv[first], &change);
}

/* The commands that only tell: history, dsn, version. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/name.h"
#include "cli/cmd.h"
#include "cli/member.h"
#include "cli/options_sys.h"
#include "cli/select.h"
#include "cli/show.h"

int cmd_history(struct ctl *ctl, int argc, char **argv)
{
    static const char usage[] = "history [-f|--format pretty|tsv|json|yaml] [CLUSTER]";
    enum rows_form form = ROWS_PRETTY;
    const char *format = "pretty";
    const struct options_spec specs[] = {
        {"format", 'f', NULL, &format, NULL}
    };
    struct node *cluster = NULL;
    struct node *history = NULL;
    struct err err;
    int first;
    const enum options_result result =
        options_parse(argc, argv, specs, ARRAY_SIZE(specs), false, &first);

    if (result != OPTIONS_OK || argc - first > 1 || !rows_form_parse(format, &form)) {
        return ctl_usage(usage, result != OPTIONS_HELP);
    }
    if (ctl_cluster(ctl, argv[first], &cluster, &err) != STATUS_OK ||
        ctl_get(ctl, "/history", &history, NULL, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    return show_history_table(ctl, history, form);
}

static const struct node *find_for_dsn(
    const struct node *cluster, const char *role, const char *name)
{
    const struct node *members = tree_child(cluster, "members");
    const struct node *member = members == NULL ? NULL : members->first;

    if (name != NULL) {
        return member_find(cluster, name);
    }
    while (member != NULL && !member_has_role(member, role)) {
        member = member->next;
    }
    return member;
}

int cmd_dsn(struct ctl *ctl, int argc, char **argv)
{
    static const char usage[] = "dsn [-r|--role ROLE | -m|--member NAME] [CLUSTER]";
    const char *role = NULL;
    const char *name = NULL;
    const struct options_spec specs[] = {
        {"role",   'r', NULL, &role, NULL},
        {"member", 'm', NULL, &name, NULL},
    };
    struct node *cluster = NULL;
    const struct node *member;
    struct err err;
    int first;
    const enum options_result result =
        options_parse(argc, argv, specs, ARRAY_SIZE(specs), false, &first);

    if (result != OPTIONS_OK || argc - first > 1 || (role != NULL && !member_is_role(role))) {
        return ctl_usage(usage, result != OPTIONS_HELP);
    }
    if (role != NULL && name != NULL) {
        return ctl_error("a role and a member exclude each other");
    }
    if (ctl_cluster(ctl, argv[first], &cluster, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    member = find_for_dsn(cluster, role == NULL ? "leader" : role, name);
    if (member == NULL || member_field(member, "host")[0] == '\0') {
        return ctl_error("there is no such member, or its address is not known");
    }
    text_addf(
        &ctl->text, "host=%s port=%s\n", member_field(member, "host"),
        member_field(member, "port"));
    return ctl_print(ctl);
}

/* 160004 as "16.4", 90624 as "9.6.24". */
static void add_server_version(const char *number, struct text *out)
{
    const long version = strtol(number, NULL, 10);

    if (version >= 100000) {
        text_addf(out, "%ld.%ld", version / 10000, version % 10000);
    } else {
        text_addf(out, "%ld.%ld.%ld", version / 10000, version / 100 % 100, version % 100);
    }
}

/* False if the member does not tell. */
static bool add_member_version(struct ctl *ctl, const struct node *member)
{
    struct node *status = NULL;
    struct err err;
    const char *server;

    text_addf(&ctl->text, "%s: ", member_field(member, "name"));
    if (ctl_get_from(ctl, member, "/patroni", &status, &err) != STATUS_OK) {
        text_addf(&ctl->text, "could not get the version: %s\n", err.text);
        return false;
    }
    server = member_field(status, "server_version");
    text_addf(
        &ctl->text, "%s %s", PRODUCT_NAME, member_field(tree_child(status, "patroni"), "version"));
    if (server[0] != '\0') {
        text_add(&ctl->text, " PostgreSQL ");
        add_server_version(server, &ctl->text);
    }
    text_add(&ctl->text, "\n");
    return true;
}

int cmd_version(struct ctl *ctl, int argc, char **argv)
{
    static const char usage[] = "version [CLUSTER [MEMBER...]]";
    struct selection selection;
    struct node *cluster = NULL;
    struct err err;
    bool all = true;
    int first;
    int status;
    const enum options_result result = options_parse(argc, argv, NULL, 0, false, &first);

    if (result != OPTIONS_OK) {
        return ctl_usage(usage, result != OPTIONS_HELP);
    }
    text_addf(&ctl->text, "%s version %s\n", CTL_NAME, PRODUCT_VERSION);
    if (first == argc) {
        return ctl_print(ctl);
    }
    if (ctl_cluster(ctl, argv[first], &cluster, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    status = select_members(cluster, argv + first + 1, argc - first - 1, NULL, &selection);
    if (status != CTL_OK) {
        return status;
    }
    text_add(&ctl->text, "\n");
    for (uint32_t i = 0; i < selection.count; i++) {
        all = add_member_version(ctl, selection.members[i]) && all;
    }
    status = ctl_print(ctl);
    return all ? status : CTL_FAILED;
}

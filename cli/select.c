#include "cli/select.h"

#include "cli/member.h"

static bool is_named(const struct node *member, char *const names[], int name_count)
{
    for (int i = 0; i < name_count; i++) {
        if (text_equal(member_field(member, "name"), names[i])) {
            return true;
        }
    }
    return name_count == 0;
}

int select_members(
    const struct node *cluster, char *const names[], int name_count, const char *role,
    struct selection *selection)
{
    const struct node *members = tree_child(cluster, "members");
    const struct node *member = members == NULL ? NULL : members->first;

    selection->count = 0;
    if (role != NULL && !member_is_role(role)) {
        return ctl_error("there is no role \"%s\"", role);
    }
    for (int i = 0; i < name_count; i++) {
        if (member_find(cluster, names[i]) == NULL) {
            return ctl_error("\"%s\" is not a member of the cluster", names[i]);
        }
    }
    for (; member != NULL && selection->count < SELECT_MAX; member = member->next) {
        if (is_named(member, names, name_count) &&
            member_has_role(member, role == NULL ? "any" : role)) {
            selection->members[selection->count++] = member;
        }
    }
    if (selection->count == 0) {
        return ctl_error("no member of the cluster is meant by this");
    }
    return CTL_OK;
}

void select_names(const struct selection *selection, struct text *out)
{
    for (uint32_t i = 0; i < selection->count; i++) {
        text_addf(out, "%s%s", i == 0 ? "" : ", ", member_field(selection->members[i], "name"));
    }
}

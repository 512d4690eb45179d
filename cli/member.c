#include "cli/member.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/text.h"

const char *member_field(const struct node *member, const char *key)
{
    const char *text = node_text(tree_child(member, key));

    return text == NULL ? "" : text;
}

bool member_is_leader(const struct node *member)
{
    const char *role = member_field(member, "role");

    return text_equal(role, "leader") || text_equal(role, "standby_leader");
}

const struct node *member_find_leader(const struct node *cluster)
{
    const struct node *members = tree_child(cluster, "members");
    const struct node *member = members == NULL ? NULL : members->first;

    while (member != NULL && !member_is_leader(member)) {
        member = member->next;
    }
    return member;
}

const struct node *member_find(const struct node *cluster, const char *name)
{
    const struct node *members = tree_child(cluster, "members");
    const struct node *member = members == NULL ? NULL : members->first;

    while (member != NULL && !text_equal(member_field(member, "name"), name)) {
        member = member->next;
    }
    return member;
}

bool member_is_role(const char *role)
{
    static const char *const roles[] = {
        "leader", "primary", "standby-leader", "replica", "standby", "any",
    };

    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        if (text_equal(role, roles[i])) {
            return true;
        }
    }
    return false;
}

bool member_has_role(const struct node *member, const char *role)
{
    const char *has = member_field(member, "role");

    if (text_equal(role, "any")) {
        return true;
    }
    if (text_equal(role, "leader")) {
        return member_is_leader(member);
    }
    if (text_equal(role, "primary")) {
        return text_equal(has, "leader");
    }
    if (text_equal(role, "standby-leader")) {
        return text_equal(has, "standby_leader");
    }
    ASSERT(text_equal(role, "replica") || text_equal(role, "standby"));
    return !member_is_leader(member) && !text_equal(has, "witness");
}

bool member_is_candidate(const struct node *member)
{
    const char *priority = node_text(tree_get(member, "tags.failover_priority"));
    bool nofailover = false;

    if (member_is_leader(member) || text_equal(member_field(member, "role"), "witness")) {
        return false;
    }
    /* Where both tags are given, the truth value counts. */
    if (node_bool(tree_get(member, "tags.nofailover"), &nofailover)) {
        return !nofailover;
    }
    return priority == NULL || strtol(priority, NULL, 10) > 0;
}

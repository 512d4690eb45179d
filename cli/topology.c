/*
 * The tree is walked depth first along indexes of parents, which lead back up, so that there is
 * neither recursion nor a stack. Tags may name each other in a circle: whoever was not reached
 * from the leader starts a tree of his own.
 */
#include "cli/topology.h"

#include <stdbool.h>
#include <string.h>

#include "base/text.h"
#include "cli/member.h"

#define NO_PARENT TOPOLOGY_MEMBERS_MAX

/* All arrays are in the order of the names. */
struct topology {
    const struct node *members[TOPOLOGY_MEMBERS_MAX];
    uint32_t parents[TOPOLOGY_MEMBERS_MAX]; /* Index of the member above, or NO_PARENT. */
    uint32_t levels[TOPOLOGY_MEMBERS_MAX];
    bool placed[TOPOLOGY_MEMBERS_MAX];
    uint32_t count;
};

/* What is placed so far. */
struct places {
    struct topology_place *places;
    uint32_t count;
};

uint32_t topology_by_name(
    const struct node *members, struct topology_place places[TOPOLOGY_MEMBERS_MAX])
{
    uint32_t count = 0;
    const struct node *member = members->first;

    for (; member != NULL && count < TOPOLOGY_MEMBERS_MAX; member = member->next) {
        const char *name = member_field(member, "name");
        uint32_t place = count++;

        while (place > 0 && strcmp(member_field(places[place - 1].member, "name"), name) > 0) {
            places[place] = places[place - 1];
            place--;
        }
        places[place] = (struct topology_place){member, 0};
    }
    return count;
}

static uint32_t find_parent(const struct topology *topology, uint32_t child)
{
    const char *upstream = node_text(tree_get(topology->members[child], "tags.replicatefrom"));
    uint32_t leader = NO_PARENT;

    if (member_is_leader(topology->members[child])) {
        return NO_PARENT;
    }
    for (uint32_t i = 0; i < topology->count; i++) {
        if (member_is_leader(topology->members[i])) {
            leader = i;
        } else if (
            i != child && upstream != NULL &&
            text_equal(member_field(topology->members[i], "name"), upstream)) {
            return i;
        }
    }
    return leader;
}

/* The next member that was not placed and hangs below `parent`, by name; count if none. */
static uint32_t next_child(const struct topology *topology, uint32_t parent)
{
    uint32_t i = 0;

    while (i < topology->count && (topology->placed[i] || topology->parents[i] != parent)) {
        i++;
    }
    return i;
}

/* The next to start from: the leader, else one without a parent, else one of a circle. */
static uint32_t next_root(const struct topology *topology)
{
    uint32_t found = topology->count;

    for (uint32_t i = topology->count; i-- > 0;) {
        if (topology->placed[i]) {
            continue;
        }
        if (member_is_leader(topology->members[i])) {
            return i;
        }
        if (found == topology->count || topology->parents[i] == NO_PARENT ||
            topology->parents[found] != NO_PARENT) {
            found = i;
        }
    }
    return found;
}

static void put(struct topology *topology, uint32_t index, struct places *places)
{
    topology->placed[index] = true;
    places->places[places->count++] =
        (struct topology_place){topology->members[index], topology->levels[index]};
}

static void put_tree(struct topology *topology, uint32_t root, struct places *places)
{
    uint32_t at = root;

    topology->levels[root] = member_is_leader(topology->members[root]) ? 0 : 1;
    put(topology, root, places);
    for (;;) {
        const uint32_t child = next_child(topology, at);

        if (child < topology->count) {
            topology->levels[child] = topology->levels[at] + 1;
            put(topology, child, places);
            at = child;
        } else if (at == root) {
            return;
        } else {
            at = topology->parents[at];
        }
    }
}

uint32_t topology_by_tree(
    const struct node *members, struct topology_place places[TOPOLOGY_MEMBERS_MAX])
{
    struct topology topology = {.count = topology_by_name(members, places)};
    struct places done = {.places = places};
    uint32_t root;

    for (uint32_t i = 0; i < topology.count; i++) {
        topology.members[i] = places[i].member;
    }
    for (uint32_t i = 0; i < topology.count; i++) {
        topology.parents[i] = find_parent(&topology, i);
    }
    while ((root = next_root(&topology)) < topology.count) {
        put_tree(&topology, root, &done);
    }
    return done.count;
}

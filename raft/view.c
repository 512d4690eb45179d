/*
 * What can be seen of the core from outside, and its table of other nodes.
 */
#include "base/assert.h"
#include "base/text.h"
#include "raft/raft_impl.h"

/* --- Peers --- */

struct peer *raft_peer_find(struct raft *raft, uint64_t id)
{
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        if (raft->peers[i].id == id) {
            return &raft->peers[i];
        }
    }
    return NULL;
}

/* The stranger heard longest ago; NULL if all are seeds or members. */
static struct peer *find_dispensable(struct raft *raft)
{
    struct peer *oldest = NULL;

    for (uint32_t i = 0; i < raft->peer_count; i++) {
        struct peer *peer = &raft->peers[i];

        if (!peer->seed && raft_config_find(&raft->config, peer->id) == NULL &&
            (oldest == NULL || peer->heard_ms < oldest->heard_ms)) {
            oldest = peer;
        }
    }
    return oldest;
}

struct peer *raft_peer_ensure(struct raft *raft, uint64_t id, const char *address)
{
    struct peer *peer = raft_peer_find(raft, id);

    ASSERT(id != 0);
    ASSERT(id != raft->self);
    if (peer == NULL) {
        peer = raft->peer_count < RAFT_PEERS_MAX ? &raft->peers[raft->peer_count++]
                                                 : find_dispensable(raft);
        if (peer == NULL) {
            return NULL;
        }
        *peer = (struct peer){.id = id};
    }
    text_copy_cut(peer->address, sizeof peer->address, address);
    return peer;
}

struct peer *raft_member_peer(struct raft *raft, const struct raft_member *member)
{
    struct peer *peer = raft_peer_find(raft, member->id);

    ASSERT(member->id != raft->self);
    ASSERT(peer != NULL); /* Made with the membership, and kept as long. */
    return peer;
}

/* --- Views --- */

enum raft_role raft_role(const struct raft *raft)
{
    return raft->role;
}

uint64_t raft_self(const struct raft *raft)
{
    return raft->self;
}

uint64_t raft_term(const struct raft *raft)
{
    return raft->hard.term;
}

uint64_t raft_leader(const struct raft *raft)
{
    return raft->leader;
}

uint64_t raft_cluster_id(const struct raft *raft)
{
    return raft->hard.cluster_id;
}

uint64_t raft_incarnation(const struct raft *raft)
{
    return raft->hard.incarnation;
}

uint64_t raft_last_index(const struct raft *raft)
{
    return entries_last(&raft->entries);
}

uint64_t raft_durable_index(const struct raft *raft)
{
    return raft->durable_index;
}

uint64_t raft_commit_index(const struct raft *raft)
{
    return raft->commit_index;
}

uint64_t raft_applied_index(const struct raft *raft)
{
    return raft->applied_index;
}

uint64_t raft_first_index(const struct raft *raft)
{
    return entries_first(&raft->entries);
}

struct raft_entry raft_entry_get(const struct raft *raft, uint64_t index)
{
    return entries_get(&raft->entries, index);
}

uint64_t raft_term_at(const struct raft *raft, uint64_t index)
{
    if (index == raft->snapshot.index) {
        return raft->snapshot.term; /* Also when the log begins behind it. */
    }
    return entries_term(&raft->entries, index);
}

const struct raft_snapshot *raft_snapshot(const struct raft *raft)
{
    return &raft->snapshot;
}

const struct raft_config *raft_config(const struct raft *raft)
{
    return &raft->config;
}

const struct raft_config *raft_config_committed(const struct raft *raft)
{
    return &raft->config_committed;
}

bool raft_position_checked(const struct raft *raft)
{
    return raft->position_checked;
}

bool raft_is_voter(const struct raft *raft)
{
    const struct raft_member *member = raft_config_find(&raft->config, raft->self);

    return member != NULL && member->incarnation == raft->hard.incarnation &&
           member->kind == RAFT_MEMBER_VOTER;
}

bool raft_leader_ready(const struct raft *raft)
{
    return raft->role == RAFT_LEADER && raft->commit_index >= raft->term_start_index;
}

uint32_t raft_log_bytes(const struct raft *raft)
{
    return entries_bytes_from(&raft->entries, raft->snapshot.index + 1);
}

uint32_t raft_log_entries(const struct raft *raft)
{
    return entries_count_from(&raft->entries, raft->snapshot.index + 1);
}

bool raft_peer_view(const struct raft *raft, uint64_t id, struct raft_peer_view *view)
{
    if (raft->role != RAFT_LEADER || raft_config_find(&raft->config, id) == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        const struct progress *progress = &raft->peers[i].progress;

        if (raft->peers[i].id == id) {
            *view = (struct raft_peer_view){
                .match_index = progress->match_index,
                .heard_ms = progress->answered_round > 0 ? progress->heard_ms : 0,
                .caught_up = progress->match_index >= raft->commit_index,
            };
            return true;
        }
    }
    return false; /* Ourselves. */
}

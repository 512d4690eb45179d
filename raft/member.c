/*
 * Membership: one change at a time, in effect as soon as it is in the log, taken back
 * when it is cut off (Ongaro's dissertation, 4.1). A change waits until the one before
 * it is committed, and until an entry of the leader's own term is: without the second
 * rule two changes made by two leaders may have no voter in common (Ongaro, 2015).
 */
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "raft/raft_impl.h"

bool raft_member_decode(const struct raft_entry *entry, struct raft_config *config)
{
    struct err err;

    ASSERT(entry->kind == RAFT_ENTRY_CONFIG);
    return raft_config_decode(entry->data, entry->size_bytes, config, &err) == STATUS_OK &&
           config->term == entry->term && config->index == entry->index;
}

void raft_member_config_at(const struct raft *raft, uint64_t index, struct raft_config *config)
{
    for (; index > raft->snapshot.index; index--) {
        const struct raft_entry entry = raft_entry_get(raft, index);

        if (entry.kind == RAFT_ENTRY_CONFIG) {
            /* What others sent was checked on the way in, what the store held by its checksum. */
            ASSERT(raft_member_decode(&entry, config));
            return;
        }
    }
    *config = raft->snapshot.config;
}

void raft_member_set_config(struct raft *raft, const struct raft_config *config)
{
    for (uint32_t i = 0; i < config->count; i++) {
        const struct raft_member *member = &config->members[i];
        const struct raft_member *before = raft_config_find(&raft->config, member->id);
        struct peer *peer;

        if (member->id == raft->self) {
            continue;
        }
        peer = raft_peer_ensure(raft, member->id, member->address);
        ASSERT(peer != NULL); /* There are more slots than seeds and members. */
        if (raft->role == RAFT_LEADER &&
            (before == NULL || before->incarnation != member->incarnation)) {
            raft_leader_track(raft, peer);
        }
    }
    raft->config = *config;
}

/* TAKEN if a change is possible now. */
static enum raft_proposal_result may_change(const struct raft *raft)
{
    if (raft->role != RAFT_LEADER) {
        return RAFT_PROPOSAL_NOT_LEADER;
    }
    if (!raft_leader_ready(raft) || raft->config.index > raft->commit_index ||
        raft->transfer_to != 0) {
        return RAFT_PROPOSAL_BUSY;
    }
    return RAFT_PROPOSAL_TAKEN;
}

static enum raft_proposal_result propose(struct raft *raft, struct raft_config *config)
{
    uint8_t bytes[RAFT_CONFIG_BYTES_MAX];

    ASSERT(raft_leader_ready(raft));
    ASSERT(raft->config.index <= raft->commit_index);
    if (raft_config_voter_count(config) == 0 || raft_config_voter_count(config) > RAFT_VOTERS_MAX) {
        return RAFT_PROPOSAL_INVALID;
    }
    config->term = raft->hard.term;
    config->index = raft_last_index(raft) + 1;
    return raft_leader_propose(raft, RAFT_ENTRY_CONFIG, bytes, raft_config_encode(config, bytes));
}

static bool is_addable(const struct raft *raft, const struct raft_member *member)
{
    const struct raft_member *before = raft_config_find(&raft->config, member->id);

    if (member->id == 0 || member->id == raft->self || member->incarnation == 0 ||
        memchr(member->address, '\0', sizeof member->address) == NULL ||
        member->id != raft_id(member->address)) {
        return false;
    }
    return before == NULL ? raft->config.count < RAFT_MEMBERS_MAX
                          : before->incarnation != member->incarnation;
}

enum raft_proposal_result raft_member_add_learner(
    struct raft *raft, const struct raft_member *member)
{
    const enum raft_proposal_result result = may_change(raft);
    struct raft_config config = raft->config;
    struct raft_member *target;

    if (result != RAFT_PROPOSAL_TAKEN) {
        return result;
    }
    if (!is_addable(raft, member)) {
        return RAFT_PROPOSAL_INVALID;
    }
    target = &config.members[raft_config_position(&config, member->id)];
    if (target == &config.members[config.count]) {
        config.count++;
    }
    *target = (struct raft_member){
        .id = member->id,
        .incarnation = member->incarnation,
        .kind = RAFT_MEMBER_LEARNER,
    };
    text_copy_cut(target->address, sizeof target->address, member->address);
    return propose(raft, &config);
}

/* It must not stand in the way of commits as soon as it counts. */
static bool is_caught_up(const struct raft *raft, uint64_t id)
{
    struct raft_peer_view view;

    return raft_peer_view(raft, id, &view) && view.caught_up && view.heard_ms != 0 &&
           raft->now_ms - view.heard_ms <= raft->settings.election_max_ms;
}

enum raft_proposal_result raft_member_promote(struct raft *raft, uint64_t id)
{
    const enum raft_proposal_result result = may_change(raft);
    struct raft_config config = raft->config;
    const uint32_t position = raft_config_position(&config, id);

    if (result != RAFT_PROPOSAL_TAKEN) {
        return result;
    }
    if (position == config.count || config.members[position].kind != RAFT_MEMBER_LEARNER ||
        !is_caught_up(raft, id)) {
        return RAFT_PROPOSAL_INVALID;
    }
    config.members[position].kind = RAFT_MEMBER_VOTER;
    return propose(raft, &config);
}

enum raft_proposal_result raft_member_remove(struct raft *raft, uint64_t id)
{
    const enum raft_proposal_result result = may_change(raft);
    struct raft_config config = raft->config;
    const uint32_t position = raft_config_position(&config, id);

    if (result != RAFT_PROPOSAL_TAKEN) {
        return result;
    }
    if (position == config.count) {
        return RAFT_PROPOSAL_INVALID;
    }
    config.count--;
    memmove(
        &config.members[position], &config.members[position + 1],
        (config.count - position) * sizeof config.members[0]);
    return propose(raft, &config);
}

#include "daemon/raft_view.h"

#include <string.h>

void raft_view_fill(const struct raft *raft, struct ha_raft *view)
{
    const struct raft_config *config = raft_config(raft);
    const struct raft_config *decided = raft_config_committed(raft);
    struct raft_stranger strangers[RAFT_MEMBERS_MAX];

    memset(view, 0, sizeof *view);
    view->leader = raft_role(raft) == RAFT_LEADER && raft_leader_ready(raft);
    view->leader_id = raft_leader(raft);
    view->term = raft_term(raft);
    view->position_checked = raft_position_checked(raft);
    view->membership_settled = config->index == decided->index && config->term == decided->term;
    view->member_count = config->count;
    for (uint32_t i = 0; i < config->count; i++) {
        view->member |= config->members[i].id == raft_self(raft) &&
                        config->members[i].incarnation == raft_incarnation(raft);
    }
    for (uint32_t i = 0; i < config->count; i++) {
        struct raft_peer_view peer = {.caught_up = false};

        view->members[i].id = config->members[i].id;
        view->members[i].voter = config->members[i].kind == RAFT_MEMBER_VOTER;
        (void)raft_peer_view(raft, config->members[i].id, &peer);
        view->members[i].caught_up = peer.caught_up && !view->members[i].voter;
    }
    view->decided_count = decided->count;
    for (uint32_t i = 0; i < decided->count; i++) {
        view->decided_ids[i] = decided->members[i].id;
    }
    view->stranger_count = raft_strangers(raft, strangers, CLUSTER_MEMBERS_MAX);
    for (uint32_t i = 0; i < view->stranger_count; i++) {
        view->strangers[i].id = strangers[i].member.id;
        view->strangers[i].incarnation = strangers[i].member.incarnation;
        view->strangers[i].empty = strangers[i].empty;
    }
}

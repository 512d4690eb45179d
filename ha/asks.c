/*
 * What the outside asked this node for and the log has to decide: carried to whoever leads,
 * again and again under the same id, until its outcome is in the applied state.
 */
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "base/time.h"
#include "ha/ha_impl.h"

#define ASK_EVERY_MS    250
#define ASK_PATIENCE_MS 20000

void asks_reply(struct ha *ha, uint64_t id, uint32_t code, const char *text)
{
    struct ha_reply *reply;

    if (id == 0 || ha->update->reply_count == HA_REPLIES_MAX) {
        return;
    }
    reply = &ha->update->replies[ha->update->reply_count++];
    reply->id = id;
    reply->code = code;
    text_copy_cut(reply->text, sizeof reply->text, text);
}

static uint64_t ask_id(const struct command *command)
{
    return command->kind == COMMAND_REQUEST_SET ? command->request.id : command->id;
}

void asks_add(struct ha *ha, const struct command *command)
{
    struct ha_ask *ask = NULL;

    ASSERT(ask_id(command) != 0);
    for (uint32_t i = 0; i < HA_ASKS_MAX && ask == NULL; i++) {
        ask = ha->asks[i].id == 0 ? &ha->asks[i] : NULL;
    }
    if (ask == NULL || command->config_size >= CLUSTER_CONFIG_SIZE) {
        asks_reply(ha, ask_id(command), 503, "too many requests at a time");
        return;
    }
    ask->id = ask_id(command);
    ask->since_ms = ha->now_ms;
    ask->next_send_ms = ha->now_ms;
    ask->command = *command;
    if (command->config != NULL) {
        memcpy(ask->config, command->config, command->config_size);
        ask->config[command->config_size] = '\0';
        ask->command.config = ask->config;
    }
}

/* Leader: NULL if the command may be proposed, else why not. */
static const char *why_not(const struct ha *ha, const struct command *command)
{
    const struct cluster *cluster = &ha->cluster;

    switch (command->kind) {
    case COMMAND_REQUEST_SET:
        if (cluster_request_stands(cluster, ha->wall_ms) &&
            cluster->request.id != command->request.id) {
            return "another switchover or failover is pending";
        }
        if (command->request.kind == CLUSTER_REQUEST_SWITCHOVER &&
            cluster_grantee(cluster) != command->request.from) {
            return "leader name does not match";
        }
        return NULL;
    case COMMAND_MEMBER_REMOVE:
        return command->node == cluster->last.node ? "the primary cannot be removed" : NULL;
    case COMMAND_REQUEST_CLEAR:
    case COMMAND_CONFIG_SET:
        return NULL;
    case COMMAND_NONE:
    case COMMAND_MEMBER_SET:
    case COMMAND_INIT:
    case COMMAND_REVOKE:
    case COMMAND_GRANT:
    case COMMAND_SERVING:
    case COMMAND_HANDOVER:
    case COMMAND_TTL_BESIDE:
    case COMMAND_TTL_ALONE:
    case COMMAND_KINDS:
        break;
    }
    return "not something that may be asked for";
}

/* True if it was proposed or is void by now; false with a reason if it must not be. */
static bool lead(struct ha *ha, const struct command *command, const char **reason)
{
    if (cluster_outcome(&ha->cluster, ask_id(command)) != NULL) {
        return true; /* Done: who asks again has not applied that yet. */
    }
    *reason = why_not(ha, command);
    if (*reason != NULL) {
        return false;
    }
    if (command->kind == COMMAND_MEMBER_REMOVE) {
        /* Out of Raft's membership first; the member table follows (upkeep.c). */
        if (upkeep_serves(ha) && ha->raft.membership_settled) {
            ha->update->remove_member = command->node;
        }
        return true;
    }
    if (ha->update->proposal_count < HA_PROPOSALS_MAX) {
        ha->proposals[ha->update->proposal_count] = *command;
        ha->proposals[ha->update->proposal_count].wall_ms = ha->wall_ms;
        ha->update->proposal_count++;
    }
    return true;
}

void asks_forwarded(struct ha *ha, const struct ha_message *message)
{
    const char *reason;

    if (!ha->raft.leader || lead(ha, &message->command, &reason)) {
        return; /* Not the leader: the one who asks will find it. */
    }
    {
        struct ha_message *refused = ha_message_new(ha, HA_MESSAGE_REFUSED, message->from);

        refused->forward_id = message->forward_id;
        refused->refusal = (struct cluster_outcome){.id = message->forward_id, .code = 412};
        text_copy_cut(refused->refusal.text, sizeof refused->refusal.text, reason);
    }
}

static void end(struct ha *ha, struct ha_ask *ask, uint32_t code, const char *text)
{
    asks_reply(ha, ask->id, code, text);
    ask->id = 0;
}

void asks_refused(struct ha *ha, const struct ha_message *message)
{
    for (uint32_t i = 0; i < HA_ASKS_MAX; i++) {
        if (ha->asks[i].id != 0 && ha->asks[i].id == message->forward_id) {
            end(ha, &ha->asks[i], message->refusal.code, message->refusal.text);
        }
    }
}

/* Answers if the applied state holds the outcome. */
static bool is_decided(struct ha *ha, struct ha_ask *ask)
{
    const struct cluster *cluster = &ha->cluster;
    const struct command *command = &ask->command;
    const struct cluster_outcome *outcome = cluster_outcome(cluster, ask->id);

    if (outcome != NULL) {
        end(ha, ask, outcome->code, outcome->text);
        return true;
    }
    if (command->kind == COMMAND_REQUEST_SET && cluster->request.id == ask->id &&
        command->request.scheduled_wall_ms > ha->wall_ms) {
        end(ha, ask, 202,
            command->request.kind == CLUSTER_REQUEST_FAILOVER ? "Failover scheduled"
                                                              : "Switchover scheduled");
        return true;
    }
    if (command->kind == COMMAND_REQUEST_CLEAR && cluster->request.id != command->request.id) {
        end(ha, ask, 200, "scheduled switchover deleted");
        return true;
    }
    if (command->kind == COMMAND_MEMBER_REMOVE && cluster_find(cluster, command->node) == NULL) {
        end(ha, ask, 200, "member removed");
        return true;
    }
    return false;
}

static void send(struct ha *ha, struct ha_ask *ask)
{
    const char *reason;

    ask->next_send_ms = ha->now_ms + ASK_EVERY_MS;
    if (ask->command.kind == COMMAND_REQUEST_SET && ha->cluster.request.id == ask->id) {
        return; /* Decided, and under way. */
    }
    if (ha->raft.leader) {
        if (!lead(ha, &ask->command, &reason)) {
            end(ha, ask, 412, reason);
        }
    } else if (ha->raft.leader_id != 0) {
        struct ha_message *message = ha_message_new(ha, HA_MESSAGE_FORWARD, ha->raft.leader_id);

        message->forward_id = ask->id;
        message->command = ask->command;
    }
}

void asks_tick(struct ha *ha)
{
    for (uint32_t i = 0; i < HA_ASKS_MAX; i++) {
        struct ha_ask *ask = &ha->asks[i];

        if (ask->id == 0 || is_decided(ha, ask)) {
            continue;
        }
        if (time_since(ha->now_ms, ask->since_ms) > ASK_PATIENCE_MS) {
            end(ha, ask, 503, "status unknown");
        } else if (ha->now_ms >= ask->next_send_ms) {
            send(ha, ask);
        }
    }
}

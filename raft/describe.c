#include "raft/describe.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/attr.h"

/* --- Names --- */

const char *raft_role_name(enum raft_role role)
{
    static const char *const names[] = {
        [RAFT_FOLLOWER] = "follower",
        [RAFT_CANDIDATE] = "candidate",
        [RAFT_LEADER] = "leader",
    };

    ASSERT(role < ARRAY_SIZE(names));
    return names[role];
}

const char *raft_member_kind_name(enum raft_member_kind kind)
{
    return kind == RAFT_MEMBER_VOTER ? "voter" : "learner";
}

const char *raft_entry_kind_name(enum raft_entry_kind kind)
{
    static const char *const names[] = {
        [RAFT_ENTRY_NOOP] = "noop",
        [RAFT_ENTRY_CONFIG] = "config",
        [RAFT_ENTRY_DATA] = "data",
    };

    ASSERT(kind < ARRAY_SIZE(names));
    return names[kind];
}

const char *raft_message_kind_name(enum raft_message_kind kind)
{
    static const char *const names[] = {
        [RAFT_HELLO] = "HELLO",
        [RAFT_HELLO_ANSWER] = "HELLO_ANSWER",
        [RAFT_PREVOTE] = "PREVOTE",
        [RAFT_PREVOTE_ANSWER] = "PREVOTE_ANSWER",
        [RAFT_VOTE] = "VOTE",
        [RAFT_VOTE_ANSWER] = "VOTE_ANSWER",
        [RAFT_APPEND] = "APPEND",
        [RAFT_APPEND_ANSWER] = "APPEND_ANSWER",
        [RAFT_SNAPSHOT] = "SNAPSHOT",
        [RAFT_SNAPSHOT_ANSWER] = "SNAPSHOT_ANSWER",
        [RAFT_TIMEOUT_NOW] = "TIMEOUT_NOW",
    };

    _Static_assert(ARRAY_SIZE(names) == RAFT_MESSAGE_KINDS, "every kind has a name");
    ASSERT(kind < RAFT_MESSAGE_KINDS);
    return names[kind];
}

const char *raft_event_kind_name(enum raft_event_kind kind)
{
    static const char *const names[] = {
        [RAFT_EVENT_TICK] = "TICK",
        [RAFT_EVENT_MESSAGE] = "MESSAGE",
        [RAFT_EVENT_PERSISTED] = "PERSISTED",
        [RAFT_EVENT_PROPOSE] = "PROPOSE",
        [RAFT_EVENT_TRANSFER] = "TRANSFER",
        [RAFT_EVENT_READ] = "READ",
        [RAFT_EVENT_ADD_LEARNER] = "ADD_LEARNER",
        [RAFT_EVENT_PROMOTE] = "PROMOTE",
        [RAFT_EVENT_REMOVE] = "REMOVE",
        [RAFT_EVENT_SNAPSHOT_TAKEN] = "SNAPSHOT_TAKEN",
        [RAFT_EVENT_PEER_LOST] = "PEER_LOST",
        [RAFT_EVENT_PEER_FOUND] = "PEER_FOUND",
    };

    _Static_assert(ARRAY_SIZE(names) == RAFT_EVENT_KINDS, "every kind has a name");
    ASSERT(kind < RAFT_EVENT_KINDS);
    return names[kind];
}

const char *raft_proposal_result_name(enum raft_proposal_result result)
{
    static const char *const names[] = {
        [RAFT_PROPOSAL_NONE] = "none",
        [RAFT_PROPOSAL_TAKEN] = "taken",
        [RAFT_PROPOSAL_NOT_LEADER] = "not leader",
        [RAFT_PROPOSAL_BUSY] = "busy",
        [RAFT_PROPOSAL_FULL] = "log full",
        [RAFT_PROPOSAL_INVALID] = "invalid",
    };

    ASSERT(result < ARRAY_SIZE(names));
    return names[result];
}

const char *raft_note_kind_name(enum raft_note_kind kind)
{
    static const char *const names[] = {
#define X(code, text) [RAFT_NOTE_##code] = #code,
        RAFT_NOTE_MAP(X)
#undef X
    };

    _Static_assert(ARRAY_SIZE(names) == RAFT_NOTE_KINDS, "every kind has a name");
    ASSERT(kind < RAFT_NOTE_KINDS);
    return names[kind];
}

const char *raft_note_kind_text(enum raft_note_kind kind)
{
    static const char *const texts[] = {
#define X(code, text) [RAFT_NOTE_##code] = text,
        RAFT_NOTE_MAP(X)
#undef X
    };

    _Static_assert(ARRAY_SIZE(texts) == RAFT_NOTE_KINDS, "every kind has a text");
    ASSERT(kind < RAFT_NOTE_KINDS);
    return texts[kind];
}

/* --- Values: what is zero is left out --- */

static void add_number(struct text *text, const char *name, uint64_t value)
{
    if (value != 0) {
        text_addf(text, " %s=%" PRIu64, name, value);
    }
}

static void add_id(struct text *text, const char *name, uint64_t id)
{
    if (id != 0) {
        text_addf(text, " %s=%016" PRIx64, name, id);
    }
}

static void add_flag(struct text *text, const char *name, bool value)
{
    if (value) {
        text_addf(text, " %s", name);
    }
}

/* A position in the log, as term/index. */
static void add_position(struct text *text, const char *name, uint64_t term, uint64_t index)
{
    if (term != 0 || index != 0) {
        text_addf(text, " %s=%" PRIu64 "/%" PRIu64, name, term, index);
    }
}

/* --- Messages --- */

static void add_entries(struct text *text, const struct raft_message *message)
{
    add_position(text, "prev", message->prev_term, message->prev_index);
    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];

        text_addf(
            text, " %s(%" PRIu64 "/%" PRIu64 ")", raft_entry_kind_name(entry->kind), entry->term,
            entry->index);
    }
}

static void add_fields(struct text *text, const struct raft_message *message)
{
    switch (message->kind) {
    case RAFT_HELLO:
    case RAFT_HELLO_ANSWER:
        add_id(text, "cluster", message->cluster_id);
        add_id(text, "incarnation", message->from_incarnation);
        add_position(text, "last", message->last_term, message->last_index);
        add_number(text, "commit", message->commit_index);
        add_position(text, "seen", message->seen_term, message->seen_index);
        add_flag(text, "empty", message->empty);
        add_flag(text, "member", message->accepted);
        return;
    case RAFT_PREVOTE:
    case RAFT_VOTE:
        add_position(text, "last", message->last_term, message->last_index);
        add_flag(text, "transfer", message->transfer);
        return;
    case RAFT_PREVOTE_ANSWER:
    case RAFT_VOTE_ANSWER:
        add_number(text, "of", message->round);
        text_add(text, message->accepted ? " granted" : " refused");
        return;
    case RAFT_APPEND:
        add_number(text, "round", message->round);
        add_number(text, "commit", message->commit_index);
        add_entries(text, message);
        return;
    case RAFT_APPEND_ANSWER:
    case RAFT_SNAPSHOT_ANSWER:
        add_number(text, "round", message->round);
        add_number(text, "match", message->match_index);
        add_position(text, "hint", message->hint_term, message->hint_index);
        text_add(text, message->accepted ? " accepted" : " refused");
        return;
    case RAFT_SNAPSHOT:
        add_position(text, "snapshot", message->snapshot.term, message->snapshot.index);
        add_number(text, "bytes", message->snapshot.size_bytes);
        return;
    case RAFT_TIMEOUT_NOW:
        return;
    case RAFT_MESSAGE_KINDS:
        break;
    }
    UNREACHABLE();
}

void raft_describe_message(struct text *text, const struct raft_message *message)
{
    text_add(text, raft_message_kind_name(message->kind));
    add_id(text, "from", message->from);
    add_id(text, "to", message->to);
    add_number(text, "term", message->term);
    add_fields(text, message);
}

/* --- Events --- */

static void add_event_fields(struct text *text, const struct raft_event *event)
{
    switch (event->kind) {
    case RAFT_EVENT_TICK:
        return;
    case RAFT_EVENT_MESSAGE:
        text_add(text, " ");
        raft_describe_message(text, event->message);
        return;
    case RAFT_EVENT_PERSISTED:
        add_number(text, "number", event->persist_number);
        return;
    case RAFT_EVENT_PROPOSE:
        add_number(text, "bytes", event->size_bytes);
        return;
    case RAFT_EVENT_READ:
        add_number(text, "number", event->read_number);
        return;
    case RAFT_EVENT_ADD_LEARNER:
        add_id(text, "member", event->member.id);
        add_id(text, "incarnation", event->member.incarnation);
        return;
    case RAFT_EVENT_SNAPSHOT_TAKEN:
        add_number(text, "index", event->index);
        add_number(text, "bytes", event->size_bytes);
        return;
    case RAFT_EVENT_TRANSFER:
    case RAFT_EVENT_PROMOTE:
    case RAFT_EVENT_REMOVE:
    case RAFT_EVENT_PEER_LOST:
    case RAFT_EVENT_PEER_FOUND:
        add_id(text, "member", event->member_id);
        return;
    case RAFT_EVENT_KINDS:
        break;
    }
    UNREACHABLE();
}

void raft_describe_event(struct text *text, const struct raft_event *event)
{
    text_add(text, raft_event_kind_name(event->kind));
    add_event_fields(text, event);
}

/* --- Notes --- */

/* What the two numbers of a note are; NULL for what is not used. `hex`: it is an id. */
struct note_field {
    const char *name;
    bool hex;
};

struct note_fields {
    struct note_field a;
    struct note_field b;
};

static const struct note_fields note_fields[] = {
    [RAFT_NOTE_NONE] = {{NULL, false},             {NULL, false}          },
    [RAFT_NOTE_BECAME_FOLLOWER] = {{"term", false},           {"leader", true}       },
    [RAFT_NOTE_STARTED_PREVOTE] = {{"term", false},           {NULL, false}          },
    [RAFT_NOTE_STARTED_VOTE] = {{"term", false},           {"transfer", false}    },
    [RAFT_NOTE_BECAME_LEADER] = {{"term", false},           {"index", false}       },
    [RAFT_NOTE_LOST_QUORUM] = {{"term", false},           {"silent_ms", false}   },
    [RAFT_NOTE_REFUSED_VOTE_LEADER_HEARD] = {{"term", false},           {"candidate", true}    },
    [RAFT_NOTE_REFUSED_VOTE_LOG] = {{"term", false},           {"candidate", true}    },
    [RAFT_NOTE_REFUSED_VOTE_GIVEN] = {{"term", false},           {"candidate", true}    },
    [RAFT_NOTE_REFUSED_NOT_CHECKED] = {{"term", false},           {"candidate", true}    },
    [RAFT_NOTE_GRANTED_VOTE] = {{"term", false},           {"candidate", true}    },
    [RAFT_NOTE_TRUNCATED] = {{"from_index", false},     {"term", false}        },
    [RAFT_NOTE_INSTALLED_SNAPSHOT] = {{"index", false},          {"term", false}        },
    [RAFT_NOTE_KEPT_TAIL] = {{"snapshot_index", false}, {"last_index", false}  },
    [RAFT_NOTE_CONFIG_APPENDED] = {{"index", false},          {"members", false}     },
    [RAFT_NOTE_CONFIG_ROLLED_BACK] = {{"index", false},          {"members", false}     },
    [RAFT_NOTE_CONFIG_COMMITTED] = {{"index", false},          {"members", false}     },
    [RAFT_NOTE_TRANSFER_STARTED] = {{"member", true},          {"term", false}        },
    [RAFT_NOTE_TRANSFER_ABORTED] = {{"member", true},          {NULL, false}          },
    [RAFT_NOTE_FORMED] = {{"cluster", true},         {"members", false}     },
    [RAFT_NOTE_JOINED] = {{"cluster", true},         {"by", true}           },
    [RAFT_NOTE_FORMATION_DROPPED] = {{"cluster", true},         {"other_cluster", true}},
    [RAFT_NOTE_WRONG_CLUSTER] = {{"from", true},            {"cluster", true}      },
    [RAFT_NOTE_WRONG_INCARNATION] = {{"from", true},            {"incarnation", true}  },
    [RAFT_NOTE_LEFT_OUT] = {{"called_at", false},      {NULL, false}          },
    [RAFT_NOTE_AMNESIA] = {{"seen_term", false},      {"seen_index", false}  },
    [RAFT_NOTE_POSITION_CHECKED] = {{"term", false},           {"index", false}       },
    [RAFT_NOTE_SNAPSHOT_SENT] = {{"member", true},          {"index", false}       },
    [RAFT_NOTE_DISK_STALLED] = {{"term", false},           {"stalled_ms", false}  },
};

static void add_note_field(struct text *text, struct note_field field, uint64_t value)
{
    if (field.name == NULL) {
        return;
    }
    if (field.hex) {
        add_id(text, field.name, value);
    } else {
        add_number(text, field.name, value);
    }
}

void raft_describe_note(struct text *text, const struct raft_note *note)
{
    _Static_assert(ARRAY_SIZE(note_fields) == RAFT_NOTE_KINDS, "every kind has its fields");
    text_add(text, raft_note_kind_text(note->kind));
    add_note_field(text, note_fields[note->kind].a, note->a);
    add_note_field(text, note_fields[note->kind].b, note->b);
}

void raft_describe_config(struct text *text, const struct raft_config *config)
{
    text_addf(text, "membership %" PRIu64 "/%" PRIu64, config->term, config->index);
    for (uint32_t i = 0; i < config->count; i++) {
        const struct raft_member *member = &config->members[i];

        text_addf(
            text, "%s %s %s", i == 0 ? ":" : ",", raft_member_kind_name(member->kind),
            member->address);
    }
}

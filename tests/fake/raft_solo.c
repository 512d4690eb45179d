#include "tests/fake/raft_solo.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "raft/raft_impl.h"

static void put_address(char address[RAFT_ADDRESS_SIZE], uint32_t i)
{
    struct text text;

    text_init(&text, address, RAFT_ADDRESS_SIZE);
    text_addf(&text, "member%u:7000", i);
}

uint64_t raft_solo_id(uint32_t i)
{
    char address[RAFT_ADDRESS_SIZE];

    put_address(address, i);
    return raft_id(address);
}

uint64_t raft_solo_incarnation(uint32_t i)
{
    return 1000 + i;
}

struct raft_member raft_solo_member(uint32_t i, enum raft_member_kind kind)
{
    struct raft_member member = {
        .id = raft_solo_id(i),
        .incarnation = raft_solo_incarnation(i),
        .kind = kind,
    };

    put_address(member.address, i);
    return member;
}

struct raft_solo *raft_solo_create_loaded(const struct raft_loaded *loaded, uint32_t seeds)
{
    struct raft_settings settings = {
        .seed_count = seeds,
        .heartbeat_ms = 100,
        .election_min_ms = 500,
        .election_max_ms = 1000,
        .random_seed = 1,
        .new_cluster_id = SOLO_CLUSTER,
    };
    struct raft_solo *solo = calloc(1, sizeof *solo);

    ASSERT(solo != NULL);
    put_address(settings.self_address, 0);
    for (uint32_t i = 0; i < seeds; i++) {
        put_address(settings.seeds[i], i + 1);
    }
    solo->memory = malloc(raft_size());
    ASSERT(solo->memory != NULL);
    solo->now_ms = 10000;
    solo->raft = raft_init(solo->memory, &settings, loaded, solo->now_ms);
    solo->config = *raft_config(solo->raft);
    raft_solo_tick(solo, 0);
    return solo;
}

struct raft_solo *raft_solo_create(
    uint32_t voters, uint32_t learners, uint64_t term, const uint64_t terms[], uint32_t count)
{
    const struct raft_memory mark = {0};

    return raft_solo_create_marked(voters, learners, term, terms, count, &mark);
}

struct raft_solo *raft_solo_create_marked(
    uint32_t voters, uint32_t learners, uint64_t term, const uint64_t terms[], uint32_t count,
    const struct raft_memory *mark)
{
    struct raft_config config = {.term = 1, .index = 1, .count = voters + learners};
    uint8_t bytes[RAFT_CONFIG_BYTES_MAX];
    struct raft_entry entries[RAFT_BATCH_MAX] = {
        {.term = 1, .index = 1, .kind = RAFT_ENTRY_CONFIG, .data = bytes},
    };
    const struct raft_loaded loaded = {
        .hard =
            {
                   .term = term,
                   .cluster_id = SOLO_CLUSTER,
                   .incarnation = raft_solo_incarnation(0),
                   },
        .entry_count = count + 1,
        .entries = entries,
        .mark = *mark,
    };

    ASSERT(count < RAFT_BATCH_MAX);
    for (uint32_t i = 0; i < config.count; i++) {
        config.members[i] =
            raft_solo_member(i, i < voters ? RAFT_MEMBER_VOTER : RAFT_MEMBER_LEARNER);
    }
    entries[0].size_bytes = raft_config_encode(&config, bytes);
    for (uint32_t i = 0; i < count; i++) {
        entries[i + 1] = (struct raft_entry){.term = terms[i], .index = i + 2};
    }
    return raft_solo_create_loaded(&loaded, config.count - 1);
}

void raft_solo_destroy(struct raft_solo *solo)
{
    free(solo->memory);
    free(solo);
}

void raft_solo_feed(struct raft_solo *solo, struct raft_event event)
{
    event.now_ms = solo->now_ms;
    raft_step(solo->raft, &event, &solo->update);
    if (solo->update.persist.number != 0) {
        ASSERT(solo->update.persist.number == solo->persist_number + 1);
        solo->persist_number++;
    }
}

void raft_solo_tick(struct raft_solo *solo, uint64_t span_ms)
{
    solo->now_ms += span_ms;
    raft_solo_feed(solo, (struct raft_event){.kind = RAFT_EVENT_TICK});
}

void raft_solo_receive(struct raft_solo *solo, const struct raft_message *message)
{
    raft_solo_feed(solo, (struct raft_event){.kind = RAFT_EVENT_MESSAGE, .message = message});
}

void raft_solo_persisted(struct raft_solo *solo)
{
    raft_solo_feed(
        solo, (struct raft_event){
                  .kind = RAFT_EVENT_PERSISTED,
                  .persist_number = solo->persist_number,
              });
}

struct raft_message raft_solo_message(
    const struct raft_solo *solo, uint32_t from, enum raft_message_kind kind, uint64_t term)
{
    struct raft_message message = {
        .kind = kind,
        .from = raft_solo_id(from),
        .to = raft_self(solo->raft),
        .cluster_id = SOLO_CLUSTER,
        .from_incarnation = raft_solo_incarnation(from),
        .to_incarnation = raft_incarnation(solo->raft),
        .term = term,
        .round = term,
    };

    put_address(message.address, from);
    return message;
}

void raft_solo_check_position(struct raft_solo *solo)
{
    for (uint32_t i = 1; i < solo->config.count; i++) {
        const struct raft_message answer = raft_solo_message(solo, i, RAFT_HELLO_ANSWER, 0);

        raft_solo_receive(solo, &answer);
    }
    ASSERT(raft_position_checked(solo->raft));
}

static void grant(struct raft_solo *solo, enum raft_message_kind kind, uint64_t round)
{
    for (uint32_t i = 1; i < solo->config.count; i++) {
        struct raft_message answer = raft_solo_message(solo, i, kind, raft_term(solo->raft));

        if (solo->config.members[i].kind == RAFT_MEMBER_VOTER &&
            raft_role(solo->raft) == RAFT_CANDIDATE) {
            answer.round = round;
            answer.accepted = true;
            raft_solo_receive(solo, &answer);
        }
    }
}

void raft_solo_elect(struct raft_solo *solo)
{
    const uint64_t term = raft_term(solo->raft) + 1;

    if (!raft_position_checked(solo->raft)) {
        raft_solo_check_position(solo);
    }
    raft_solo_tick(solo, 1000);
    ASSERT(raft_role(solo->raft) == RAFT_CANDIDATE);
    while (raft_term(solo->raft) < term) {
        grant(solo, RAFT_PREVOTE_ANSWER, term);
    }
    raft_solo_persisted(solo);
    grant(solo, RAFT_VOTE_ANSWER, term);
    ASSERT(raft_role(solo->raft) == RAFT_LEADER);
}

void raft_solo_acknowledge(struct raft_solo *solo, uint32_t from, uint64_t index)
{
    struct raft_message answer =
        raft_solo_message(solo, from, RAFT_APPEND_ANSWER, raft_term(solo->raft));

    answer.accepted = true;
    answer.match_index = index;
    answer.round = solo->raft->round; /* The newest of all. */
    raft_solo_receive(solo, &answer);
}

const struct raft_message *raft_solo_sent(
    const struct raft_solo *solo, enum raft_message_kind kind, uint32_t to)
{
    for (uint32_t i = solo->update.message_count; i > 0; i--) {
        const struct raft_message *message = &solo->update.messages[i - 1];

        if (message->kind == kind && message->to == raft_solo_id(to)) {
            return message;
        }
    }
    return NULL;
}

bool raft_solo_noted(const struct raft_solo *solo, enum raft_note_kind kind)
{
    for (uint32_t i = 0; i < solo->update.note_count; i++) {
        if (solo->update.notes[i].kind == kind) {
            return true;
        }
    }
    return false;
}

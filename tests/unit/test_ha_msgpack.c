#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "base/text.h"
#include "ha/command_msgpack.h"
#include "ha/message_msgpack.h"

#define ROUNDS      300
#define BUFFER_SIZE (200u * 1024)

static uint8_t bytes[BUFFER_SIZE];
static uint8_t again[BUFFER_SIZE];
static char config_in[CLUSTER_CONFIG_SIZE];
static char config_out[CLUSTER_CONFIG_SIZE];
static struct cluster cluster_in;
static struct cluster cluster_out;
static struct prng prng;

/* Random content. Half of the fields stay zero, as in life. */

static uint64_t some_u64(void)
{
    static const uint64_t edges[] = {
        1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};

    if (prng_chance(&prng, 50)) {
        return 0;
    }
    return prng_chance(&prng, 50) ? edges[prng_next(&prng) % ARRAY_SIZE(edges)] : prng_next(&prng);
}

static uint32_t some_u32(void)
{
    return (uint32_t)some_u64();
}

static int64_t some_i64(void)
{
    return (int64_t)some_u64();
}

static bool some_bool(void)
{
    return prng_chance(&prng, 50);
}

static uint32_t below(uint32_t count)
{
    return (uint32_t)prng_between(&prng, 0, count - 1);
}

static void some_text(char *text, size_t size)
{
    size_t length = prng_chance(&prng, 30) ? 0 : prng_between(&prng, 0, size - 1);

    if (prng_chance(&prng, 10)) {
        length = size - 1;
    }
    for (size_t i = 0; i < length; i++) {
        text[i] = (char)prng_between(&prng, 1, 255);
    }
    text[length] = '\0';
}

static struct pg_position some_position(void)
{
    return (struct pg_position){.timeline = some_u32(), .lsn = some_u64()};
}

static void some_member(struct cluster_member *member)
{
    member->id = some_u64();
    member->data_dir_id = some_u64();
    member->witness = some_bool();
    member->pg_port = (uint16_t)some_u64();
    some_text(member->name, sizeof member->name);
    some_text(member->pg_host, sizeof member->pg_host);
    some_text(member->api_url, sizeof member->api_url);
}

static void some_request(struct cluster_request *request)
{
    request->kind = (enum cluster_request_kind)below(CLUSTER_REQUEST_FAILOVER + 1);
    request->id = some_u64();
    request->from = some_u64();
    request->to = some_u64();
    request->scheduled_wall_ms = some_u64();
    request->granted_epoch = some_u64();
}

static void some_outcome(struct cluster_outcome *outcome)
{
    outcome->id = some_u64();
    outcome->code = some_u32();
    some_text(outcome->text, sizeof outcome->text);
}

static void some_command(struct command *command)
{
    memset(command, 0, sizeof *command);
    command->kind = (enum command_kind)(1 + below(COMMAND_KINDS - 1));
    command->epoch = some_u64();
    command->node = some_u64();
    command->from = some_u64();
    command->data_dir_id = some_u64();
    command->parent = some_u64();
    command->position = some_position();
    command->fenced = some_bool();
    command->system_identifier = some_u64();
    command->wall_ms = some_u64();
    command->ttl_ms = some_u64();
    some_text(command->reason, sizeof command->reason);
    some_member(&command->member);
    some_request(&command->request);
    some_outcome(&command->outcome);
    command->id = some_u64();
    command->config_version = some_u64();
    some_text(config_in, prng_chance(&prng, 10) ? sizeof config_in : 100);
    command->config = config_in;
    command->config_size = (uint32_t)strlen(config_in);
}

static void some_grant(struct cluster_grant *grant, uint64_t epoch)
{
    grant->epoch = epoch;
    grant->node = some_u64();
    grant->data_dir_id = some_u64();
    grant->grant_term = some_u64();
    grant->grant_index = some_u64();
    grant->parent = some_u64();
    grant->start = some_position();
    grant->fenced = some_bool();
    grant->served = some_bool();
    grant->served_at = some_position();
    grant->wall_ms = some_u64();
    some_text(grant->name, sizeof grant->name);
    some_text(grant->reason, sizeof grant->reason);
}

static void some_cluster(struct cluster *cluster)
{
    memset(cluster, 0, sizeof *cluster);
    cluster->system_identifier = some_u64();
    cluster->init_node = some_u64();
    for (size_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        if (some_bool()) {
            some_member(&cluster->members[i]);
        }
    }
    cluster->epoch = 1000;
    cluster->phase = (enum cluster_phase)below(CLUSTER_SERVING + 1);
    some_text(cluster->revoke_reason, sizeof cluster->revoke_reason);
    cluster->history_count = 1 + below(CLUSTER_HISTORY_MAX);
    for (uint32_t i = 0; i < cluster->history_count; i++) {
        some_grant(&cluster->history[i], 1001 - cluster->history_count + i);
    }
    cluster->last = cluster->history[cluster->history_count - 1];
    cluster->ttl_ms = 1 + (some_u64() >> 1);
    cluster->ttl_other_ms = some_u64();
    cluster->ttl_index = some_u64();
    some_request(&cluster->request);
    cluster->outcome_next = below(CLUSTER_OUTCOMES_MAX);
    for (size_t i = 0; i < CLUSTER_OUTCOMES_MAX; i++) {
        some_outcome(&cluster->outcomes[i]);
    }
    cluster->config_version = some_u64();
    some_text(cluster->config, prng_chance(&prng, 10) ? CLUSTER_CONFIG_SIZE : 100);
    cluster->config_size = (uint32_t)strlen(cluster->config);
}

static void some_status(struct ha_status *status)
{
    status->start_id = some_u64();
    status->start_wall_ms = some_u64();
    status->number = some_u64();
    some_member(&status->member);
    status->log_epoch = some_u64();
    status->applied_index = some_u64();
    status->position_checked = some_bool();
    status->suspects_epoch = some_u64();
    status->silent_ms = some_u64();
    status->wait_left_ms = some_u64();
    status->data = (enum pg_data)below(PG_DATA_BROKEN + 1);
    status->run = (enum pg_run)below(PG_RUN_DYING + 1);
    status->system_identifier = some_u64();
    status->writable = some_bool();
    status->writable_epoch = some_u64();
    status->in_recovery = some_bool();
    status->position = some_position();
    status->received_lsn = some_u64();
    status->replayed_lsn = some_u64();
    status->replayed_wall_ms = some_i64();
    status->receiver_running = some_bool();
    status->streaming = some_bool();
    status->replay_paused = some_bool();
    status->marker_epoch = some_u64();
    status->follows_epoch = some_u64();
    some_text(status->progress, sizeof status->progress);
    status->progressed_ago_ms = some_u64();
    status->pledged_epoch = some_u64();
    status->pledged_position = some_position();
    status->ready_epoch = some_u64();
    status->ready_at = some_position();
    status->refused_epoch = some_u64();
    status->stopped.epoch = some_u64();
    status->stopped.planned = some_bool();
    status->stopped.restart = some_bool();
    status->stopped.end = some_position();
    status->stopped.end_final = some_bool();
    status->stopped.redo_bytes = some_u64();
    status->nofailover = some_bool();
    status->failover_priority = (int32_t)some_u32();
    status->noloadbalance = some_bool();
    status->clonefrom = some_bool();
    status->can_bootstrap = some_bool();
    status->watchdog_failed = some_bool();
    status->guard_rings = some_u32();
    status->server_version = some_u32();
    status->state = prng_chance(&prng, 50) ? HA_STATE_CRASHED : (enum ha_member_state)below(7);
    status->role = (enum ha_member_role)below(HA_ROLE_WITNESS + 1);
    status->pending_restart = some_bool();
    status->leaving = some_bool();
    status->restart = (struct ha_restart){
        .at_wall_ms = some_u64(),
        .pending_only = some_bool(),
        .below_version = some_u32(),
        .timeout_ms = some_u64(),
    };
    some_text(status->restart.role, sizeof status->restart.role);
    status->stopping = some_bool();
    status->failed_epoch = some_u64();
    some_text(status->why_failed, sizeof status->why_failed);
    some_text(status->pending_restart_reason, sizeof status->pending_restart_reason);
    some_text(status->tags, sizeof status->tags);
    some_text(status->version, sizeof status->version);
}

static void some_message(struct ha_message *message)
{
    memset(message, 0, sizeof *message);
    message->kind = (enum ha_message_kind)(1 + below(HA_MESSAGE_KINDS - 1));
    message->round.epoch = some_u64();
    message->round.grant_term = some_u64();
    message->round.grant_index = some_u64();
    message->round.start_id = some_u64();
    message->round.number = some_u64();
    message->completed_number = some_u64();
    message->ttl_ms = some_u64();
    message->served = true;
    some_status(&message->status);
    message->forward_id = some_u64();
    some_command(&message->command);
    some_outcome(&message->refusal);
}

/*
 * The trap for a field that was added to a struct and to no table: of a struct without a zero
 * byte only the padding comes back as zero. Its sum stands in the tests; where another one is
 * found, either it has changed or a field is lost.
 */
#define COMMAND_PADDING 32
#define CLUSTER_PADDING 1074
#define MESSAGE_PADDING 114

static size_t count_lost(const void *in, const void *out, size_t size)
{
    size_t count = 0;

    for (size_t i = 0; i < size; i++) {
        count += ((const char *)in)[i] != ((const char *)out)[i];
    }
    return count;
}

#define END_TEXT(array) ((array)[sizeof(array) - 1] = '\0')

static void end_member(struct cluster_member *member)
{
    END_TEXT(member->name);
    END_TEXT(member->pg_host);
    END_TEXT(member->api_url);
}

static void end_grant(struct cluster_grant *grant)
{
    END_TEXT(grant->name);
    END_TEXT(grant->reason);
}

static void full_command(struct command *command)
{
    memset(command, 1, sizeof *command);
    command->kind = COMMAND_GRANT;
    END_TEXT(command->reason);
    end_member(&command->member);
    command->request.kind = CLUSTER_REQUEST_FAILOVER;
    END_TEXT(command->outcome.text);
    command->config = config_out; /* As the decoder will set it. */
    text_copy_cut(config_out, sizeof config_out, "{}");
    command->config_size = 2;
}

static void test_every_field_of_a_command_travels(void **state)
{
    struct command in;
    struct command out;
    struct err err;
    size_t size;

    (void)state;
    full_command(&in);
    size = command_encode(&in, bytes, sizeof bytes);
    test_ok(command_decode(bytes, size, &out, config_out, &err), &err);
    assert_int_equal(count_lost(&in, &out, sizeof in), COMMAND_PADDING);
}

static void test_every_field_of_the_state_travels(void **state)
{
    struct err err;
    size_t size;

    (void)state;
    memset(&cluster_in, 1, sizeof cluster_in);
    cluster_in.phase = CLUSTER_SERVING;
    cluster_in.history_count = CLUSTER_HISTORY_MAX;
    cluster_in.outcome_next = 1;
    cluster_in.request.kind = CLUSTER_REQUEST_FAILOVER;
    cluster_in.config_size = CLUSTER_CONFIG_SIZE - 1;
    END_TEXT(cluster_in.revoke_reason);
    END_TEXT(cluster_in.config);
    end_grant(&cluster_in.last);
    for (size_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        end_member(&cluster_in.members[i]);
    }
    for (size_t i = 0; i < CLUSTER_HISTORY_MAX; i++) {
        end_grant(&cluster_in.history[i]);
    }
    for (size_t i = 0; i < CLUSTER_OUTCOMES_MAX; i++) {
        END_TEXT(cluster_in.outcomes[i].text);
    }
    size = cluster_encode(&cluster_in, bytes, sizeof bytes);
    assert_true(size > 0);
    test_ok(cluster_decode(bytes, size, &cluster_out, &err), &err);
    assert_int_equal(count_lost(&cluster_in, &cluster_out, sizeof cluster_in), CLUSTER_PADDING);
}

static void test_every_field_of_a_message_travels(void **state)
{
    static struct ha_message in;
    static struct ha_message out;
    struct err err;
    size_t size;

    (void)state;
    memset(&in, 1, sizeof in);
    in.kind = HA_MESSAGE_FORWARD;
    in.from = 0; /* In the frame. */
    in.to = 0;
    full_command(&in.command);
    end_member(&in.status.member);
    in.status.data = PG_DATA_VALID;
    in.status.run = PG_RUN_UP;
    in.status.state = HA_STATE_RUNNING;
    in.status.role = HA_ROLE_PRIMARY;
    END_TEXT(in.status.progress);
    END_TEXT(in.status.why_failed);
    END_TEXT(in.status.pending_restart_reason);
    END_TEXT(in.status.tags);
    END_TEXT(in.status.version);
    END_TEXT(in.status.restart.role);
    END_TEXT(in.refusal.text);
    size = ha_message_encode(&in, bytes, sizeof bytes);
    assert_true(size > 0);
    test_ok(ha_message_decode(bytes, size, &out, config_out, &err), &err);
    assert_int_equal(count_lost(&in, &out, sizeof in), MESSAGE_PADDING);
}

/* Random round trips. */

static void test_commands_come_back_as_they_were(void **state)
{
    static struct command in;
    static struct command out;
    struct err err;

    (void)state;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        size_t size;

        some_command(&in);
        size = command_encode(&in, bytes, sizeof bytes);
        assert_true(size > 0);
        test_ok(command_decode(bytes, size, &out, config_out, &err), &err);
        assert_ptr_equal(out.config, config_out);
        assert_string_equal(out.config, config_in);
        out.config = in.config;
        assert_memory_equal(&out, &in, sizeof in);
        assert_int_equal(command_encode(&out, again, sizeof again), size);
        assert_memory_equal(again, bytes, size);
    }
}

static void test_states_come_back_as_they_were(void **state)
{
    struct err err;

    (void)state;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        size_t size;

        some_cluster(&cluster_in);
        size = cluster_encode(&cluster_in, bytes, sizeof bytes);
        assert_true(size > 0);
        test_ok(cluster_decode(bytes, size, &cluster_out, &err), &err);
        assert_memory_equal(&cluster_out, &cluster_in, sizeof cluster_in);
        assert_int_equal(cluster_encode(&cluster_out, again, sizeof again), size);
        assert_memory_equal(again, bytes, size);
    }
}

static void test_a_new_state_comes_back_too(void **state)
{
    struct err err;
    size_t size;

    (void)state;
    cluster_init(&cluster_in, 2000);
    size = cluster_encode(&cluster_in, bytes, sizeof bytes);
    assert_true(size > 0 && size < 200); /* What is zero costs nothing. */
    test_ok(cluster_decode(bytes, size, &cluster_out, &err), &err);
    assert_memory_equal(&cluster_out, &cluster_in, sizeof cluster_in);
}

static void test_messages_come_back_as_they_were(void **state)
{
    static struct ha_message in;
    static struct ha_message out;
    struct err err;

    (void)state;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        size_t size;

        some_message(&in);
        size = ha_message_encode(&in, bytes, sizeof bytes);
        assert_true(size > 0);
        test_ok(ha_message_decode(bytes, size, &out, config_out, &err), &err);
        assert_string_equal(out.command.config, config_in);
        out.command.config = in.command.config;
        assert_memory_equal(&out, &in, sizeof in);
        assert_int_equal(ha_message_encode(&out, again, sizeof again), size);
        assert_memory_equal(again, bytes, size);
    }
}

static void test_a_lease_round_is_short(void **state)
{
    static const struct ha_message round = {
        .kind = HA_MESSAGE_RENEW,
        .round = {5, 6, 7, UINT64_MAX, 100000},
        .completed_number = 99999,
        .ttl_ms = 2000,
    };

    (void)state;
    assert_in_range(ha_message_encode(&round, bytes, sizeof bytes), 1, 100);
}

/* Sizes and bad input. */

/* Each way to decode, with its own target; all buffers are exact, so that ASan sees more. */
static enum status decode_command(const uint8_t *data, size_t size, struct err *err)
{
    static struct command command;

    return command_decode(data, size, &command, config_out, err);
}

static enum status decode_cluster(const uint8_t *data, size_t size, struct err *err)
{
    return cluster_decode(data, size, &cluster_out, err);
}

static enum status decode_message(const uint8_t *data, size_t size, struct err *err)
{
    static struct ha_message message;

    return ha_message_decode(data, size, &message, config_out, err);
}

static enum status (*const decoders[])(const uint8_t *, size_t, struct err *) = {
    decode_command, decode_cluster, decode_message};

static struct command command_in;
static struct ha_message message_in;

static size_t encode(size_t which, uint8_t *target, size_t size)
{
    switch (which) {
    case 0:
        return command_encode(&command_in, target, size);
    case 1:
        return cluster_encode(&cluster_in, target, size);
    default:
        return ha_message_encode(&message_in, target, size);
    }
}

/* One of each, not too large to be cut at each byte. */
static int set_up_samples(void **state)
{
    (void)state;
    prng_init(&prng, 5);
    some_message(&message_in);
    some_command(&command_in);
    message_in.command = command_in; /* They share the text of the configuration. */
    some_cluster(&cluster_in);
    cluster_in.history_count = 2;
    cluster_in.history[1] = cluster_in.last;
    return 0;
}

static void test_what_does_not_fit_is_not_encoded(void **state)
{
    (void)state;
    for (size_t which = 0; which < ARRAY_SIZE(decoders); which++) {
        const size_t size = encode(which, bytes, sizeof bytes);

        assert_true(size > 0);
        for (size_t room = 0; room < size; room++) {
            uint8_t *exact = malloc(room + 1);

            assert_int_equal(encode(which, exact, room), 0);
            free(exact);
        }
        assert_int_equal(encode(which, again, size), size);
    }
}

static void test_input_cut_off_anywhere_is_refused(void **state)
{
    struct err err;

    (void)state;
    for (size_t which = 0; which < ARRAY_SIZE(decoders); which++) {
        const size_t size = encode(which, bytes, sizeof bytes);

        test_ok(decoders[which](bytes, size, &err), &err);
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *exact = malloc(cut + 1);

            memcpy(exact, bytes, cut);
            assert_int_equal(decoders[which](exact, cut, &err), STATUS_INVALID);
            assert_true(strlen(err.text) > 0);
            free(exact);
        }
        assert_int_equal(decoders[which](bytes, size + 1, &err), STATUS_INVALID);
    }
}

/* Whatever comes in, what is accepted can be encoded again: nothing in it is out of bounds. */
static void test_damaged_input_is_refused_or_within_bounds(void **state)
{
    struct err err;
    struct prng damage;

    (void)state;
    prng_init(&damage, 99);
    for (size_t which = 0; which < ARRAY_SIZE(decoders); which++) {
        const size_t size = encode(which, bytes, sizeof bytes);

        for (uint32_t i = 0; i < 3000; i++) {
            uint8_t *copy = malloc(size);

            memcpy(copy, bytes, size);
            for (uint64_t n = prng_between(&damage, 1, 4); n > 0; n--) {
                copy[prng_between(&damage, 0, size - 1)] = (uint8_t)prng_next(&damage);
            }
            if (decoders[which](copy, size, &err) != STATUS_OK) {
                assert_int_equal(err.status, STATUS_INVALID);
            } else if (which == 1) {
                assert_true(cluster_encode(&cluster_out, again, sizeof again) > 0);
            }
            free(copy);
        }
    }
}

static void test_garbage_is_refused(void **state)
{
    uint8_t garbage[64];
    struct err err;

    (void)state;
    prng_init(&prng, 3);
    for (uint32_t i = 0; i < 20000; i++) {
        const size_t size = prng_between(&prng, 0, sizeof garbage);

        for (size_t j = 0; j < size; j++) {
            garbage[j] = (uint8_t)prng_next(&prng);
        }
        for (size_t which = 0; which < ARRAY_SIZE(decoders); which++) {
            assert_int_equal(decoders[which](garbage, size, &err), STATUS_INVALID);
        }
    }
}

/* A value of its own for one key; the rest as small as can be. */
static void check_refused(size_t which, const char *literal, size_t size, const char *names)
{
    struct err err;

    assert_int_equal(decoders[which]((const uint8_t *)literal, size, &err), STATUS_INVALID);
    if (strstr(err.text, names) == NULL) {
        fail_msg("\"%s\" does not name %s", err.text, names);
    }
}

#define REFUSED(which, literal, names) check_refused(which, literal, sizeof(literal) - 1, names)

static void test_a_refusal_names_the_field(void **state)
{
    (void)state;
    REFUSED(0, "\x80", "\"kind\"");
    REFUSED(0, "\x90", "command is not a map");
    REFUSED(0, "\x81\xa4kind\x00", "\"kind\"");
    REFUSED(0, "\x81\xa4kind\x0d", "\"kind\"");
    REFUSED(0, "\x81\xa4kind\xa1x", "\"kind\"");
    REFUSED(
        0,
        "\x82\xa4kind\x01\xa5"
        "epoch\xff",
        "\"epoch\"");
    REFUSED(
        0,
        "\x82\xa4kind\x01\xa5"
        "epoch\xc0",
        "\"epoch\"");
    REFUSED(
        0,
        "\x82\xa4kind\x01\xa6"
        "fenced\x01",
        "\"fenced\"");
    REFUSED(
        0,
        "\x82\xa4kind\x01\xa6reason\xa2"
        "a\0",
        "\"reason\"");
    REFUSED(0, "\x82\xa4kind\x01\xa6reason\x05", "\"reason\"");
    REFUSED(0, "\x82\xa4kind\x01\xabmember.port\xce\x00\x01\x00\x00", "\"member.port\"");
    REFUSED(0, "\x82\xa4kind\x01\xa8timeline\xcf\x00\x00\x00\x01\x00\x00\x00\x00", "\"timeline\"");
    REFUSED(0, "\x82\xa4kind\x01\xacrequest.kind\x03", "\"request.kind\"");
    REFUSED(
        0,
        "\x82\xa4kind\x01\xa6"
        "config\x90",
        "\"config\"");
    REFUSED(1, "\x80", "\"ttl\"");
    REFUSED(1, "\x82\xa3ttl\x01\xa5phase\x04", "\"phase\"");
    REFUSED(1, "\x82\xa3ttl\x01\xacoutcome.next\x10", "\"outcome.next\"");
    REFUSED(1, "\x82\xa3ttl\x01\xa7members\x80", "\"members\"");
    REFUSED(1, "\x82\xa3ttl\x01\xa7members\x91\x01", "member is not a map");
    REFUSED(1, "\x82\xa3ttl\x01\xa7members\x91\x81\xa2id\xa0", "\"id\" of the member");
    REFUSED(
        1,
        "\x82\xa3ttl\x01\xa7history\x91\x81\xa5"
        "epoch\x01",
        "\"last\"");
    REFUSED(
        1,
        "\x82\xa3ttl\x01\xa4last\x81\xa5"
        "epoch\x01",
        "\"last\"");
    REFUSED(
        1,
        "\x83\xa3ttl\x01\xa5phase\x02\xa5"
        "epoch\x01",
        "\"last\"");
    REFUSED(2, "\x80", "\"kind\"");
    REFUSED(2, "\x81\xa4kind\x04", "\"command\"");
    REFUSED(2, "\x81\xa4kind\x06", "\"kind\"");
    REFUSED(2, "\x82\xa4kind\x03\xa6status\x01", "status is not a map");
    REFUSED(2, "\x82\xa4kind\x03\xa6status\x81\xa5state\x07", "\"state\" of the status");
    REFUSED(
        2, "\x82\xa4kind\x03\xa6status\x81\xa8priority\xcf\x00\x00\x00\x00\x80\x00\x00\x00",
        "\"priority\"");
    REFUSED(
        2,
        "\x82\xa4kind\x04\xa7"
        "command\x80",
        "\"kind\" of the command");
}

static void test_text_of_just_the_right_length_fits_and_no_longer_one(void **state)
{
    char text[CLUSTER_REASON_SIZE + 16];
    struct command command;
    struct err err;

    (void)state;
    for (uint8_t length = CLUSTER_REASON_SIZE - 2; length <= CLUSTER_REASON_SIZE; length++) {
        memcpy(text, "\x82\xa4kind\x01\xa6reason\xd9", 15);
        text[15] = (char)length;
        memset(&text[16], 'x', length);
        if (length < CLUSTER_REASON_SIZE) {
            test_ok(
                command_decode((const uint8_t *)text, 16u + length, &command, config_out, &err),
                &err);
            assert_int_equal(strlen(command.reason), length);
        } else {
            check_refused(0, text, 16u + length, "\"reason\"");
        }
    }
}

static void test_lists_longer_than_ours_are_refused(void **state)
{
    char text[256] = "\x82\xa3ttl\x01\xa7history\xdc\x00\x41";

    (void)state;
    memset(&text[17], '\x80', CLUSTER_HISTORY_MAX + 1);
    check_refused(1, text, 17 + CLUSTER_HISTORY_MAX + 1, "\"history\"");
}

static void test_a_count_that_promises_too_much_is_refused_at_once(void **state)
{
    (void)state;
    for (size_t which = 0; which < ARRAY_SIZE(decoders); which++) {
        REFUSED(which, "\xdf\xff\xff\xff\xff", "cut off");
        REFUSED(which, "\x81\xa7history\xdd\xff\xff\xff\xff", "cut off");
        REFUSED(which, "\x81\xa1x\x91\x91\x91\x91\x91\x91\x91\x91\x90", "too many parts");
    }
}

static void test_keys_of_a_newer_version_are_skipped(void **state)
{
    static const char text[] = "\x84\xa4kind\x05\x07\x08\xa5newer\x92\x01\x02\xa4node\x09";
    struct command command;
    struct err err;

    (void)state;
    test_ok(
        command_decode((const uint8_t *)text, sizeof text - 1, &command, config_out, &err), &err);
    assert_int_equal(command.kind, 5);
    assert_int_equal(command.node, 9);
    assert_string_equal(command.config, "");
    assert_int_equal(command.config_size, 0);
}

static void test_numbers_of_either_sign_fit_to_their_edges(void **state)
{
    static const int32_t priorities[] = {0, 1, -1, INT32_MIN, INT32_MAX};
    static struct ha_message in;
    static struct ha_message out;
    struct err err;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(priorities); i++) {
        in.kind = HA_MESSAGE_STATUS;
        in.status.failover_priority = priorities[i];
        in.status.replayed_wall_ms = priorities[i] < 0 ? INT64_MIN : INT64_MAX;
        test_ok(
            ha_message_decode(
                bytes, ha_message_encode(&in, bytes, sizeof bytes), &out, config_out, &err),
            &err);
        assert_int_equal(out.status.failover_priority, priorities[i]);
        assert_true(out.status.replayed_wall_ms == in.status.replayed_wall_ms);
    }
}

static int set_up(void **state)
{
    (void)state;
    prng_init(&prng, 1);
    return 0;
}

#define TEST(name)    cmocka_unit_test_setup(name, set_up)
#define SAMPLES(name) cmocka_unit_test_setup(name, set_up_samples)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_field_of_a_command_travels),
        TEST(test_every_field_of_the_state_travels),
        TEST(test_every_field_of_a_message_travels),
        TEST(test_commands_come_back_as_they_were),
        TEST(test_states_come_back_as_they_were),
        TEST(test_a_new_state_comes_back_too),
        TEST(test_messages_come_back_as_they_were),
        TEST(test_a_lease_round_is_short),
        SAMPLES(test_what_does_not_fit_is_not_encoded),
        SAMPLES(test_input_cut_off_anywhere_is_refused),
        SAMPLES(test_damaged_input_is_refused_or_within_bounds),
        TEST(test_garbage_is_refused),
        TEST(test_a_refusal_names_the_field),
        TEST(test_text_of_just_the_right_length_fits_and_no_longer_one),
        TEST(test_lists_longer_than_ours_are_refused),
        TEST(test_a_count_that_promises_too_much_is_refused_at_once),
        TEST(test_keys_of_a_newer_version_are_skipped),
        TEST(test_numbers_of_either_sign_fit_to_their_edges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * pgctl/guard_proto.c - messages between daemon and guard.
 *
 * Each body is walked by one function in both directions, so that writer and reader cannot
 * disagree. A message is magic, version, type, request number, body length, body.
 */
#include "pgctl/guard_proto.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/text.h"

#define MAGIC          UINT32_C(0x70676775)
#define BODY_BYTES_MAX (GUARD_BYTES_MAX - GUARD_HEADER_BYTES)

/* Exactly one of `out` and `in` is set. */
struct codec {
    uint8_t *out;
    const uint8_t *in;
    size_t size;
    size_t at;
    bool bad; /* The body is too short, or a value is not one of its type's. */
};

static bool room_for(struct codec *codec, size_t count)
{
    if (codec->bad || codec->size - codec->at < count) {
        codec->bad = true;
        return false;
    }
    return true;
}

static void walk_u32(struct codec *codec, uint32_t *value)
{
    if (!room_for(codec, 4)) {
        return;
    }
    if (codec->out != NULL) {
        put_u32(codec->out + codec->at, *value);
    } else {
        *value = get_u32(codec->in + codec->at);
    }
    codec->at += 4;
}

static void walk_u64(struct codec *codec, uint64_t *value)
{
    if (!room_for(codec, 8)) {
        return;
    }
    if (codec->out != NULL) {
        put_u64(codec->out + codec->at, *value);
    } else {
        *value = get_u64(codec->in + codec->at);
    }
    codec->at += 8;
}

static void walk_bool(struct codec *codec, bool *value)
{
    uint32_t number = *value;

    walk_u32(codec, &number);
    codec->bad = codec->bad || number > 1;
    *value = number == 1;
}

/* A number below `limit`: enumerators travel as such, and come back checked. */
static uint32_t walk_below(struct codec *codec, uint32_t value, uint32_t limit)
{
    walk_u32(codec, &value);
    codec->bad = codec->bad || value >= limit;
    return codec->bad ? 0 : value;
}

#define WALK_ENUM(codec, field, type, last) \
    ((field) = (enum type)walk_below((codec), (uint32_t)(field), (uint32_t)(last) + 1))

static void walk_bytes(struct codec *codec, char *bytes, size_t count)
{
    if (!room_for(codec, count)) {
        return;
    }
    if (codec->out != NULL) {
        memcpy(codec->out + codec->at, bytes, count);
    } else {
        memcpy(bytes, codec->in + codec->at, count);
    }
    codec->at += count;
}

static void walk_string(struct codec *codec, char *string, size_t size)
{
    uint32_t length = codec->out != NULL ? (uint32_t)strlen(string) : 0;

    length = walk_below(codec, length, (uint32_t)size);
    walk_bytes(codec, string, length);
    if (codec->in != NULL) {
        string[codec->bad ? 0 : length] = '\0';
        codec->bad = codec->bad || strlen(string) != length;
    }
}

static void walk_deadline(struct codec *codec, struct guard_deadline *deadline)
{
    walk_u64(codec, &deadline->fence_ms);
    walk_u64(codec, &deadline->end_ms);
}

/* The block must be exactly the strings that are counted: program, directory, log, arguments ... */
static bool strings_are_whole(const struct guard_start *start)
{
    const uint32_t want = 3 + start->arg_count + start->env_count;
    uint32_t found = 0;

    for (uint32_t i = 0; i < start->strings_bytes; i++) {
        found += start->strings[i] == '\0';
    }
    return start->arg_count > 0 && found == want && start->strings[0] == '/' &&
           start->strings[start->strings_bytes - 1] == '\0';
}

static void walk_start(struct codec *codec, struct guard_start *start)
{
    WALK_ENUM(codec, start->mode, guard_start_mode, GUARD_START_WRITABLE);
    walk_u64(codec, &start->epoch);
    walk_deadline(codec, &start->deadline);
    walk_bool(codec, &start->change_user);
    walk_u32(codec, &start->uid);
    walk_u32(codec, &start->gid);
    start->group_count = walk_below(codec, start->group_count, GUARD_GROUPS_MAX + 1);
    for (uint32_t i = 0; i < start->group_count; i++) {
        walk_u32(codec, &start->groups[i]);
    }
    start->arg_count = walk_below(codec, start->arg_count, GUARD_ARGS_MAX + 1);
    start->env_count = walk_below(codec, start->env_count, GUARD_ENV_MAX + 1);
    start->strings_bytes = walk_below(codec, start->strings_bytes, GUARD_STRINGS_MAX + 1);
    walk_bytes(codec, start->strings, start->strings_bytes);
    codec->bad = codec->bad || !strings_are_whole(start);
}

static void walk_watchdog(struct codec *codec, struct guard_watchdog *watchdog)
{
    WALK_ENUM(codec, watchdog->mode, guard_watchdog_mode, GUARD_WATCHDOG_REQUIRED);
    WALK_ENUM(codec, watchdog->driver, guard_watchdog_driver, GUARD_WATCHDOG_TESTING);
    walk_u32(codec, &watchdog->timeout_s);
    walk_string(codec, watchdog->device, sizeof watchdog->device);
}

static void walk_exit_status(struct codec *codec, int32_t *exit_status)
{
    uint32_t bits;

    memcpy(&bits, exit_status, sizeof bits);
    walk_u32(codec, &bits);
    memcpy(exit_status, &bits, sizeof bits);
}

static void walk_status(struct codec *codec, struct guard_status *status)
{
    walk_u32(codec, &status->guard_pid);
    walk_u32(codec, &status->server_pid);
    walk_u32(codec, &status->tree_count);
    WALK_ENUM(codec, status->phase, guard_phase, GUARD_PHASE_KILLING);
    walk_bool(codec, &status->adopted);
    walk_bool(codec, &status->memory_locked);
    walk_bool(codec, &status->realtime);
    walk_u32(codec, &status->rings);
    walk_u64(codec, &status->start_id);
    walk_u64(codec, &status->armed_epoch);
    walk_deadline(codec, &status->deadline);
    walk_u64(codec, &status->highest_epoch);
    walk_u64(codec, &status->ended_epoch);
    walk_u64(codec, &status->fenced_epoch);
    walk_u64(codec, &status->fenced_ms);
    walk_u64(codec, &status->gone_ms);
    walk_bool(codec, &status->exit_known);
    walk_exit_status(codec, &status->exit_status);
    walk_u64(codec, &status->exit_ms);
    walk_u64(codec, &status->exit_start_id);
    WALK_ENUM(codec, status->watchdog_mode, guard_watchdog_mode, GUARD_WATCHDOG_REQUIRED);
    WALK_ENUM(codec, status->watchdog_state, guard_watchdog_state, GUARD_WATCHDOG_IS_FAILED);
    walk_u32(codec, &status->watchdog_timeout_s);
    walk_string(codec, status->watchdog_text, sizeof status->watchdog_text);
}

static void walk_refused(struct codec *codec, struct guard_refused *refused)
{
    WALK_ENUM(codec, refused->request_type, guard_type, GUARD_REFUSED);
    WALK_ENUM(codec, refused->refusal, guard_refusal, GUARD_REFUSAL_UNKNOWN);
    walk_string(codec, refused->text, sizeof refused->text);
}

/* False if the type is not known. */
static bool walk_body(struct codec *codec, struct guard_message *message)
{
    switch (message->type) {
    case GUARD_NONE:
        return false;
    case GUARD_HELLO:
        walk_u32(codec, &message->hello.pid);
        return true;
    case GUARD_START:
        walk_start(codec, &message->start);
        return true;
    case GUARD_PROMOTED:
        walk_u64(codec, &message->promoted.epoch);
        walk_deadline(codec, &message->promoted.deadline);
        return true;
    case GUARD_RENEW:
        walk_u64(codec, &message->renew.epoch);
        walk_deadline(codec, &message->renew.deadline);
        return true;
    case GUARD_STOP:
        WALK_ENUM(codec, message->stop.mode, guard_stop_mode, GUARD_STOP_KILL);
        return true;
    case GUARD_WATCHDOG:
        walk_watchdog(codec, &message->watchdog);
        return true;
    case GUARD_ADOPT:
        walk_u32(codec, &message->adopt.pid);
        walk_string(codec, message->adopt.data_dir, sizeof message->adopt.data_dir);
        return true;
    case GUARD_SHUTDOWN:
        return true;
    case GUARD_STATUS:
        walk_status(codec, &message->status);
        return true;
    case GUARD_ACK:
        WALK_ENUM(codec, message->ack.request_type, guard_type, GUARD_REFUSED);
        return true;
    case GUARD_REFUSED:
        walk_refused(codec, &message->refused);
        return true;
    }
    return false;
}

const char *guard_type_name(enum guard_type type)
{
    switch (type) {
    case GUARD_NONE:
        return "unknown";
#define X(code, number, text) \
    case GUARD_##code:        \
        return (text);
        GUARD_TYPE_MAP(X)
#undef X
    }
    return "unknown";
}

const char *guard_refusal_text(enum guard_refusal refusal)
{
    static const char *const texts[] = {
#define X(code, text) [GUARD_REFUSAL_##code] = (text),
        GUARD_REFUSAL_MAP(X)
#undef X
    };

    ASSERT((size_t)refusal < ARRAY_SIZE(texts));
    return texts[refusal];
}

const char *guard_phase_name(enum guard_phase phase)
{
    static const char *const names[] = {"idle",    "standby",  "armed",
                                        "fencing", "sweeping", "killing"};

    ASSERT((size_t)phase < ARRAY_SIZE(names));
    return names[phase];
}

const char *guard_phase_text(enum guard_phase phase)
{
    static const char *const texts[] = {
#define X(code, text) [GUARD_PHASE_##code] = (text),
        GUARD_PHASE_MAP(X)
#undef X
    };

    ASSERT((size_t)phase < ARRAY_SIZE(texts));
    return texts[phase];
}

static bool add_string(struct guard_start *start, const char *string)
{
    const size_t count = strlen(string) + 1;

    if (GUARD_STRINGS_MAX - start->strings_bytes < count) {
        return false;
    }
    memcpy(start->strings + start->strings_bytes, string, count);
    start->strings_bytes += (uint32_t)count;
    return true;
}

bool guard_start_set(
    struct guard_start *start, const char *program, const char *cwd, const char *log_path)
{
    ASSERT(program[0] == '/');
    start->arg_count = 0;
    start->env_count = 0;
    start->strings_bytes = 0;
    return add_string(start, program) && add_string(start, cwd) && add_string(start, log_path);
}

bool guard_start_add_arg(struct guard_start *start, const char *arg)
{
    ASSERT(start->env_count == 0);
    if (start->arg_count == GUARD_ARGS_MAX || !add_string(start, arg)) {
        return false;
    }
    start->arg_count++;
    return true;
}

bool guard_start_add_env(struct guard_start *start, const char *pair)
{
    if (start->env_count == GUARD_ENV_MAX || !add_string(start, pair)) {
        return false;
    }
    start->env_count++;
    return true;
}

static char *next_string(char **at)
{
    char *const string = *at;

    *at += strlen(string) + 1;
    return string;
}

void guard_start_view(struct guard_start *start, struct guard_start_view *view)
{
    char *at = start->strings;

    ASSERT(strings_are_whole(start));
    view->program = next_string(&at);
    view->cwd = next_string(&at);
    view->log_path = next_string(&at);
    for (uint32_t i = 0; i < start->arg_count; i++) {
        view->argv[i] = next_string(&at);
    }
    view->argv[start->arg_count] = NULL;
    for (uint32_t i = 0; i < start->env_count; i++) {
        view->env[i] = next_string(&at);
    }
    view->env[start->env_count] = NULL;
}

size_t guard_encode(const struct guard_message *message, uint8_t *bytes)
{
    struct guard_message copy = *message;
    struct codec codec = {.out = bytes + GUARD_HEADER_BYTES, .size = BODY_BYTES_MAX};
    const bool known = walk_body(&codec, &copy);

    ASSERT(known);
    ASSERT(!codec.bad);
    put_u32(bytes, MAGIC);
    put_u32(bytes + 4, GUARD_VERSION);
    put_u32(bytes + 8, (uint32_t)message->type);
    put_u32(bytes + 12, message->request);
    put_u32(bytes + 16, (uint32_t)codec.at);
    return GUARD_HEADER_BYTES + codec.at;
}

static enum guard_type known_type(uint32_t number)
{
    switch (number) {
#define X(code, value, text) case (value):
        GUARD_TYPE_MAP(X)
#undef X
        return (enum guard_type)number;
    default:
        return GUARD_NONE;
    }
}

enum status guard_decode(
    const uint8_t *bytes, size_t size, struct guard_message *message, size_t *used, struct err *err)
{
    struct codec codec;
    uint32_t body_bytes;

    *used = 0;
    if (size < GUARD_HEADER_BYTES) {
        return STATUS_OK;
    }
    if (get_u32(bytes) != MAGIC) {
        return ERR(err, INVALID, "the other side does not speak the guard's protocol");
    }
    if (get_u32(bytes + 4) != GUARD_VERSION) {
        return ERR(
            err, INVALID, "the other side speaks version %u of the guard's protocol, not %d",
            get_u32(bytes + 4), GUARD_VERSION);
    }
    body_bytes = get_u32(bytes + 16);
    if (body_bytes > BODY_BYTES_MAX) {
        return ERR(err, INVALID, "message of %u bytes is too long", body_bytes);
    }
    if (size - GUARD_HEADER_BYTES < body_bytes) {
        return STATUS_OK;
    }

    *message = (struct guard_message){
        .type = known_type(get_u32(bytes + 8)), .request = get_u32(bytes + 12)};
    codec = (struct codec){.in = bytes + GUARD_HEADER_BYTES, .size = body_bytes};
    if (walk_body(&codec, message) && codec.bad) {
        return ERR(err, INVALID, "a \"%s\" message is damaged", guard_type_name(message->type));
    }
    *used = GUARD_HEADER_BYTES + body_bytes;
    return STATUS_OK;
}

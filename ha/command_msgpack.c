#include "ha/command_msgpack.h"

#include <string.h>

#include "base/assert.h"
#include "ha/fields_msgpack.h"

static const struct field command_fields[] = {
    FIELD_ENUM("kind", struct command, kind, FIELD_UP_TO(COMMAND_KINDS - 1)),
    FIELD_UINT("epoch", struct command, epoch),
    FIELD_UINT("node", struct command, node),
    FIELD_UINT("from", struct command, from),
    FIELD_UINT("dir", struct command, data_dir_id),
    FIELD_UINT("parent", struct command, parent),
    FIELDS_POSITION("", struct command, position),
    FIELD_BOOL("fenced", struct command, fenced),
    FIELD_UINT("system", struct command, system_identifier),
    FIELD_UINT("wall", struct command, wall_ms),
    FIELD_UINT("ttl", struct command, ttl_ms),
    FIELD_TEXT("reason", struct command, reason),
    FIELDS_MEMBER("member.", struct command, member),
    FIELDS_REQUEST("request.", struct command, request),
    FIELDS_OUTCOME("outcome.", struct command, outcome),
    FIELD_UINT("id", struct command, id),
    FIELD_UINT("version", struct command, config_version),
};
static const struct field_table command_table = FIELD_TABLE("command", command_fields);

static const struct field cluster_fields[] = {
    FIELD_UINT("system", struct cluster, system_identifier),
    FIELD_UINT("init", struct cluster, init_node),
    FIELD_UINT("epoch", struct cluster, epoch),
    FIELD_ENUM("phase", struct cluster, phase, FIELD_UP_TO(CLUSTER_SERVING)),
    FIELD_TEXT("revoked", struct cluster, revoke_reason),
    FIELD_UINT("ttl", struct cluster, ttl_ms),
    FIELD_UINT("ttl.other", struct cluster, ttl_other_ms),
    FIELD_UINT("ttl.index", struct cluster, ttl_index),
    FIELDS_REQUEST("request.", struct cluster, request),
    FIELD_UINT("outcome.next", struct cluster, outcome_next),
    FIELD_UINT("version", struct cluster, config_version),
};
static const struct field_table cluster_table = FIELD_TABLE("cluster state", cluster_fields);

static const struct field grant_fields[] = {
    FIELD_UINT("epoch", struct cluster_grant, epoch),
    FIELD_UINT("node", struct cluster_grant, node),
    FIELD_UINT("dir", struct cluster_grant, data_dir_id),
    FIELD_UINT("term", struct cluster_grant, grant_term),
    FIELD_UINT("index", struct cluster_grant, grant_index),
    FIELD_UINT("parent", struct cluster_grant, parent),
    FIELDS_POSITION("start.", struct cluster_grant, start),
    FIELD_BOOL("fenced", struct cluster_grant, fenced),
    FIELD_BOOL("served", struct cluster_grant, served),
    FIELDS_POSITION("served.", struct cluster_grant, served_at),
    FIELD_UINT("wall", struct cluster_grant, wall_ms),
    FIELD_TEXT("name", struct cluster_grant, name),
    FIELD_TEXT("reason", struct cluster_grant, reason),
};
static const struct field_table grant_table = FIELD_TABLE("grant", grant_fields);

/* The lists of fields want a struct and where in it they lie. */
struct member_row {
    struct cluster_member row;
};
struct outcome_row {
    struct cluster_outcome row;
};

static const struct field member_fields[] = {FIELDS_MEMBER("", struct member_row, row)};
static const struct field_table member_table = FIELD_TABLE("member", member_fields);

static const struct field outcome_fields[] = {FIELDS_OUTCOME("", struct outcome_row, row)};
static const struct field_table outcome_table = FIELD_TABLE("outcome", outcome_fields);

/* Far more than what we write ourselves; a newer node may add some. */
static const struct packed_limits command_limits = {.depth = 4, .parts = 512};
static const struct packed_limits cluster_limits = {.depth = 6, .parts = 16384};

/* Commands. */

static void pack_config(msgpack_packer *packer, const char *config, uint32_t size)
{
    if (size > 0) {
        fields_pack_key(packer, "config");
        fields_pack_text(packer, config, size);
    }
}

void command_pack(msgpack_packer *packer, const struct command *command)
{
    ASSERT(command->config_size < CLUSTER_CONFIG_SIZE);
    (void)msgpack_pack_map(
        packer, fields_count(&command_table, command) + (command->config_size > 0 ? 1 : 0));
    fields_pack(packer, &command_table, command);
    pack_config(packer, command->config, command->config_size);
}

/* Into a buffer of CLUSTER_CONFIG_SIZE bytes. */
static enum status read_config(
    const msgpack_object *map, char *buffer, uint32_t *size, struct err *err)
{
    const msgpack_object *value = fields_find(map, "config");

    buffer[0] = '\0';
    *size = 0;
    if (value == NULL) {
        return STATUS_OK;
    }
    if (!fields_read_text(value, buffer, CLUSTER_CONFIG_SIZE)) {
        return ERR(err, INVALID, "\"config\" is no text, or is too long");
    }
    *size = value->via.str.size;
    return STATUS_OK;
}

enum status command_read(
    const msgpack_object *map, struct command *command, char *config_buffer, struct err *err)
{
    enum status status;

    memset(command, 0, sizeof *command);
    status = fields_read(map, &command_table, command, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (command->kind == COMMAND_NONE) {
        return ERR(err, INVALID, "\"kind\" of the command is missing");
    }
    command->config = config_buffer;
    return read_config(map, config_buffer, &command->config_size, err);
}

size_t command_encode(const struct command *command, uint8_t *bytes, size_t size)
{
    struct fields_sink sink;
    msgpack_packer packer;

    fields_begin(&sink, &packer, bytes, size);
    command_pack(&packer, command);
    return fields_end(&sink);
}

enum status command_decode(
    const uint8_t *bytes, size_t size, struct command *command, char *config_buffer,
    struct err *err)
{
    msgpack_unpacked unpacked;
    enum status status = fields_unpack(bytes, size, command_limits, "command", &unpacked, err);

    if (status == STATUS_OK) {
        status = command_read(&unpacked.data, command, config_buffer, err);
    }
    msgpack_unpacked_destroy(&unpacked);
    return status;
}

/* The state. */

struct list {
    const char *key;
    const struct field_table *table;
    size_t offset;
    size_t size; /* Of one. */
    uint32_t count;
};

/* Places keep their number, free ones included: where a member goes next depends on it. */
static const struct list members_list = {
    "members", &member_table, offsetof(struct cluster, members), sizeof(struct cluster_member),
    CLUSTER_MEMBERS_MAX};
static const struct list outcomes_list = {
    "outcomes", &outcome_table, offsetof(struct cluster, outcomes), sizeof(struct cluster_outcome),
    CLUSTER_OUTCOMES_MAX};
static const struct list history_list = {
    "history", &grant_table, offsetof(struct cluster, history), sizeof(struct cluster_grant),
    CLUSTER_HISTORY_MAX};

static void pack_list(
    msgpack_packer *packer, const struct list *list, const struct cluster *cluster, uint32_t count)
{
    const char *first = (const char *)cluster + list->offset;

    ASSERT(count <= list->count);
    fields_pack_key(packer, list->key);
    (void)msgpack_pack_array(packer, count);
    for (uint32_t i = 0; i < count; i++) {
        fields_pack_map(packer, list->table, first + i * list->size);
    }
}

/* `count`: how many there were. */
static enum status read_list(
    const msgpack_object *map, const struct list *list, struct cluster *cluster, uint32_t *count,
    struct err *err)
{
    const msgpack_object *value = fields_find(map, list->key);
    char *first = (char *)cluster + list->offset;

    *count = 0;
    if (value == NULL) {
        return STATUS_OK;
    }
    if (value->type != MSGPACK_OBJECT_ARRAY || value->via.array.size > list->count) {
        return ERR(err, INVALID, "\"%s\" is no array, or is too long", list->key);
    }
    for (uint32_t i = 0; i < value->via.array.size; i++) {
        const enum status status =
            fields_read(&value->via.array.ptr[i], list->table, first + i * list->size, err);

        if (status != STATUS_OK) {
            return status;
        }
    }
    *count = value->via.array.size;
    return STATUS_OK;
}

size_t cluster_encode(const struct cluster *cluster, uint8_t *bytes, size_t size)
{
    const uint32_t lists = 3;
    struct fields_sink sink;
    msgpack_packer packer;

    fields_begin(&sink, &packer, bytes, size);
    (void)msgpack_pack_map(
        &packer, fields_count(&cluster_table, cluster) + lists + 1 /* last */ +
                     (cluster->config_size > 0 ? 1 : 0));
    fields_pack(&packer, &cluster_table, cluster);
    fields_pack_key(&packer, "last");
    fields_pack_map(&packer, &grant_table, &cluster->last);
    pack_list(&packer, &members_list, cluster, CLUSTER_MEMBERS_MAX);
    pack_list(&packer, &outcomes_list, cluster, CLUSTER_OUTCOMES_MAX);
    pack_list(&packer, &history_list, cluster, cluster->history_count);
    pack_config(&packer, cluster->config, cluster->config_size);
    return fields_end(&sink);
}

static enum status read_lists(const msgpack_object *map, struct cluster *cluster, struct err *err)
{
    uint32_t places; /* All of them are there always; fewer leave the rest free. */
    enum status status = read_list(map, &members_list, cluster, &places, err);

    if (status == STATUS_OK) {
        status = read_list(map, &outcomes_list, cluster, &places, err);
    }
    if (status == STATUS_OK) {
        status = read_list(map, &history_list, cluster, &cluster->history_count, err);
    }
    return status;
}

/* What cluster_apply() relies on. */
static enum status check_cluster(const struct cluster *cluster, struct err *err)
{
    const bool granted = cluster->phase == CLUSTER_GRANTED || cluster->phase == CLUSTER_SERVING;

    if (cluster->outcome_next >= CLUSTER_OUTCOMES_MAX) {
        return ERR(err, INVALID, "\"outcome.next\" of the cluster state is out of range");
    }
    if (cluster->ttl_ms == 0) {
        return ERR(err, INVALID, "\"ttl\" of the cluster state is missing");
    }
    if ((cluster->last.epoch != 0) != (cluster->history_count > 0) ||
        (cluster->history_count > 0 &&
         cluster->history[cluster->history_count - 1].epoch != cluster->last.epoch)) {
        return ERR(err, INVALID, "\"last\" of the cluster state is not the newest of \"history\"");
    }
    if (granted && cluster->last.epoch != cluster->epoch) {
        return ERR(err, INVALID, "\"last\" of the cluster state is not of its epoch");
    }
    return STATUS_OK;
}

static enum status read_cluster(const msgpack_object *map, struct cluster *cluster, struct err *err)
{
    const msgpack_object *last = fields_find(map, "last");
    enum status status = fields_read(map, &cluster_table, cluster, err);

    if (status == STATUS_OK && last != NULL) {
        status = fields_read(last, &grant_table, &cluster->last, err);
    }
    if (status == STATUS_OK) {
        status = read_lists(map, cluster, err);
    }
    if (status == STATUS_OK) {
        status = read_config(map, cluster->config, &cluster->config_size, err);
    }
    return status == STATUS_OK ? check_cluster(cluster, err) : status;
}

enum status cluster_decode(
    const uint8_t *bytes, size_t size, struct cluster *cluster, struct err *err)
{
    msgpack_unpacked unpacked;
    enum status status =
        fields_unpack(bytes, size, cluster_limits, "cluster state", &unpacked, err);

    memset(cluster, 0, sizeof *cluster);
    if (status == STATUS_OK) {
        status = read_cluster(&unpacked.data, cluster, err);
    }
    msgpack_unpacked_destroy(&unpacked);
    return status;
}

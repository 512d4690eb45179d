#include "conf/pgparams.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "conf/value.h"

/* The size of a WAL segment that wal_keep_segments is counted in. */
#define SEGMENT_BYTES (INT64_C(16) << 20)

enum rule {
    RULE_COUNT, /* A whole number, at least `least`. */
    RULE_BOOL,
    RULE_WAL_LEVEL,
};

/*
 * The parameters that must be the same on all nodes for a standby to be able to follow and
 * to take over: from the cluster-wide settings alone, and on the command line, where
 * neither a file nor ALTER SYSTEM overrides them.
 */
static const struct controlled {
    const char *name;
    const char *fallback;
    enum rule rule;
    int64_t least;
} controlled[] = {
    {"wal_level",                 "replica", RULE_WAL_LEVEL, 0 },
    {"max_connections",           "100",     RULE_COUNT,     25},
    {"max_locks_per_transaction", "64",      RULE_COUNT,     32},
    {"max_worker_processes",      "8",       RULE_COUNT,     2 },
    {"max_prepared_transactions", "0",       RULE_COUNT,     0 },
    {"max_wal_senders",           "10",      RULE_COUNT,     3 },
    {"max_replication_slots",     "10",      RULE_COUNT,     4 },
    {"track_commit_timestamp",    "off",     RULE_BOOL,      0 },
    {"wal_log_hints",             "on",      RULE_BOOL,      0 },
};

struct builder {
    struct pgparams *pgparams;
    struct tree *tree;
    const struct pgparams_input *input;
    struct problems *problems;
};

static const struct controlled *find_controlled(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(controlled); i++) {
        if (text_equal_nocase(controlled[i].name, name)) {
            return &controlled[i];
        }
    }
    return NULL;
}

static bool is_one_of(const char *name, const char *const names[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (text_equal_nocase(names[i], name)) {
            return true;
        }
    }
    return false;
}

static bool is_wal_keep(const char *name)
{
    return text_equal_nocase(name, "wal_keep_segments") || text_equal_nocase(name, "wal_keep_size");
}

/* Follow from the settings of the node, and would break what relies on them. */
static bool is_fixed(const char *name)
{
    static const char *const names[] = {"listen_addresses", "port", "cluster_name"};

    return is_one_of(name, names, ARRAY_SIZE(names));
}

static bool is_owned(const char *name)
{
    static const char *const names[] = {
        "hot_standby", "restart_after_crash", "synchronous_standby_names", "primary_conninfo",
        "primary_slot_name"};

    return is_one_of(name, names, ARRAY_SIZE(names));
}

static bool is_target(const char *name)
{
    static const char *const names[] = {"standby_mode", "recovery_target"};

    return is_one_of(name, names, ARRAY_SIZE(names)) || text_starts_with(name, "recovery_target_");
}

/* Recovery settings that are the user's to give, in recovery_conf or among the parameters. */
static bool is_recovery(const char *name)
{
    static const char *const names[] = {"restore_command",      "archive_cleanup_command",
                                        "recovery_end_command", "recovery_min_apply_delay",
                                        "promote_trigger_file", "trigger_file"};

    return is_one_of(name, names, ARRAY_SIZE(names));
}

static bool obeys(const struct controlled *rule, const char *value)
{
    int64_t count = 0;
    bool truth = false;

    switch (rule->rule) {
    case RULE_COUNT:
        return value_count(value, &count) && count >= rule->least;
    case RULE_BOOL:
        return node_bool(&(struct node){.kind = NODE_STRING, .text = value}, &truth);
    case RULE_WAL_LEVEL:
        return text_equal_nocase(value, "replica") || text_equal_nocase(value, "hot_standby") ||
               text_equal_nocase(value, "logical");
    }
    UNREACHABLE();
}

static void describe_rule(const struct controlled *rule, char *text, size_t size)
{
    switch (rule->rule) {
    case RULE_COUNT:
        (void)snprintf(text, size, "a whole number, %lld or more", (long long)rule->least);
        return;
    case RULE_BOOL:
        text_copy_cut(text, size, "true or false");
        return;
    case RULE_WAL_LEVEL:
        text_copy_cut(text, size, "replica or logical");
        return;
    }
    UNREACHABLE();
}

/* As PostgreSQL writes them, so that a value read back from it compares equal. */
static const char *canonical(const struct node *node)
{
    bool truth = false;

    if (node->kind == NODE_BOOL && node_bool(node, &truth)) {
        return truth ? "on" : "off";
    }
    return node->text;
}

const char *pgparams_find(const struct pgparams *pgparams, const char *name)
{
    for (uint32_t i = 0; i < pgparams->count; i++) {
        if (text_equal_nocase(pgparams->items[i].name, name)) {
            return pgparams->items[i].value;
        }
    }
    return NULL;
}

/* Later calls replace earlier ones: role variants stand over the base. */
static void put(struct builder *builder, const char *name, const char *value, bool command_line)
{
    struct pgparams *pgparams = builder->pgparams;

    for (uint32_t i = 0; i < pgparams->count; i++) {
        if (text_equal_nocase(pgparams->items[i].name, name)) {
            pgparams->items[i].value = value;
            return;
        }
    }
    if (pgparams->count == PGPARAMS_MAX) {
        problem_missing(
            builder->problems, NULL, "postgresql.parameters: more than %d; \"%s\" is left out",
            PGPARAMS_MAX, name);
        return;
    }
    pgparams->items[pgparams->count++] = (struct pgparam){name, value, command_line};
}

static void put_recovery(struct builder *builder, const char *name, const char *value)
{
    struct pgparams *pgparams = builder->pgparams;

    for (uint32_t i = 0; i < pgparams->recovery_count; i++) {
        if (text_equal_nocase(pgparams->recovery[i].name, name)) {
            pgparams->recovery[i].value = value;
            return;
        }
    }
    if (pgparams->recovery_count < PGPARAMS_RECOVERY_MAX) {
        pgparams->recovery[pgparams->recovery_count++] = (struct pgparam){name, value, false};
    }
}

static const char *print_count(struct builder *builder, int64_t count, const char *unit)
{
    char text[40];
    const char *copy = NULL;

    (void)snprintf(text, sizeof text, "%lld%s", (long long)count, unit);
    copy = tree_text(builder->tree, text);
    return copy == NULL ? "" : copy;
}

static const char *controlled_value(struct builder *builder, const struct controlled *rule)
{
    const struct node *node = tree_child(builder->input->dynamic_parameters, rule->name);
    const char *value = node_text(node) == NULL ? NULL : canonical(node);
    char wanted[64];

    if (value == NULL) {
        return rule->fallback;
    }
    if (!obeys(rule, value)) {
        describe_rule(rule, wanted, sizeof wanted);
        problem_warning(
            builder->problems, node, "\"%s\" is not %s; %s is used", value, wanted, rule->fallback);
        return rule->fallback;
    }
    /* The old name of the same level. */
    return text_equal_nocase(value, "hot_standby") ? "replica" : value;
}

/* What the control file has of a parameter that a standby must not have less of. */
static int64_t control_value(const struct pgparams_input *input, const char *name)
{
    const struct {
        const char *name;
        int64_t value;
    } known[] = {
        {"max_connections",           input->control.max_connections          },
        {"max_worker_processes",      input->control.max_worker_processes     },
        {"max_wal_senders",           input->control.max_wal_senders          },
        {"max_prepared_transactions", input->control.max_prepared_transactions},
        {"max_locks_per_transaction", input->control.max_locks_per_transaction},
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (text_equal(known[i].name, name)) {
            return known[i].value;
        }
    }
    return 0;
}

/*
 * A standby that starts with less than its primary had stops replay with an error, or
 * does not start at all: take the larger value and let the restart be pending.
 */
static const char *raise(struct builder *builder, const char *name, const char *value)
{
    struct pgparams *pgparams = builder->pgparams;
    const int64_t had = control_value(builder->input, name);
    const char *used = NULL;
    int64_t wanted = 0;

    if (!builder->input->starts_as_standby || had == 0 || !value_count(value, &wanted) ||
        wanted >= had) {
        return value;
    }
    ASSERT(pgparams->raised_count < ARRAY_SIZE(pgparams->raised));
    used = print_count(builder, had, "");
    pgparams->raised[pgparams->raised_count++] = (struct pgparams_raised){name, value, used};
    return used;
}

static void put_controlled(struct builder *builder)
{
    for (size_t i = 0; i < ARRAY_SIZE(controlled); i++) {
        const char *value = controlled_value(builder, &controlled[i]);

        put(builder, controlled[i].name, raise(builder, controlled[i].name, value), true);
    }
}

/* The bytes that wal_keep_segments or wal_keep_size stands for; false if it is wrong. */
static bool wal_keep_bytes(const struct node *node, int64_t *bytes)
{
    const char *text = node_text(node);
    int64_t count = 0;

    if (text == NULL) {
        return false;
    }
    if (text_equal_nocase(node->key, "wal_keep_segments")) {
        *bytes = value_count(text, &count) && count <= INT32_MAX ? count * SEGMENT_BYTES : 0;
    } else if (value_count(text, &count)) {
        *bytes = count <= INT32_MAX ? count << 20 : 0; /* PostgreSQL's unit of it is MB. */
    } else if (!value_bytes(text, bytes)) {
        return false;
    }
    return *bytes >= SEGMENT_BYTES;
}

/* Converted from whichever name the user has into the one that this major version has. */
static void put_wal_keep(struct builder *builder)
{
    const struct node *parameters = builder->input->dynamic_parameters;
    const bool has_size = builder->input->server_major >= 13;
    const char *first = has_size ? "wal_keep_size" : "wal_keep_segments";
    const char *second = has_size ? "wal_keep_segments" : "wal_keep_size";
    const struct node *node = tree_child(parameters, first);
    int64_t bytes = 8 * SEGMENT_BYTES;

    if (node == NULL) {
        node = tree_child(parameters, second);
    }
    if (node != NULL && !wal_keep_bytes(node, &bytes)) {
        problem_warning(
            builder->problems, node, "\"%s\" is not at least 16MB or 1 segment; 128MB is used",
            node_text(node) == NULL ? "" : node->text);
        bytes = 8 * SEGMENT_BYTES;
    }
    if (has_size) {
        put(builder, first, print_count(builder, bytes >> 20, "MB"), false);
    } else {
        put(builder, first, print_count(builder, bytes / SEGMENT_BYTES, ""), false);
    }
}

static const char *join(struct builder *builder, const char *a, const char *b)
{
    char path[4096];
    struct text text;
    const char *copy = NULL;

    text_init(&text, path, sizeof path);
    text_addf(&text, "%s%s", a, b);
    copy = tree_text(builder->tree, path);
    return copy == NULL ? "" : copy;
}

static void put_fixed(struct builder *builder)
{
    const struct conf_postgresql *postgresql = builder->input->postgresql;

    put(builder, "listen_addresses", postgresql->listen.host, true);
    put(builder, "port", print_count(builder, postgresql->listen.port, ""), true);
    put(builder, "cluster_name", builder->input->scope, true);
    put(builder, "hot_standby", "on", true);
    /* Nobody but the daemon decides whether a crashed primary goes on as one. */
    put(builder, "restart_after_crash", "off", true);
}

/* Whether `node` is a parameter that is the user's to give; warns if not. */
static bool is_users(struct builder *builder, const struct node *node, bool is_role_variant)
{
    const char *name = node->key;

    if (node_text(node) == NULL) {
        if (node->kind != NODE_NULL) {
            problem_warning(builder->problems, node, "is no single value, left out");
        }
        return false;
    }
    if (find_controlled(name) != NULL || is_wal_keep(name)) {
        /* Among the base parameters they have been taken from where they count. */
        if (is_role_variant) {
            problem_warning(builder->problems, node, "the same for all roles and nodes, left out");
        }
        return false;
    }
    if (text_equal_nocase(name, "synchronous_standby_names")) {
        builder->pgparams->synchronous_standby_names = node->text;
    }
    if (is_fixed(name) || is_owned(name) || is_target(name)) {
        problem_warning(builder->problems, node, "set by the daemon, left out");
        return false;
    }
    return true;
}

static bool knows(const struct builder *builder, const char *name)
{
    const struct pgparams_input *input = builder->input;

    return strchr(name, '.') != NULL || input->is_known == NULL ||
           input->is_known(input->owner, name);
}

static void put_users(struct builder *builder, const struct node *parameters, bool is_role_variant)
{
    for (const struct node *at = parameters == NULL ? NULL : parameters->first; at != NULL;
         at = at->next) {
        if (!is_users(builder, at, is_role_variant)) {
            continue;
        }
        if (is_recovery(at->key)) {
            put_recovery(builder, at->key, canonical(at));
        } else if (!knows(builder, at->key)) {
            problem_warning(
                builder->problems, at, "refused by PostgreSQL %u, left out",
                builder->input->server_major);
        } else {
            put(builder, at->key, canonical(at), false);
        }
    }
}

static const struct node *by_role(
    enum pgparams_role role, const struct node *primary, const struct node *replica,
    const struct node *standby_leader)
{
    switch (role) {
    case PGPARAMS_ROLE_REPLICA:
        return replica;
    case PGPARAMS_ROLE_PRIMARY:
        return primary;
    case PGPARAMS_ROLE_STANDBY_LEADER:
        return standby_leader;
    }
    UNREACHABLE();
}

/*
 * A file the user names in the parameters is the user's to write. Else the parameter
 * points at the one beside postgresql.conf, whatever the base configuration says.
 */
static bool put_file(struct builder *builder, const char *parameter, const char *file)
{
    const struct conf_postgresql *postgresql = builder->input->postgresql;
    const char *dir = postgresql->config_dir == NULL ? "" : postgresql->config_dir;
    const char *path = join(builder, dir, file);
    const char *users = pgparams_find(builder->pgparams, parameter);

    if (users != NULL && !text_equal(users, path)) {
        return false;
    }
    put(builder, parameter, path, false);
    return true;
}

static void put_access(struct builder *builder)
{
    const struct conf_postgresql *postgresql = builder->input->postgresql;
    struct pgparams *pgparams = builder->pgparams;
    const enum pgparams_role role = builder->input->role;

    pgparams->hba = by_role(
        role, postgresql->pg_hba_primary, postgresql->pg_hba_replica,
        postgresql->pg_hba_standby_leader);
    pgparams->ident = by_role(
        role, postgresql->pg_ident_primary, postgresql->pg_ident_replica,
        postgresql->pg_ident_standby_leader);
    pgparams->hba = pgparams->hba != NULL ? pgparams->hba : postgresql->pg_hba;
    pgparams->ident = pgparams->ident != NULL ? pgparams->ident : postgresql->pg_ident;
    pgparams->hba_managed = put_file(builder, "hba_file", "/pg_hba.conf");
    pgparams->ident_managed = put_file(builder, "ident_file", "/pg_ident.conf");
    pgparams->hba = pgparams->hba_managed ? pgparams->hba : NULL;
    pgparams->ident = pgparams->ident_managed ? pgparams->ident : NULL;
}

static void put_recovery_conf(struct builder *builder)
{
    const struct node *map = builder->input->postgresql->recovery_conf;

    for (const struct node *at = map == NULL ? NULL : map->first; at != NULL; at = at->next) {
        if (is_owned(at->key) || is_target(at->key)) {
            /* Everybody's recovery.conf asks for the latest timeline: so do we. */
            if (!text_equal_nocase(at->key, "recovery_target_timeline") &&
                !text_equal_nocase(at->key, "standby_mode")) {
                problem_warning(builder->problems, at, "set by the daemon, left out");
            }
        } else if (node_text(at) != NULL) {
            put_recovery(builder, at->key, canonical(at));
        }
    }
}

static void put_standby_cluster(struct builder *builder)
{
    const struct conf_standby_cluster *standby = builder->input->standby_cluster;

    if (standby == NULL || !standby->active) {
        return;
    }
    if (standby->restore_command != NULL) {
        put_recovery(builder, "restore_command", standby->restore_command);
    }
    if (standby->archive_cleanup_command != NULL) {
        put_recovery(builder, "archive_cleanup_command", standby->archive_cleanup_command);
    }
    if (standby->recovery_min_apply_delay != NULL &&
        builder->input->role == PGPARAMS_ROLE_STANDBY_LEADER) {
        put_recovery(builder, "recovery_min_apply_delay", standby->recovery_min_apply_delay);
    }
}

/* A target left over in some file would end recovery where nobody wants it to. */
static void put_targets(struct builder *builder)
{
    static const char *const emptied[] = {
        "recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time",
        "recovery_target_xid"};

    put_recovery(builder, "recovery_target_timeline", "latest");
    for (size_t i = 0; i < ARRAY_SIZE(emptied); i++) {
        put_recovery(builder, emptied[i], "");
    }
}

void pgparams_compute(
    struct pgparams *pgparams, struct tree *tree, const struct pgparams_input *input,
    struct problems *problems)
{
    struct builder builder = {pgparams, tree, input, problems};
    const struct conf_postgresql *postgresql = input->postgresql;

    ASSERT(input->server_major >= 12);
    *pgparams = (struct pgparams){.count = 0};
    put_fixed(&builder);
    put_controlled(&builder);
    put_wal_keep(&builder);
    put_users(&builder, postgresql->parameters, false);
    put_users(
        &builder,
        by_role(
            input->role, postgresql->parameters_primary, postgresql->parameters_replica,
            postgresql->parameters_standby_leader),
        true);
    if (input->needs_feedback) {
        put(&builder, "hot_standby_feedback", "on", false);
    }
    put_access(&builder);
    put_recovery_conf(&builder);
    put_standby_cluster(&builder);
    put_targets(&builder);
    if (tree_full(tree)) {
        problem_missing(problems, NULL, "postgresql: larger than %zu bytes", tree->size);
    }
}

void pgparams_check(const struct node *parameters, struct problems *problems)
{
    for (const struct node *at = parameters == NULL ? NULL : parameters->first; at != NULL;
         at = at->next) {
        const struct controlled *rule = find_controlled(at->key);
        int64_t bytes = 0;

        if (at->kind == NODE_NULL) {
            continue;
        }
        if (at->text == NULL) {
            problem_error(
                problems, at, "%s is not right; give one value", node_kind_text(at->kind));
        } else if (rule != NULL && !obeys(rule, at->text)) {
            char wanted[64];

            describe_rule(rule, wanted, sizeof wanted);
            problem_error(problems, at, "\"%s\" is not right; give %s", at->text, wanted);
        } else if (is_wal_keep(at->key) && !wal_keep_bytes(at, &bytes)) {
            problem_error(
                problems, at, "\"%s\" is not right; give at least 16MB or 1 segment", at->text);
        } else if (is_fixed(at->key) || is_owned(at->key) || is_target(at->key)) {
            problem_warning(problems, at, "set by the daemon, without effect");
        }
    }
}

void pgparams_quote(struct text *out, const char *value)
{
    text_add(out, "'");
    for (const char *at = value; *at != '\0'; at++) {
        /* A new line would end the setting and begin another one. */
        if (*at == '\n' || *at == '\r') {
            text_add(out, "\\n");
            continue;
        }
        if (*at == '\'' || *at == '\\') {
            text_add_bytes(out, at, 1);
        }
        text_add_bytes(out, at, 1);
    }
    text_add(out, "'");
}

#include "cli/rows.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/member.h"
#include "cli/topology.h"

#define CELL_SIZE       2048
#define REASON_MAX      50 /* Longer values of a changed parameter are hidden in tables. */
#define POSTGRESQL_PORT "5432"

struct column {
    const char *key;
    const char *title_in_table;
    enum table_align align;
    bool optional; /* Left out where no row has it. */
};

static const struct column member_columns[] = {
    {"Cluster",                "Cluster",                TABLE_LEFT,  false},
    {"Member",                 "Member",                 TABLE_LEFT,  false},
    {"Host",                   "Host",                   TABLE_LEFT,  false},
    {"Role",                   "Role",                   TABLE_LEFT,  false},
    {"State",                  "State",                  TABLE_LEFT,  false},
    {"TL",                     "TL",                     TABLE_RIGHT, false},
    {"Receive LSN",            "Receive LSN",            TABLE_RIGHT, false},
    {"Receive Lag",            "Lag",                    TABLE_RIGHT, false},
    {"Replay LSN",             "Replay LSN",             TABLE_RIGHT, false},
    {"Replay Lag",             "Lag",                    TABLE_RIGHT, false},
    {"Pending restart",        "Pending restart",        TABLE_LEFT,  true },
    {"Pending restart reason", "Pending restart reason", TABLE_LEFT,  true },
    {"Scheduled restart",      "Scheduled restart",      TABLE_LEFT,  true },
    {"Tags",                   "Tags",                   TABLE_LEFT,  true },
    {"Rings",                  "Rings",                  TABLE_LEFT,  true },
};

static const struct column history_columns[] = {
    {"TL",         "TL",         TABLE_RIGHT, false},
    {"LSN",        "LSN",        TABLE_RIGHT, false},
    {"Reason",     "Reason",     TABLE_LEFT,  false},
    {"Timestamp",  "Timestamp",  TABLE_LEFT,  false},
    {"New Leader", "New Leader", TABLE_LEFT,  false},
};

bool rows_form_parse(const char *name, enum rows_form *form)
{
    static const struct {
        const char *name;
        enum rows_form form;
    } forms[] = {
        {"pretty", ROWS_PRETTY},
        {"tsv",    ROWS_TSV   },
        {"json",   ROWS_JSON  },
        {"yaml",   ROWS_YAML  },
        {"yml",    ROWS_YAML  },
    };

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if (text_equal(name, forms[i].name)) {
            *form = forms[i].form;
            return true;
        }
    }
    return false;
}

static bool is_boxed(enum rows_form form)
{
    return form == ROWS_PRETTY || form == ROWS_TOPOLOGY;
}

/* "sync_standby" as "Sync Standby". */
static void add_role(const char *role, struct text *out)
{
    bool start = true;

    for (; *role != '\0'; role++) {
        const int c = *role == '_' ? ' ' : *role;

        text_addf(out, "%c", start ? toupper(c) : c);
        start = c == ' ';
    }
}

static bool has_plain_port(const struct node *member)
{
    const char *port = member_field(member, "port");

    return port[0] == '\0' || text_equal(port, POSTGRESQL_PORT);
}

static bool shares_host(const struct node *member)
{
    const char *host = member_field(member, "host");

    for (const struct node *other = member->next; other != NULL; other = other->next) {
        if (host[0] != '\0' && text_equal(host, member_field(other, "host"))) {
            return true;
        }
    }
    return false;
}

/* Ports are shown for all members or for none. */
static bool ports_matter(const struct node *members)
{
    for (const struct node *member = members->first; member != NULL; member = member->next) {
        if (!has_plain_port(member) || shares_host(member)) {
            return true;
        }
    }
    return false;
}

/* Puts a text under a key, unless it is empty. */
static void put(
    struct tree *tree, struct node *row, const char *key, enum node_kind kind, const char *text)
{
    if (text[0] != '\0') {
        tree_put(tree, row, key, tree_scalar(tree, kind, text));
    }
}

static void put_host(struct tree *tree, struct node *row, const struct node *member, bool with_port)
{
    const char *host = member_field(member, "host");
    char cell[CELL_SIZE];
    struct text text;

    text_init(&text, cell, sizeof cell);
    text_add(&text, host);
    if (with_port && host[0] != '\0') {
        text_addf(&text, ":%s", member_field(member, "port"));
    }
    put(tree, row, "Host", NODE_STRING, cell);
}

/* Bytes become whole megabytes; what is no number, such as "unknown", becomes nothing. */
static void put_lag(
    struct tree *tree, struct node *row, const char *key, const struct node *member,
    const char *field)
{
    const struct node *lag = tree_child(member, field);
    char cell[32];
    struct text text;
    int64_t bytes;

    if (lag == NULL || lag->kind != NODE_INT) {
        return;
    }
    bytes = strtoll(lag->text, NULL, 10);
    text_init(&text, cell, sizeof cell);
    text_addf(&text, "%" PRId64, (bytes + (1 << 19)) / (1 << 20));
    put(tree, row, key, NODE_INT, cell);
}

/* "max_connections: 100->200", one line per parameter. */
static void put_reason(
    struct tree *tree, struct node *row, const struct node *member, enum rows_form form)
{
    const struct node *reasons = tree_child(member, "pending_restart_reason");
    char cell[CELL_SIZE];
    struct text text;

    text_init(&text, cell, sizeof cell);
    if (reasons == NULL || reasons->kind != NODE_MAP) {
        return;
    }
    for (const struct node *reason = reasons->first; reason != NULL; reason = reason->next) {
        const char *old_value = member_field(reason, "old_value");
        const char *new_value = member_field(reason, "new_value");

        text_addf(&text, "%s%s: ", text.length == 0 ? "" : "\n", reason->key);
        if (is_boxed(form) && strlen(old_value) + strlen(new_value) + 2 > REASON_MAX) {
            text_add(&text, "[hidden - too long]");
        } else {
            text_addf(&text, "%s->%s", old_value, new_value);
        }
    }
    put(tree, row, "Pending restart reason", NODE_STRING, cell);
}

static void put_scheduled_restart(struct tree *tree, struct node *row, const struct node *member)
{
    const struct node *restart = tree_child(member, "scheduled_restart");
    const char *version = member_field(restart, "postgres_version");
    char cell[CELL_SIZE];
    struct text text;

    text_init(&text, cell, sizeof cell);
    text_add(&text, member_field(restart, "schedule"));
    if (version[0] != '\0') {
        text_addf(&text, " if version < %s", version);
    }
    put(tree, row, "Scheduled restart", NODE_STRING, cell);
}

/* The guard's rings that a member reported, in a list or as one text. */
static void put_rings(struct tree *tree, struct node *row, const struct node *member)
{
    const struct node *rings = tree_child(member, "rings");
    char cell[CELL_SIZE];
    struct text text;

    if (rings == NULL || rings->kind != NODE_LIST) {
        put(tree, row, "Rings", NODE_STRING, member_field(member, "rings"));
        return;
    }
    text_init(&text, cell, sizeof cell);
    for (const struct node *ring = rings->first; ring != NULL; ring = ring->next) {
        const char *name = node_text(ring);

        text_addf(&text, "%s%s", text.length == 0 ? "" : ", ", name == NULL ? "" : name);
    }
    put(tree, row, "Rings", NODE_STRING, cell);
}

static void put_extras(
    struct tree *tree, struct node *row, const struct node *member, enum rows_form form)
{
    const struct node *tags = tree_child(member, "tags");
    bool pending = false;

    if (node_bool(tree_child(member, "pending_restart"), &pending) && pending) {
        put(tree, row, "Pending restart", NODE_STRING, "*");
    }
    put_reason(tree, row, member, form);
    put_scheduled_restart(tree, row, member);
    if (tags != NULL && tags->kind == NODE_MAP && tags->count > 0) {
        tree_put(tree, row, "Tags", tree_copy(tree, tags));
    }
    put_rings(tree, row, member);
}

/* Levels below the leader: 0 is a member without mark, 1 is "+ name". */
static void put_name(struct tree *tree, struct node *row, const struct node *member, uint32_t level)
{
    char cell[CELL_SIZE];
    struct text text;

    text_init(&text, cell, sizeof cell);
    for (uint32_t i = 1; i < level; i++) {
        text_add(&text, "  ");
    }
    text_addf(&text, "%s%s", level > 0 ? "+ " : "", member_field(member, "name"));
    put(tree, row, "Member", NODE_STRING, cell);
}

static struct node *member_row(
    struct tree *tree, const struct node *cluster, const struct node *member, uint32_t level,
    enum rows_form form)
{
    struct node *row = tree_map(tree);
    char role[CELL_SIZE];
    struct text text;

    if (row == NULL) {
        return NULL;
    }
    text_init(&text, role, sizeof role);
    add_role(member_field(member, "role"), &text);

    put(tree, row, "Cluster", NODE_STRING, member_field(cluster, "scope"));
    put_name(tree, row, member, level);
    put_host(tree, row, member, ports_matter(member->parent));
    put(tree, row, "Role", NODE_STRING, role);
    put(tree, row, "State", NODE_STRING, member_field(member, "state"));
    put(tree, row, "TL", NODE_INT, member_field(member, "timeline"));
    put(tree, row, "Receive LSN", NODE_STRING, member_field(member, "receive_lsn"));
    put_lag(tree, row, "Receive Lag", member, "receive_lag");
    put(tree, row, "Replay LSN", NODE_STRING, member_field(member, "replay_lsn"));
    put_lag(tree, row, "Replay Lag", member, "replay_lag");
    put_extras(tree, row, member, form);
    return row;
}

struct node *rows_members(struct tree *tree, const struct node *cluster, enum rows_form form)
{
    const struct node *members = tree_child(cluster, "members");
    struct topology_place places[TOPOLOGY_MEMBERS_MAX];
    struct node *rows = tree_list(tree);
    uint32_t count;

    if (rows == NULL || members == NULL || members->kind != NODE_LIST) {
        return rows;
    }
    count = form == ROWS_TOPOLOGY ? topology_by_tree(members, places)
                                  : topology_by_name(members, places);
    for (uint32_t i = 0; i < count; i++) {
        tree_append(rows, member_row(tree, cluster, places[i].member, places[i].level, form));
    }
    return rows;
}

/* An entry is a list of three to five values; what it lacks stays empty. */
struct node *rows_history(struct tree *tree, const struct node *history)
{
    struct node *rows = tree_list(tree);
    const struct node *entry =
        history == NULL || history->kind != NODE_LIST ? NULL : history->first;

    for (; rows != NULL && entry != NULL; entry = entry->next) {
        struct node *row = tree_map(tree);
        const struct node *value = entry->kind == NODE_LIST ? entry->first : NULL;

        for (size_t i = 0; row != NULL && i < ARRAY_SIZE(history_columns); i++) {
            struct node *cell = value == NULL ? tree_string(tree, "") : tree_copy(tree, value);

            tree_put(tree, row, history_columns[i].key, cell);
            value = value == NULL ? NULL : value->next;
        }
        tree_append(rows, row);
    }
    return rows;
}

static bool any_row_has(const struct node *rows, const char *key)
{
    for (const struct node *row = rows->first; row != NULL; row = row->next) {
        if (tree_child(row, key) != NULL) {
            return true;
        }
    }
    return false;
}

static void add_column(struct rows_layout *layout, const char *key, struct table_column column)
{
    ASSERT(layout->count < TABLE_COLUMNS_MAX);
    layout->keys[layout->count] = key;
    layout->columns[layout->count] = column;
    layout->count++;
}

void rows_members_layout(
    const struct node *rows, enum rows_form form, bool extended, struct rows_layout *layout)
{
    const bool boxed = is_boxed(form);

    layout->count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(member_columns); i++) {
        const struct column *column = &member_columns[i];
        const char *title = boxed ? column->title_in_table : column->key;

        if (boxed && i == 0) {
            continue; /* The cluster's name is in the border. */
        }
        if (!column->optional || extended || any_row_has(rows, column->key)) {
            add_column(layout, column->key, (struct table_column){title, column->align});
        }
    }
}

void rows_history_layout(struct rows_layout *layout)
{
    layout->count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(history_columns); i++) {
        const struct column *column = &history_columns[i];

        add_column(layout, column->key, (struct table_column){column->key, column->align});
    }
}

/* Whether a text must be quoted to be read back from YAML as the same text. */
static bool needs_quotes(const struct node *node)
{
    static const char special[] = ":#,[]{}&*!|>'\"%@`\n\t";

    return node->kind == NODE_STRING &&
           (tree_plain_kind(node->text) != NODE_STRING || strpbrk(node->text, special) != NULL ||
            node->text[0] == '-' || node->text[0] == '?' || node->text[0] == ' ');
}

static void add_scalar(const struct node *node, struct text *out)
{
    if (node->kind == NODE_NULL) {
        text_add(out, "null");
        return;
    }
    if (!needs_quotes(node)) {
        text_add(out, node->text);
        return;
    }
    text_add(out, "'");
    for (const char *c = node->text; *c != '\0'; c++) {
        text_add_bytes(out, c, 1);
        if (*c == '\'') {
            text_add(out, "'");
        }
    }
    text_add(out, "'");
}

/* YAML in one line: {clonefrom: true, zones: [a, b]}. */
static void add_flow(const struct node *root, struct text *out)
{
    struct tree_walk walk;

    tree_walk_init(&walk, root);
    while (tree_walk_next(&walk)) {
        const struct node *node = walk.node;
        const bool map = node->kind == NODE_MAP;

        if (walk.leaving) {
            text_add(out, map ? "}" : "]");
            continue;
        }
        if (node != root) {
            text_addf(out, "%s", node == node->parent->first ? "" : ", ");
            text_addf(out, "%s%s", node->key == NULL ? "" : node->key, node->key ? ": " : "");
        }
        if (map || node->kind == NODE_LIST) {
            text_add(out, map ? "{" : "[");
        } else {
            add_scalar(node, out);
        }
    }
}

/* A line per tag; what is nested in a tag stays in its line. */
static void add_block(const struct node *map, struct text *out)
{
    for (const struct node *child = map->first; child != NULL; child = child->next) {
        text_addf(out, "%s%s: ", child == map->first ? "" : "\n", child->key);
        add_flow(child, out);
    }
}

static const char *cell_of(struct tree *tree, const struct node *value, enum rows_form form)
{
    char cell[CELL_SIZE];
    struct text text;
    const char *copy;

    if (value == NULL || value->kind == NODE_NULL) {
        return "";
    }
    if (value->kind != NODE_MAP && value->kind != NODE_LIST) {
        return value->text;
    }
    text_init(&text, cell, sizeof cell);
    if (value->kind == NODE_MAP && form == ROWS_PRETTY) {
        add_block(value, &text);
    } else {
        add_flow(value, &text);
    }
    copy = tree_text(tree, cell);
    return copy == NULL ? "" : copy;
}

void rows_cells(
    struct tree *tree, const struct node *rows, const struct rows_layout *layout,
    enum rows_form form, const char *cells[])
{
    size_t count = 0;

    for (const struct node *row = rows->first; row != NULL; row = row->next) {
        for (uint32_t i = 0; i < layout->count; i++) {
            cells[count++] = cell_of(tree, tree_child(row, layout->keys[i]), form);
        }
    }
}

void rows_header(const struct node *cluster, struct text *out)
{
    const char *identifier = node_text(tree_child(cluster, "system_identifier"));

    if (identifier == NULL) {
        identifier = "uninitialized";
    } else if (identifier[0] == '\0') {
        identifier = "initializing";
    }
    text_addf(out, " Cluster: %s (%s) ", member_field(cluster, "scope"), identifier);
}

void rows_footer(const struct node *cluster, struct text *out)
{
    const struct node *switchover = tree_child(cluster, "scheduled_switchover");
    const char *from = member_field(switchover, "from");
    const char *to = member_field(switchover, "to");
    const struct node *members = tree_child(cluster, "members");
    bool pause = false;

    if (members == NULL || members->count == 0) {
        text_add(out, " No member is known: since its start this node has not heard a majority\n");
    }
    if (node_bool(tree_child(cluster, "pause"), &pause) && pause) {
        text_add(out, " Maintenance mode: on\n");
    }
    if (switchover == NULL || switchover->kind != NODE_MAP) {
        return;
    }
    text_addf(out, " Switchover scheduled at: %s\n", member_field(switchover, "at"));
    if (from[0] != '\0') {
        text_addf(out, "%24s: %s\n", "from", from);
    }
    if (to[0] != '\0') {
        text_addf(out, "%24s: %s\n", "to", to);
    }
}

/*
 * Cluster-wide settings: the dynamic half of conf.h.
 */
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "conf/conf.h"
#include "conf/pgparams.h"
#include "conf/read.h"

static const char *why_dynamic(const void *owner, const struct node *node, const char *path)
{
    (void)owner;
    (void)node;
    (void)path;
    return "unknown setting, kept and without effect";
}

static const char *why_postgresql(const void *owner, const struct node *node, const char *path)
{
    (void)owner;
    if (conf_table_match(conf_table(CONF_TABLE_POSTGRESQL_LOCAL), path) != CONF_MATCH_NONE) {
        return "different on every node, ignored here; put it into the settings file";
    }
    if (node->kind == NODE_MAP && tree_child(node, "command") != NULL) {
        return NULL; /* A method that makes replicas. */
    }
    return "unknown setting, kept and without effect";
}

static bool is_slot_name(const char *name)
{
    return name[0] != '\0' && strlen(name) < 64 &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

/* 0 for nothing, "", false and the like: a physical slot with nothing to say about it. */
static bool is_falsy(const struct node *node)
{
    bool truth = true;

    if (node->kind == NODE_NULL) {
        return true;
    }
    return node->text != NULL && (node->text[0] == '\0' || (node_bool(node, &truth) && !truth));
}

/* -1 if the word is no type; `otherwise` if there is none. */
static int slot_type(const struct node *node, int otherwise, struct problems *problems)
{
    const char *text = node_text(tree_child(node, "type"));

    if (text == NULL) {
        return otherwise;
    }
    if (text_equal(text, "physical")) {
        return CONF_SLOT_PHYSICAL;
    }
    if (text_equal(text, "logical")) {
        return CONF_SLOT_LOGICAL;
    }
    problem_error(
        problems, tree_child(node, "type"), "\"%s\" is not right; give physical or logical", text);
    return -1;
}

static void fill_slot(struct conf_slot *slot, const struct node *node)
{
    slot->database = node_text(tree_child(node, "database"));
    slot->plugin = node_text(tree_child(node, "plugin"));
    slot->cluster_type = node_text(tree_child(node, "cluster_type"));
}

static bool check_slot(
    const struct conf_slot *slot, const struct node *node, struct problems *problems)
{
    const char *cluster = slot->cluster_type;

    if (!is_slot_name(slot->name)) {
        problem_error(
            problems, node, "\"%s\" cannot be a slot; use a to z, 0 to 9 and _, at most 63",
            slot->name);
        return false;
    }
    if (slot->type == CONF_SLOT_LOGICAL && (slot->database == NULL || slot->plugin == NULL)) {
        problem_error(problems, node, "a logical slot needs database and plugin; give both");
        return false;
    }
    if (cluster != NULL && !text_equal(cluster, "primary") && !text_equal(cluster, "standby")) {
        problem_error(
            problems, tree_child(node, "cluster_type"),
            "\"%s\" is not right; give primary or standby", cluster);
        return false;
    }
    return slot->type >= 0;
}

static void read_slot(struct conf_slots *slots, const struct node *node, struct problems *problems)
{
    struct conf_slot slot = {.name = node->key, .type = CONF_SLOT_PHYSICAL};

    if (node->kind == NODE_MAP) {
        fill_slot(&slot, node);
        slot.type = slot_type(
            node,
            slot.database != NULL && slot.plugin != NULL ? CONF_SLOT_LOGICAL : CONF_SLOT_PHYSICAL,
            problems);
    } else if (!is_falsy(node)) {
        problem_error(problems, node, "%s is not right; give a map", node_kind_text(node->kind));
        return;
    }
    if (!check_slot(&slot, node, problems)) {
        return;
    }
    if (slots->count == CONF_SLOTS_MAX) {
        problem_error(problems, node, "more than %d slots; give fewer", CONF_SLOTS_MAX);
        return;
    }
    if (slot.type == CONF_SLOT_LOGICAL) {
        problem_warning(
            problems, node,
            "without effect in this version: no logical slot is made, or kept over a failover");
    }
    slots->items[slots->count++] = slot;
}

static bool has_children(const struct node *node)
{
    return node != NULL && node->first != NULL;
}

static void read_slots(struct conf_dynamic *dynamic, struct problems *problems)
{
    const struct node *node = dynamic->slots;

    if (!has_children(node)) {
        node = has_children(dynamic->permanent_slots) ? dynamic->permanent_slots
                                                      : dynamic->permanent_replication_slots;
    }
    for (const struct node *at = node == NULL ? NULL : node->first; at != NULL; at = at->next) {
        read_slot(&dynamic->permanent, at, problems);
    }
}

static void read_matchers(struct conf_dynamic *dynamic, struct problems *problems)
{
    struct conf_slots *slots = &dynamic->ignored_slots;
    const struct node *list = dynamic->ignore_slots;

    for (const struct node *at = list == NULL ? NULL : list->first; at != NULL; at = at->next) {
        struct conf_slot slot = {.name = node_text(tree_child(at, "name"))};

        if (at->kind != NODE_MAP) {
            problem_error(
                problems, at, "%s is not right; give a map of name, type, database, plugin",
                node_kind_text(at->kind));
            continue;
        }
        fill_slot(&slot, at);
        slot.type = slot_type(at, -1, problems);
        if (slots->count == CONF_SLOTS_MAX) {
            problem_error(problems, at, "more than %d matchers; give fewer", CONF_SLOTS_MAX);
            return;
        }
        slots->items[slots->count++] = slot;
    }
}

static void read_postgresql(
    const struct conf_dynamic *dynamic, struct tree *tree, struct problems *problems)
{
    const struct conf_table both = conf_table(CONF_TABLE_POSTGRESQL_BOTH);
    struct conf_postgresql scratch = {.root = NULL};

    if (dynamic->postgresql == NULL) {
        return;
    }
    conf_read_keys(both, &scratch, tree, dynamic->postgresql, problems);
    conf_read_unknown(&both, 1, dynamic->postgresql, why_postgresql, NULL, problems);
    pgparams_check(scratch.parameters, problems);
}

static void fill_in(struct conf_dynamic *dynamic)
{
    struct conf_standby_cluster *standby = &dynamic->standby_cluster;

    if (tree_get(dynamic->root, "primary_start_timeout") == NULL &&
        dynamic->master_start_timeout_ms != CONF_UNSET) {
        dynamic->primary_start_timeout_ms = dynamic->master_start_timeout_ms;
    }
    if (tree_get(dynamic->root, "primary_stop_timeout") == NULL &&
        dynamic->master_stop_timeout_ms != CONF_UNSET) {
        dynamic->primary_stop_timeout_ms = dynamic->master_stop_timeout_ms;
    }
    standby->active =
        standby->host != NULL || standby->port != NULL || standby->restore_command != NULL;
    if (standby->active) {
        dynamic->synchronous_mode = CONF_SYNC_OFF;
    }
}

static const struct node empty_map = {.kind = NODE_MAP};

void conf_dynamic_read(
    struct conf_dynamic *dynamic, struct tree *tree, const struct node *root,
    struct problems *problems)
{
    const struct conf_table table = conf_table(CONF_TABLE_DYNAMIC);

    if (root == NULL) {
        root = &empty_map;
    }
    *dynamic = (struct conf_dynamic){.root = root};
    if (root->kind != NODE_MAP) {
        problem_error(problems, root, "%s is not right; give a map", node_kind_text(root->kind));
        root = &empty_map;
        dynamic->root = root;
    }
    conf_read_keys(table, dynamic, tree, root, problems);
    conf_read_unknown(&table, 1, root, why_dynamic, NULL, problems);
    fill_in(dynamic);
    read_slots(dynamic, problems);
    read_matchers(dynamic, problems);
    read_postgresql(dynamic, tree, problems);
}

void conf_dynamic_unsupported(const struct conf_dynamic *dynamic, struct problems *problems)
{
    const struct node *root = dynamic->root;

    if (dynamic->synchronous_mode != CONF_SYNC_OFF) {
        problem_error(
            problems, tree_get(root, "synchronous_mode"),
            "synchronous modes are not in this version; leave it off");
    }
    if (dynamic->pause) {
        problem_error(
            problems, tree_get(root, "pause"),
            "maintenance mode is not in this version; leave it out");
    }
    if (dynamic->standby_cluster.active) {
        problem_error(
            problems, tree_get(root, "standby_cluster"),
            "standby clusters are not in this version; leave it out");
    }
}

bool conf_dynamic_validate(struct tree *tree, const struct node *root, struct problems *problems)
{
    const uint32_t before = problems->error_count;
    struct conf_dynamic dynamic;

    conf_dynamic_read(&dynamic, tree, root, problems);
    conf_dynamic_unsupported(&dynamic, problems);
    return problems->error_count == before;
}

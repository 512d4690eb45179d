#include "conf/read.h"

#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "conf/conf.h"
#include "conf/value.h"

struct reader {
    struct tree *tree;
    struct problems *problems;
    char *target;
};

static bool parse_number(enum conf_type type, const char *text, int64_t *value)
{
    switch (type) {
    case CONF_TYPE_COUNT:
        return value_count(text, value);
    case CONF_TYPE_SECONDS:
        return value_seconds(text, value);
    case CONF_TYPE_BYTES:
        return value_bytes(text, value);
    case CONF_TYPE_MODE:
        return value_mode(text, value);
    case CONF_TYPE_TEXT:
    case CONF_TYPE_SECRET:
    case CONF_TYPE_BOOL:
    case CONF_TYPE_CHOICE:
    case CONF_TYPE_ADDRESS:
    case CONF_TYPE_LISTEN:
    case CONF_TYPE_ADDRESSES:
    case CONF_TYPE_WORDS:
    case CONF_TYPE_LINES:
    case CONF_TYPE_LIST:
    case CONF_TYPE_MAP:
    case CONF_TYPE_ANY:
        break;
    }
    UNREACHABLE();
}

/* One end of a range such as "1..3600"; true and no change if that end is open. */
static bool range_end(const struct conf_key *key, bool high, int64_t *end)
{
    const char *dots = strstr(key->range, "..");
    char text[32];

    if (dots == NULL) {
        return false;
    }
    if (high) {
        text_copy_cut(text, sizeof text, dots + 2);
    } else {
        const size_t length = (size_t)(dots - key->range);

        ASSERT(length < sizeof text);
        memcpy(text, key->range, length);
        text[length] = '\0';
    }
    return text[0] != '\0' && parse_number(key->type, text, end);
}

static bool in_range(const struct conf_key *key, int64_t value)
{
    int64_t end = 0;

    if (range_end(key, false, &end) && value < end) {
        return false;
    }
    return !range_end(key, true, &end) || value <= end;
}

/* The place of a word among "a|b|c", -1 if it is not there. */
static int choice_place(const char *words, const char *word)
{
    const size_t length = strlen(word);
    int place = 0;

    for (const char *at = words; length > 0; place++) {
        const size_t size = strcspn(at, "|");
        char one[32];

        ASSERT(size < sizeof one);
        memcpy(one, at, size);
        one[size] = '\0';
        if (text_equal_nocase(one, word)) {
            return place;
        }
        if (at[size] == '\0') {
            break;
        }
        at += size + 1;
    }
    return -1;
}

/* "yes" and "true" are other ways to write "on" where that is one of the words. */
static int parse_choice(const struct conf_key *key, const struct node *node, const char *text)
{
    const int place = choice_place(key->range, text);
    bool truth = false;

    if (place >= 0 || node == NULL || !node_bool(node, &truth)) {
        return place;
    }
    return choice_place(key->range, truth ? "on" : "off");
}

static void wrong(const struct reader *reader, const struct conf_key *key, const struct node *node)
{
    const char *text = node_text(node);
    const bool show = text != NULL && key->type != CONF_TYPE_SECRET;
    const char *form = key->type == CONF_TYPE_CHOICE ? "one of " : conf_type_text(key->type);

    problem_error(
        reader->problems, node, "%s%s%s is not right; give %s%s%s", show ? "\"" : "",
        show ? text : node_kind_text(node->kind), show ? "\"" : "", form,
        key->range[0] == '\0' || key->type == CONF_TYPE_CHOICE ? "" : ", ", key->range);
}

/* A scalar into its field; false if the text is not what it should be. */
static bool store_scalar(
    const struct reader *reader, const struct conf_key *key, const struct node *node,
    const char *text)
{
    void *field = reader->target + key->offset;
    int64_t number = 0;
    int place = -1;

    switch (key->type) {
    case CONF_TYPE_TEXT:
    case CONF_TYPE_SECRET:
        *(const char **)field = text[0] == '\0' ? NULL : text;
        return true;
    case CONF_TYPE_COUNT:
    case CONF_TYPE_SECONDS:
    case CONF_TYPE_BYTES:
    case CONF_TYPE_MODE:
        if (!parse_number(key->type, text, &number) || !in_range(key, number)) {
            return false;
        }
        *(int64_t *)field = number;
        return true;
    case CONF_TYPE_BOOL:
        return node_bool(&(struct node){.kind = NODE_STRING, .text = text}, field);
    case CONF_TYPE_CHOICE:
        place = parse_choice(key, node, text);
        if (place >= 0) {
            *(int *)field = place;
        }
        return place >= 0;
    case CONF_TYPE_ADDRESS:
        return value_address(text, field);
    case CONF_TYPE_LISTEN:
        return value_listen(text, field);
    case CONF_TYPE_ADDRESSES:
    case CONF_TYPE_WORDS:
    case CONF_TYPE_LINES:
    case CONF_TYPE_LIST:
    case CONF_TYPE_MAP:
    case CONF_TYPE_ANY:
        break;
    }
    UNREACHABLE();
}

/* The list that a text with commas stands for. */
static const struct node *split_words(const struct reader *reader, const struct node *node)
{
    struct node *list = tree_list(reader->tree);

    if (list == NULL) {
        return NULL;
    }
    list->line = node->line;
    list->file = node->file;
    list->key = node->key;
    list->parent = node->parent;
    for (const char *at = node->text; *at != '\0';) {
        const size_t lead = strspn(at, " ,");
        size_t length = strcspn(at + lead, ",");
        const char *word = at + lead;
        struct node *child = NULL;

        at += lead + length;
        while (length > 0 && word[length - 1] == ' ') {
            length--;
        }
        if (length > 0) {
            const char *copy = tree_text_n(reader->tree, word, length);

            child = copy == NULL ? NULL : tree_string(reader->tree, copy);
            tree_append(list, child);
        }
        if (child != NULL) {
            child->line = node->line;
            child->file = node->file;
        }
    }
    return list;
}

static bool all_scalars(const struct node *list)
{
    for (const struct node *child = list->first; child != NULL; child = child->next) {
        if (node_text(child) == NULL) {
            return false;
        }
    }
    return true;
}

static void store_addresses(
    const struct reader *reader, const struct conf_key *key, const struct node *list)
{
    struct conf_addresses *field = (void *)(reader->target + key->offset);

    for (const struct node *child = list->first; child != NULL; child = child->next) {
        if (field->count == CONF_PARTNERS_MAX) {
            problem_error(
                reader->problems, child, "more than %d addresses; give fewer", CONF_PARTNERS_MAX);
            return;
        }
        if (child->text == NULL || !value_address(child->text, &field->items[field->count])) {
            problem_error(
                reader->problems, child, "\"%s\" is not right; give host:port",
                child->text == NULL ? node_kind_text(child->kind) : child->text);
        } else {
            field->count++;
        }
    }
}

static void store_branch(
    const struct reader *reader, const struct conf_key *key, const struct node *node)
{
    const struct node **field = (void *)(reader->target + key->offset);
    const bool splits = key->type == CONF_TYPE_WORDS || key->type == CONF_TYPE_ADDRESSES;
    const struct node *list = splits && node->text != NULL ? split_words(reader, node) : node;
    bool ok = false;

    if (list == NULL) {
        return; /* The tree is full, which is reported once, by whoever owns it. */
    }
    if (key->type == CONF_TYPE_MAP) {
        ok = list->kind == NODE_MAP;
    } else if (key->type == CONF_TYPE_ANY) {
        ok = list->kind == NODE_MAP || list->kind == NODE_LIST;
    } else if (key->type == CONF_TYPE_WORDS || key->type == CONF_TYPE_LINES) {
        ok = list->kind == NODE_LIST && all_scalars(list);
    } else {
        ok = list->kind == NODE_LIST;
    }
    if (!ok) {
        wrong(reader, key, node);
    } else if (key->type == CONF_TYPE_ADDRESSES) {
        store_addresses(reader, key, list);
    } else {
        *field = list;
    }
}

static bool is_scalar_type(enum conf_type type)
{
    return !conf_type_is_open(type);
}

static bool is_number_type(enum conf_type type)
{
    return type == CONF_TYPE_COUNT || type == CONF_TYPE_SECONDS || type == CONF_TYPE_BYTES ||
           type == CONF_TYPE_MODE;
}

static void store_default(const struct reader *reader, const struct conf_key *key)
{
    if (is_number_type(key->type)) {
        *(int64_t *)(void *)(reader->target + key->offset) = CONF_UNSET;
    }
    if (key->fallback != NULL) {
        const bool stored = store_scalar(reader, key, NULL, key->fallback);

        ASSERT(stored); /* tests/unit/test_conf_table.c goes over all of them. */
    }
}

static void read_key(
    const struct reader *reader, const struct conf_key *key, const struct node *root)
{
    const struct node *node = root == NULL ? NULL : tree_get(root, key->path);

    if (is_scalar_type(key->type)) {
        store_default(reader, key);
    }
    if (node == NULL) {
        return;
    }
    if (key->when == CONF_WHEN_IGNORED) {
        problem_warning(reader->problems, node, "without effect here: %s", key->sentence);
    }
    if (!is_scalar_type(key->type)) {
        store_branch(reader, key, node);
    } else if (node->text == NULL || !store_scalar(reader, key, node, node->text)) {
        wrong(reader, key, node);
    }
}

void conf_read_keys(
    struct conf_table table, void *target, struct tree *tree, const struct node *root,
    struct problems *problems)
{
    const struct reader reader = {.tree = tree, .problems = problems, .target = target};

    for (size_t i = 0; i < table.count; i++) {
        read_key(&reader, &table.keys[i], root);
    }
}

static enum conf_match match_any(
    const struct conf_table *tables, size_t table_count, const struct node *node, const char *path)
{
    enum conf_match best = CONF_MATCH_NONE;

    /* A dot inside a key only looks like a path. */
    if (strchr(node->key, '.') != NULL) {
        return CONF_MATCH_NONE;
    }
    for (size_t i = 0; i < table_count && best != CONF_MATCH_KEY; i++) {
        const enum conf_match match = conf_table_match(tables[i], path);

        best = match != CONF_MATCH_NONE ? match : best;
    }
    return best;
}

void conf_read_unknown(
    const struct conf_table *tables, size_t table_count, const struct node *root,
    conf_why_unknown *why, const void *owner, struct problems *problems)
{
    char path[TREE_PATH_MAX];
    size_t above = 0; /* How much of a path leads to `root`. */
    struct tree_walk walk;

    tree_path(root, path);
    above = strlen(path) + (path[0] != '\0');
    tree_walk_init(&walk, root);
    while (tree_walk_next(&walk)) {
        const struct node *node = walk.node;
        const char *reason = NULL;

        if (walk.leaving || node == root || node->key == NULL) {
            continue;
        }
        tree_path(node, path);
        switch (match_any(tables, table_count, node, path + above)) {
        case CONF_MATCH_KEY:
            walk.skip = true;
            break;
        case CONF_MATCH_SECTION:
            if (node->kind != NODE_MAP && node->kind != NODE_NULL) {
                problem_error(
                    problems, node, "%s is not right; give a map", node_kind_text(node->kind));
                walk.skip = true;
            }
            break;
        case CONF_MATCH_NONE:
            walk.skip = true;
            reason = why(owner, node, path + above);
            if (reason != NULL) {
                problem_warning(problems, node, "%s", reason);
            }
            break;
        }
    }
}

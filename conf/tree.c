#include "conf/tree.h"

#include <stdalign.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"

void tree_init(struct tree *tree, void *memory, size_t size)
{
    ASSERT(memory != NULL);
    *tree = (struct tree){.memory = memory, .size = size};
}

bool tree_full(const struct tree *tree)
{
    return tree->full;
}

static void *take(struct tree *tree, size_t size, size_t alignment)
{
    const uintptr_t at = (uintptr_t)(tree->memory + tree->used);
    const size_t padding = (alignment - at % alignment) % alignment;

    if (tree->full || size > tree->size - tree->used || padding > tree->size - tree->used - size) {
        tree->full = true;
        return NULL;
    }
    tree->used += padding + size;
    return tree->memory + tree->used - size;
}

static struct node *node_new(struct tree *tree, enum node_kind kind)
{
    struct node *node = take(tree, sizeof *node, alignof(struct node));

    if (node != NULL) {
        *node = (struct node){.kind = kind};
    }
    return node;
}

struct node *tree_map(struct tree *tree)
{
    return node_new(tree, NODE_MAP);
}

struct node *tree_list(struct tree *tree)
{
    return node_new(tree, NODE_LIST);
}

const char *tree_text_n(struct tree *tree, const char *text, size_t length)
{
    char *copy = length < SIZE_MAX ? take(tree, length + 1, 1) : NULL;

    if (copy != NULL) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

const char *tree_text(struct tree *tree, const char *text)
{
    return tree_text_n(tree, text, strlen(text));
}

struct node *tree_scalar(struct tree *tree, enum node_kind kind, const char *text)
{
    struct node *node = node_new(tree, kind);
    const char *copy = tree_text(tree, text);

    ASSERT(kind != NODE_MAP && kind != NODE_LIST);
    if (node == NULL || copy == NULL) {
        return NULL;
    }
    node->text = copy;
    return node;
}

struct node *tree_string(struct tree *tree, const char *text)
{
    return tree_scalar(tree, NODE_STRING, text);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t digits(const char *text)
{
    size_t count = 0;

    while (is_digit(text[count])) {
        count++;
    }
    return count;
}

/*
 * Only numbers that mean the same in YAML, in JSON and to a person are numbers here:
 * 0644, 0x10, 1_000 and 12:30 keep their text and are read by whoever knows them.
 */
static enum node_kind number_kind(const char *text)
{
    const char *at = text[0] == '-' ? text + 1 : text;
    const size_t whole = digits(at);

    if (whole == 0 || whole > 18 || (at[0] == '0' && whole > 1)) {
        return NODE_STRING;
    }
    at += whole;
    if (*at == '\0') {
        return NODE_INT;
    }
    if (*at != '.' || digits(at + 1) == 0 || digits(at + 1) > 18) {
        return NODE_STRING;
    }
    return at[1 + digits(at + 1)] == '\0' ? NODE_REAL : NODE_STRING;
}

static bool is_one_of(const char *text, const char *const words[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (text_equal_nocase(text, words[i])) {
            return true;
        }
    }
    return false;
}

static const char *const true_words[] = {"true", "on", "yes"};
static const char *const false_words[] = {"false", "off", "no"};

enum node_kind tree_plain_kind(const char *text)
{
    if (text[0] == '\0' || text_equal(text, "~") || text_equal_nocase(text, "null")) {
        return NODE_NULL;
    }
    if (is_one_of(text, true_words, ARRAY_SIZE(true_words)) ||
        is_one_of(text, false_words, ARRAY_SIZE(false_words))) {
        return NODE_BOOL;
    }
    return number_kind(text);
}

bool node_bool(const struct node *node, bool *value)
{
    const char *text = node_text(node);

    if (text == NULL) {
        return false;
    }
    *value = is_one_of(text, true_words, ARRAY_SIZE(true_words)) || text_equal(text, "1");
    return *value || is_one_of(text, false_words, ARRAY_SIZE(false_words)) || text_equal(text, "0");
}

const char *node_text(const struct node *node)
{
    if (node == NULL || node->kind == NODE_NULL) {
        return NULL;
    }
    return node->text;
}

const char *node_kind_text(enum node_kind kind)
{
    switch (kind) {
    case NODE_NULL:
        return "nothing";
    case NODE_BOOL:
        return "a truth value";
    case NODE_INT:
    case NODE_REAL:
        return "a number";
    case NODE_STRING:
        return "text";
    case NODE_MAP:
        return "a map";
    case NODE_LIST:
        return "a list";
    }
    UNREACHABLE();
}

void tree_append(struct node *list, struct node *child)
{
    if (list == NULL || child == NULL) {
        return;
    }
    ASSERT(list->kind == NODE_LIST || list->kind == NODE_MAP);
    child->parent = list;
    child->next = NULL;
    if (list->last == NULL) {
        list->first = child;
    } else {
        list->last->next = child;
    }
    list->last = child;
    list->count++;
}

struct node *tree_child_mutable(struct node *map, const char *key)
{
    if (map == NULL || map->kind != NODE_MAP) {
        return NULL;
    }
    for (struct node *child = map->first; child != NULL; child = child->next) {
        if (text_equal(child->key, key)) {
            return child;
        }
    }
    return NULL;
}

const struct node *tree_child(const struct node *map, const char *key)
{
    if (map == NULL || map->kind != NODE_MAP) {
        return NULL;
    }
    for (const struct node *child = map->first; child != NULL; child = child->next) {
        if (text_equal(child->key, key)) {
            return child;
        }
    }
    return NULL;
}

/* The child of `map` before `child`, NULL if it is the first. */
static struct node *before(struct node *map, const struct node *child)
{
    struct node *at = NULL;

    for (struct node *i = map->first; i != child; i = i->next) {
        at = i;
    }
    return at;
}

static void unlink_child(struct node *map, struct node *child)
{
    struct node *previous = before(map, child);

    if (previous == NULL) {
        map->first = child->next;
    } else {
        previous->next = child->next;
    }
    if (map->last == child) {
        map->last = previous;
    }
    map->count--;
}

bool tree_remove(struct node *map, const char *key)
{
    struct node *child = tree_child_mutable(map, key);

    if (child == NULL) {
        return false;
    }
    unlink_child(map, child);
    return true;
}

/* Links `child` where `old` was, so that a changed setting keeps its place in a file. */
static void replace_child(struct node *map, struct node *old, struct node *child)
{
    struct node *previous = before(map, old);

    child->parent = map;
    child->key = old->key;
    child->next = old->next;
    if (previous == NULL) {
        map->first = child;
    } else {
        previous->next = child;
    }
    if (map->last == old) {
        map->last = child;
    }
}

void tree_put(struct tree *tree, struct node *map, const char *key, struct node *child)
{
    struct node *old = tree_child_mutable(map, key);

    if (map == NULL) {
        return;
    }
    ASSERT(map->kind == NODE_MAP);
    if (child == NULL) {
        /* A child that did not fit must not turn into a deletion. */
        if (old != NULL && !tree->full) {
            unlink_child(map, old);
        }
        return;
    }
    if (old != NULL) {
        replace_child(map, old, child);
        return;
    }
    child->key = tree_text(tree, key);
    if (child->key != NULL) {
        tree_append(map, child);
    }
}

const struct node *tree_get(const struct node *root, const char *path)
{
    const struct node *node = root;
    const char *part = path;

    while (node != NULL && *part != '\0') {
        const size_t length = strcspn(part, ".");
        const struct node *child = node->kind == NODE_MAP ? node->first : NULL;

        while (child != NULL &&
               (strncmp(child->key, part, length) != 0 || child->key[length] != '\0')) {
            child = child->next;
        }
        node = child;
        part += length;
        part += *part == '.';
    }
    return node == NULL || node->kind == NODE_NULL ? NULL : node;
}

void tree_put_path(struct tree *tree, struct node *root, const char *path, struct node *child)
{
    struct node *map = root;
    const char *part = path;

    for (const char *dot = strchr(part, '.'); dot != NULL; dot = strchr(part, '.')) {
        const char *key = tree_text_n(tree, part, (size_t)(dot - part));
        struct node *below = key == NULL ? NULL : tree_child_mutable(map, key);

        if (key == NULL) {
            return;
        }
        if (below == NULL || below->kind != NODE_MAP) {
            below = tree_map(tree);
            if (below == NULL) {
                return;
            }
            tree_put(tree, map, key, below);
        }
        map = below;
        part = dot + 1;
    }
    tree_put(tree, map, part, child);
}

static uint32_t place_in_list(const struct node *node)
{
    uint32_t place = 0;

    for (const struct node *i = node->parent->first; i != node; i = i->next) {
        place++;
    }
    return place;
}

void tree_path(const struct node *node, char path[TREE_PATH_MAX])
{
    const struct node *parts[TREE_DEPTH_MAX + 1];
    size_t depth = 0;
    struct text text;

    while (node->parent != NULL && depth < ARRAY_SIZE(parts)) {
        parts[depth++] = node;
        node = node->parent;
    }
    text_init(&text, path, TREE_PATH_MAX);
    while (depth > 0) {
        const struct node *part = parts[--depth];

        if (part->key == NULL) {
            text_addf(&text, "[%u]", place_in_list(part));
        } else {
            text_addf(&text, "%s%s", text.length > 0 ? "." : "", part->key);
        }
    }
}

void tree_walk_init(struct tree_walk *walk, const struct node *root)
{
    *walk = (struct tree_walk){.root = root};
}

static bool is_branch(const struct node *node)
{
    return node->kind == NODE_MAP || node->kind == NODE_LIST;
}

bool tree_walk_next(struct tree_walk *walk)
{
    const struct node *node = walk->node;
    const bool inside = node != NULL && is_branch(node) && !walk->leaving;
    const bool skip = walk->skip;

    walk->skip = false;
    if (node == NULL) {
        walk->node = walk->root;
        return walk->root != NULL;
    }
    if (inside && (skip || node->first == NULL)) {
        walk->leaving = true;
        return true;
    }
    if (inside) {
        walk->node = node->first;
        return true;
    }
    if (node == walk->root) {
        return false;
    }
    walk->leaving = node->next == NULL;
    walk->node = node->next != NULL ? node->next : node->parent;
    return true;
}

static struct node *copy_one(struct tree *tree, const struct node *node, bool with_key)
{
    struct node *copy = node_new(tree, node->kind);

    if (copy == NULL) {
        return NULL;
    }
    copy->line = node->line;
    copy->file = node->file;
    if (node->text != NULL) {
        copy->text = tree_text(tree, node->text);
    }
    if (with_key && node->key != NULL) {
        copy->key = tree_text(tree, node->key);
    }
    return tree->full ? NULL : copy;
}

struct node *tree_copy(struct tree *tree, const struct node *node)
{
    struct node *root = NULL;
    struct node *into = NULL; /* The copy of the map or list the walk is in. */
    struct tree_walk walk;

    tree_walk_init(&walk, node);
    while (tree_walk_next(&walk)) {
        struct node *copy = NULL;

        if (walk.leaving) {
            ASSERT(into != NULL);
            into = into->parent;
            continue;
        }
        copy = copy_one(tree, walk.node, walk.node != node);
        if (copy == NULL) {
            return NULL;
        }
        tree_append(into, copy);
        if (root == NULL) {
            root = copy;
        }
        if (is_branch(copy)) {
            into = copy;
        }
    }
    return root;
}

/* The node of `b` that stands where `at`, a child in `a`, stands. */
static const struct node *counterpart(const struct node *at, const struct node *b)
{
    const struct node *child = b->first;

    if (at->parent->kind == NODE_MAP) {
        return tree_child(b, at->key);
    }
    for (uint32_t place = place_in_list(at); place > 0 && child != NULL; place--) {
        child = child->next;
    }
    return child;
}

static bool equal_one(const struct node *a, const struct node *b)
{
    if (is_branch(a) || is_branch(b)) {
        return a->kind == b->kind && a->count == b->count;
    }
    if ((a->kind == NODE_NULL) != (b->kind == NODE_NULL)) {
        return false;
    }
    return text_equal(a->text, b->text);
}

bool tree_equal(const struct node *a, const struct node *b)
{
    const struct node *other = b; /* Stands in `b` where the walk stands in `a`. */
    struct tree_walk walk;

    if (a == NULL || b == NULL) {
        return a == b;
    }
    tree_walk_init(&walk, a);
    while (tree_walk_next(&walk)) {
        if (walk.leaving) {
            other = walk.node == a ? b : other->parent;
            continue;
        }
        if (walk.node != a) {
            other = counterpart(walk.node, other);
        }
        if (other == NULL || !equal_one(walk.node, other)) {
            return false;
        }
        if (!is_branch(walk.node)) {
            other = other->parent;
        }
    }
    return true;
}

/* What a new map brings along is a value, not a deletion: its nulls go. */
static void drop_nulls(struct node *root)
{
    struct node *at = root;

    while (at != NULL) {
        struct node *child = at->kind == NODE_MAP ? at->first : NULL;

        while (child != NULL) {
            struct node *next = child->next;

            if (child->kind == NODE_NULL) {
                unlink_child(at, child);
            }
            child = next;
        }
        if (is_branch(at) && at->first != NULL) {
            at = at->first;
            continue;
        }
        while (at != root && at->next == NULL) {
            at = at->parent;
        }
        at = at == root ? NULL : at->next;
    }
}

static bool put_copy(
    struct tree *tree, struct node *target, const char *key, const struct node *value)
{
    struct node *copy = tree_copy(tree, value);

    if (copy != NULL) {
        drop_nulls(copy);
        tree_put(tree, target, key, copy);
    }
    return copy != NULL;
}

bool tree_merge(struct tree *tree, struct node *target, const struct node *patch)
{
    bool changed = false;
    struct tree_walk walk;

    ASSERT(target->kind == NODE_MAP && patch->kind == NODE_MAP);
    tree_walk_init(&walk, patch);
    while (tree_walk_next(&walk)) {
        const struct node *value = walk.node;
        struct node *old = NULL;

        if (value == patch) {
            continue;
        }
        if (walk.leaving) {
            target = target->parent;
            continue;
        }
        old = tree_child_mutable(target, value->key);
        if (value->kind == NODE_NULL) {
            changed = tree_remove(target, value->key) || changed;
        } else if (value->kind == NODE_MAP && old != NULL && old->kind == NODE_MAP) {
            target = old;
        } else {
            /* Copied whole: the walk leaves its inside out, but reports leaving it. */
            changed =
                (!tree_equal(old, value) && put_copy(tree, target, value->key, value)) || changed;
            if (is_branch(value)) {
                walk.skip = true;
                if (!tree_walk_next(&walk)) {
                    break;
                }
            }
        }
    }
    return changed;
}

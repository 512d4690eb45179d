#include "cli/edit.h"

#include <string.h>

#include "base/assert.h"
#include "base/text.h"

#define PARAMETERS "postgresql.parameters."

/* Takes the child after `previous` (NULL: the first) out of the map. */
static struct node *detach_after(struct node *map, struct node *previous)
{
    struct node *child = previous == NULL ? map->first : previous->next;

    if (previous == NULL) {
        map->first = child->next;
    } else {
        previous->next = child->next;
    }
    if (map->last == child) {
        map->last = previous;
    }
    map->count--;
    return child;
}

static void attach_after(struct node *map, struct node *previous, struct node *child)
{
    struct node **link = previous == NULL ? &map->first : &previous->next;

    child->next = *link;
    *link = child;
    if (child->next == NULL) {
        map->last = child;
    }
    map->count++;
}

/* Insertion sort: maps are small, and a list has no places to swap. */
static void sort_map(struct node *map)
{
    struct node *sorted = map->first; /* The last one that is in its place. */

    while (sorted != NULL && sorted->next != NULL) {
        struct node *previous = NULL;
        struct node *child;

        if (strcmp(sorted->key, sorted->next->key) <= 0) {
            sorted = sorted->next;
            continue;
        }
        child = detach_after(map, sorted);
        for (struct node *at = map->first; strcmp(at->key, child->key) < 0; at = at->next) {
            previous = at;
        }
        attach_after(map, previous, child);
    }
}

static void drop_nulls_of_map(struct node *map)
{
    struct node *previous = NULL;

    while ((previous == NULL ? map->first : previous->next) != NULL) {
        struct node *child = previous == NULL ? map->first : previous->next;

        if (child->kind == NODE_NULL) {
            (void)detach_after(map, previous);
        } else {
            previous = child;
        }
    }
}

/* The child of `parent` that `node` is, to be changed. */
static struct node *own(struct node *parent, const struct node *node)
{
    struct node *child = parent->first;

    while (child != node) {
        child = child->next;
    }
    return child;
}

/*
 * Applies `change` to every map from the top down. The walk has not looked at the children of a
 * map when it is entered, so they may be changed then, and only then.
 */
static void for_each_map(struct node *root, void (*change)(struct node *map))
{
    struct node *into = NULL; /* The branch the walk is in. */
    struct tree_walk walk;

    tree_walk_init(&walk, root);
    while (tree_walk_next(&walk)) {
        const bool branch = walk.node->kind == NODE_MAP || walk.node->kind == NODE_LIST;

        if (walk.leaving) {
            ASSERT(into != NULL); /* It was entered before. */
            into = into->parent;
        } else if (branch) {
            into = into == NULL ? root : own(into, walk.node);
            if (into->kind == NODE_MAP) {
                change(into);
            }
        }
    }
}

void edit_sort(struct node *root)
{
    for_each_map(root, sort_map);
}

void edit_drop_nulls(struct node *root)
{
    for_each_map(root, drop_nulls_of_map);
}

/* Length of the first key of a path of which `rest` is left. */
static size_t key_length(const char *path, const char *rest)
{
    const bool parameter =
        text_starts_with(path, PARAMETERS) && rest == path + sizeof PARAMETERS - 1;

    return parameter ? strlen(rest) : strcspn(rest, ".");
}

/* Goes into the map under `key`, making it if there is something to be put into it. */
static struct node *enter(struct tree *tree, struct node *map, const char *key, bool make)
{
    struct node *below = tree_child_mutable(map, key);

    if (make && (below == NULL || below->kind == NODE_NULL)) {
        below = tree_map(tree);
        if (below != NULL) {
            tree_put(tree, map, key, below);
        }
    }
    return below;
}

/* Removes the key, and the maps above that have nothing left, but not the outermost. */
static void remove_with_empty_maps(struct node *map, const char *key)
{
    while (tree_remove(map, key) && map->count == 0 && map->parent != NULL) {
        key = map->key;
        map = map->parent;
    }
}

bool edit_set(struct tree *tree, struct node *root, const char *path, struct node *value)
{
    const bool remove = value->kind == NODE_NULL;
    struct node *map = root;
    const char *rest = path;

    for (;;) {
        const size_t length = key_length(path, rest);
        const char *key = tree_text_n(tree, rest, length);
        const bool last = rest[length] == '\0';

        if (key == NULL) {
            return true; /* The tree is full, which the caller sees. */
        }
        if (length == 0 || map->kind != NODE_MAP) {
            return false;
        }
        if (last && remove) {
            remove_with_empty_maps(map, key);
            return true;
        }
        if (last) {
            tree_put(tree, map, key, value);
            return true;
        }
        map = enter(tree, map, key, !remove);
        if (map == NULL) {
            return true; /* Nothing there to be deleted, or the tree is full. */
        }
        rest += length + 1;
    }
}

/* One pair of maps that is being compared, and the patch that is made from it. */
struct pair {
    const struct node *before;
    const struct node *after;
    const struct node *next; /* The child of `after` that is looked at next. */
    struct node *patch;
};

static struct pair pair_of(
    struct tree *tree, const struct node *before, const struct node *after, struct node *patch)
{
    for (const struct node *child = before->first; child != NULL; child = child->next) {
        if (tree_child(after, child->key) == NULL) {
            tree_put(tree, patch, child->key, tree_scalar(tree, NODE_NULL, ""));
        }
    }
    return (struct pair){before, after, after->first, patch};
}

struct node *edit_difference(struct tree *tree, const struct node *before, const struct node *after)
{
    struct pair stack[TREE_DEPTH_MAX + 1];
    struct node *patch = tree_map(tree);
    size_t depth = 1;

    if (patch == NULL) {
        return NULL;
    }
    stack[0] = pair_of(tree, before, after, patch);
    while (depth > 0 && !tree_full(tree)) {
        struct pair *pair = &stack[depth - 1];
        const struct node *child = pair->next;
        const struct node *old = child == NULL ? NULL : tree_child(pair->before, child->key);

        if (child == NULL) {
            depth--;
            continue;
        }
        pair->next = child->next;
        if (old != NULL && tree_equal(old, child)) {
            continue;
        }
        if (old != NULL && old->kind == NODE_MAP && child->kind == NODE_MAP) {
            struct node *below = tree_map(tree);

            ASSERT(depth < ARRAY_SIZE(stack));
            if (below != NULL) {
                tree_put(tree, pair->patch, child->key, below);
                stack[depth++] = pair_of(tree, old, child, below);
            }
        } else {
            tree_put(tree, pair->patch, child->key, tree_copy(tree, child));
        }
    }
    return patch;
}

/*
 * conf/tree.h - a generic tree of settings: what YAML and JSON are parsed into.
 *
 * Pure. Every node and every text lives in the memory the caller gave to
 * tree_init(); nothing is freed one by one. A tree that is full returns NULL from
 * then on and says so in tree_full(): check it once, after a series of calls.
 *
 * A scalar keeps its text as written and a kind that says what it looks like
 * (YAML 1.1 words: on, off, yes, no). Scalars compare as texts, so that 20 and
 * "20" are the same setting. Nodes know their file and line for messages.
 */
#ifndef PGBATON_CONF_TREE_H
#define PGBATON_CONF_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* How deep maps and lists may be nested; parsers refuse more. */
#define TREE_DEPTH_MAX 24

/* The longest dotted path that tree_path() writes, NUL included. */
#define TREE_PATH_MAX 256

enum node_kind {
    NODE_NULL,
    NODE_BOOL,   /* text: as written, one of the words of node_bool(). */
    NODE_INT,    /* text: decimal, at most 18 digits, no leading zero. */
    NODE_REAL,   /* text: decimal with a point. */
    NODE_STRING, /* text: anything. */
    NODE_MAP,
    NODE_LIST,
};

struct node {
    enum node_kind kind;
    uint32_t line;    /* From 1; 0 if it came from no text. */
    const char *file; /* For messages; NULL if it came from no file. */
    const char *key;  /* Its name in the map it is in; NULL elsewhere. */
    const char *text; /* Scalars: as above; "" for NODE_NULL. Maps and lists: NULL. */
    struct node *parent;
    struct node *next;  /* The sibling that follows. */
    struct node *first; /* Children of a map or list, in the order of the text. */
    struct node *last;
    uint32_t count; /* Children. */
};

struct tree {
    char *memory; /* Borrowed. */
    size_t size;  /* bytes */
    size_t used;  /* bytes */
    bool full;
};

/* `memory` must stay as long as any node of the tree is used. */
void tree_init(struct tree *tree, void *memory, size_t size);

bool tree_full(const struct tree *tree);

/* New nodes without a parent; texts are copied. NULL when the tree is full. */
struct node *tree_map(struct tree *tree);
struct node *tree_list(struct tree *tree);
struct node *tree_scalar(struct tree *tree, enum node_kind kind, const char *text);
struct node *tree_string(struct tree *tree, const char *text);

/* A copy of a text, or of its first `length` bytes. NULL when full. */
const char *tree_text(struct tree *tree, const char *text);
const char *tree_text_n(struct tree *tree, const char *text, size_t length);

/* What a plain word of YAML 1.1 means: null, a truth value, a number, or text. */
enum node_kind tree_plain_kind(const char *text);

/* Puts `child` at the end of a list. A NULL child is ignored (see tree_full()). */
void tree_append(struct node *list, struct node *child);

/*
 * Puts `child` into a map under `key`, in the place of what is there or else at
 * the end. NULL deletes the key. `key` is copied.
 */
void tree_put(struct tree *tree, struct node *map, const char *key, struct node *child);

/* Removes `key`; false if there is no such key. */
bool tree_remove(struct node *map, const char *key);

/*
 * The node at a path such as "postgresql.parameters.work_mem", NULL if there is none
 * or it is null. A part of a path is a key of a map; keys with dots need tree_child().
 */
const struct node *tree_get(const struct node *root, const char *path);

/* The child of a map with this very key, null or not; NULL if none or no map. */
const struct node *tree_child(const struct node *map, const char *key);

/* The same, to be changed. */
struct node *tree_child_mutable(struct node *map, const char *key);

/* Puts a value at a dotted path, making the maps on the way. */
void tree_put_path(struct tree *tree, struct node *root, const char *path, struct node *child);

/* The dotted path of a node below its root, "[2]" for places in lists, into `path`. */
void tree_path(const struct node *node, char path[TREE_PATH_MAX]);

/* A deep copy that shares nothing with the original but the file names. */
struct node *tree_copy(struct tree *tree, const struct node *node);

/* Same keys, in any order, and same texts; a list also in the same order. */
bool tree_equal(const struct node *a, const struct node *b);

/*
 * Merges `patch` into `target`, both maps: null deletes, map into map goes on inside,
 * anything else replaces unless it is the same text. True if anything changed.
 */
bool tree_merge(struct tree *tree, struct node *target, const struct node *patch);

/* True and the value, if the scalar is one of on true yes 1 off false no 0, in any case. */
MUST_CHECK bool node_bool(const struct node *node, bool *value);

/* The text of a scalar; NULL for NULL, null, maps and lists. */
const char *node_text(const struct node *node);

/* "a map", "a list", "text", ... for messages. */
const char *node_kind_text(enum node_kind kind);

/*
 * A walk over a node and all below it, without recursion: each scalar once, each map
 * and list twice, when it is entered and when it is left. Do not change the tree
 * meanwhile.
 *
 *     struct tree_walk walk;
 *     tree_walk_init(&walk, root);
 *     while (tree_walk_next(&walk)) { ... walk.node, walk.leaving ... }
 */
struct tree_walk {
    const struct node *root;
    const struct node *node;
    bool leaving;
    bool skip; /* Set it after a map or list was entered, and what is below is left out. */
};

void tree_walk_init(struct tree_walk *walk, const struct node *root);
MUST_CHECK bool tree_walk_next(struct tree_walk *walk);

#endif

/*
 * jansson has no cursor that outlives a loop over one object, so both directions keep
 * an explicit stack, one level for each map or list that is open.
 */
#include "conf/tree_json.h"

#include <stdio.h>
#include <string.h>

struct level {
    json_t *json;
    struct node *node;
    void *iter;   /* Of an object: the next key. */
    size_t index; /* Of an array: the next element. */
};

struct reader {
    struct tree *tree;
    struct level levels[TREE_DEPTH_MAX];
    size_t depth;
};

static struct node *scalar_from(struct tree *tree, const json_t *json)
{
    char number[64];

    switch (json_typeof(json)) {
    case JSON_TRUE:
        return tree_scalar(tree, NODE_BOOL, "true");
    case JSON_FALSE:
        return tree_scalar(tree, NODE_BOOL, "false");
    case JSON_NULL:
        return tree_scalar(tree, NODE_NULL, "");
    case JSON_INTEGER:
        (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(json));
        return tree_scalar(tree, NODE_INT, number);
    case JSON_REAL:
        /* 15 digits survive the way into a double and back: 1.5 stays 1.5. */
        (void)snprintf(number, sizeof number, "%.15g", json_real_value(json));
        return tree_scalar(tree, NODE_REAL, number);
    case JSON_STRING:
        return tree_string(tree, json_string_value(json));
    case JSON_OBJECT:
        return tree_map(tree);
    case JSON_ARRAY:
        return tree_list(tree);
    }
    return NULL;
}

/* The next child of the innermost open map or list; NULL at its end. */
static const json_t *next_child(struct level *level, const char **key)
{
    const json_t *child = NULL;

    *key = NULL;
    if (json_is_array(level->json)) {
        return json_array_get(level->json, level->index++);
    }
    if (level->iter == NULL) {
        return NULL;
    }
    *key = json_object_iter_key(level->iter);
    child = json_object_iter_value(level->iter);
    level->iter = json_object_iter_next(level->json, level->iter);
    return child;
}

static enum status open_level(
    struct reader *reader, const json_t *json, struct node *node, struct err *err)
{
    /* jansson's iterators want a json_t they may change; these loops change nothing. */
    union {
        const json_t *borrowed;
        json_t *json;
    } value = {.borrowed = json};

    if (reader->depth == TREE_DEPTH_MAX) {
        return ERR(err, INVALID, "JSON nested too deep");
    }
    reader->levels[reader->depth++] = (struct level){
        .json = value.json,
        .node = node,
        .iter = json_is_object(json) ? json_object_iter(value.json) : NULL,
    };
    return STATUS_OK;
}

static enum status take_value(
    struct reader *reader, const char *key, const json_t *json, struct node **made, struct err *err)
{
    struct node *into = reader->depth == 0 ? NULL : reader->levels[reader->depth - 1].node;
    struct node *node = scalar_from(reader->tree, json);

    if (node == NULL) {
        return ERR(err, FULL, "settings larger than %zu bytes", reader->tree->size);
    }
    if (key != NULL) {
        tree_put(reader->tree, into, key, node);
    } else {
        tree_append(into, node);
    }
    *made = node;
    if (json_is_object(json) || json_is_array(json)) {
        return open_level(reader, json, node, err);
    }
    return STATUS_OK;
}

enum status tree_json_take(
    struct tree *tree, const json_t *json, struct node **root, struct err *err)
{
    struct reader reader = {.tree = tree};
    struct node *made = NULL;
    enum status status = take_value(&reader, NULL, json, root, err);

    while (status == STATUS_OK && reader.depth > 0) {
        const char *key = NULL;
        const json_t *child = next_child(&reader.levels[reader.depth - 1], &key);

        if (child == NULL) {
            reader.depth--;
        } else {
            status = take_value(&reader, key, child, &made, err);
        }
    }
    if (status == STATUS_OK && tree_full(tree)) {
        status = ERR(err, FULL, "settings larger than %zu bytes", tree->size);
    }
    return status;
}

enum status tree_json_parse(
    struct tree *tree, const char *text, size_t length, struct node **root, struct err *err)
{
    enum status status = STATUS_OK;
    json_error_t problem;
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);

    *root = NULL;
    if (json == NULL) {
        return ERR(
            err, INVALID, "not valid JSON: line %d, column %d: %s", problem.line, problem.column,
            problem.text);
    }
    status = tree_json_take(tree, json, root, err);
    json_decref(json);
    return status;
}

static json_t *value_from(const struct node *node)
{
    json_error_t problem;
    bool truth = false;

    switch (node->kind) {
    case NODE_NULL:
        return json_null();
    case NODE_BOOL:
        return node_bool(node, &truth) && truth ? json_true() : json_false();
    case NODE_INT:
    case NODE_REAL:
        return json_loads(node->text, JSON_DECODE_ANY, &problem);
    case NODE_STRING:
        return json_string(node->text);
    case NODE_MAP:
        return json_object();
    case NODE_LIST:
        return json_array();
    }
    return NULL;
}

/* Gives `value` to its container; true if it was taken. */
static bool hang(json_t *into, const char *key, json_t *value)
{
    if (json_is_object(into)) {
        return json_object_set_new(into, key, value) == 0;
    }
    return json_array_append_new(into, value) == 0;
}

json_t *tree_json_value(const struct node *root)
{
    json_t *stack[TREE_DEPTH_MAX + 1] = {NULL};
    json_t *result = NULL;
    size_t depth = 0;
    struct tree_walk walk;

    tree_walk_init(&walk, root);
    while (tree_walk_next(&walk)) {
        json_t *value = NULL;

        if (walk.leaving) {
            depth--;
            continue;
        }
        value = value_from(walk.node);
        if (result == NULL) {
            result = value;
        } else if (!hang(stack[depth - 1], walk.node->key, value)) {
            value = NULL;
        }
        if (value == NULL || depth > TREE_DEPTH_MAX) {
            json_decref(result);
            return NULL;
        }
        if (walk.node->kind == NODE_MAP || walk.node->kind == NODE_LIST) {
            stack[depth++] = value;
        }
    }
    return result;
}

static int write_text(const char *buffer, size_t size, void *data)
{
    text_add_bytes(data, buffer, size);
    return 0;
}

enum status tree_json_print(
    const struct node *root, unsigned indent, struct text *out, struct err *err)
{
    const size_t layout = indent == 0 ? 0 : JSON_INDENT(indent);
    json_t *json = tree_json_value(root);
    int failed = 0;

    if (json == NULL) {
        return ERR(err, FULL, "no memory to write JSON");
    }
    failed = json_dump_callback(
        json, write_text, out, layout | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    json_decref(json);
    if (failed != 0) {
        return ERR(err, INVALID, "could not write JSON");
    }
    if (text_overflowed(out)) {
        return ERR(err, FULL, "the JSON text is longer than %zu bytes", out->size);
    }
    return STATUS_OK;
}

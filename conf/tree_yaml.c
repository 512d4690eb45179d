/*
 * Works on libyaml's events, not on its documents: an event knows its line and comes
 * before anything is allocated for it. The open map or list is the one `into` points
 * at; its parent pointers are the stack.
 */
#include "conf/tree_yaml.h"

#include <string.h>
#include <yaml.h>

#include "base/assert.h"

struct reader {
    struct tree *tree;
    struct node *root;
    struct node *into;
    const char *file;
    const char *key; /* Read and waiting for its value; NULL if a key comes next. */
    uint32_t depth;
    uint32_t documents;
    bool done;
};

static unsigned line_of(const yaml_event_t *event)
{
    return (unsigned)event->start_mark.line + 1;
}

static enum status refuse(
    const struct reader *reader, const yaml_event_t *event, const char *why, struct err *err)
{
    return ERR(
        err, INVALID, "%s:%u: %s", reader->file == NULL ? "YAML" : reader->file, line_of(event),
        why);
}

static enum status full(const struct reader *reader, struct err *err)
{
    return ERR(
        err, FULL, "%s: settings larger than %zu bytes",
        reader->file == NULL ? "YAML" : reader->file, reader->tree->size);
}

/* Hangs a finished scalar, or a map or list just begun, where the text has it. */
static enum status place(
    struct reader *reader, const yaml_event_t *event, struct node *node, struct err *err)
{
    if (node == NULL) {
        return full(reader, err);
    }
    node->line = line_of(event);
    node->file = reader->file;
    if (reader->into == NULL) {
        reader->root = node;
    } else if (reader->into->kind == NODE_LIST) {
        tree_append(reader->into, node);
    } else {
        node->key = reader->key;
        tree_append(reader->into, node);
        reader->key = NULL;
    }
    return STATUS_OK;
}

static bool wants_key(const struct reader *reader)
{
    return reader->into != NULL && reader->into->kind == NODE_MAP && reader->key == NULL;
}

static enum status take_key(
    struct reader *reader, const yaml_event_t *event, const char *text, struct err *err)
{
    if (tree_child(reader->into, text) != NULL) {
        return ERR(
            err, INVALID, "%s:%u: \"%s\" is given twice in one map",
            reader->file == NULL ? "YAML" : reader->file, line_of(event), text);
    }
    reader->key = tree_text(reader->tree, text);
    return reader->key == NULL ? full(reader, err) : STATUS_OK;
}

static enum status take_scalar(struct reader *reader, const yaml_event_t *event, struct err *err)
{
    const char *text = (const char *)event->data.scalar.value;
    enum node_kind kind = NODE_STRING;

    if (event->data.scalar.anchor != NULL) {
        return refuse(reader, event, "anchors are not supported", err);
    }
    if (event->data.scalar.tag != NULL && strcmp((const char *)event->data.scalar.tag, "!") != 0 &&
        strcmp((const char *)event->data.scalar.tag, YAML_STR_TAG) != 0) {
        return refuse(reader, event, "tags are not supported", err);
    }
    if (strlen(text) != event->data.scalar.length) {
        return refuse(reader, event, "text with a zero byte", err);
    }
    if (wants_key(reader)) {
        return take_key(reader, event, text, err);
    }
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && event->data.scalar.tag == NULL) {
        kind = tree_plain_kind(text);
    }
    return place(
        reader, event, tree_scalar(reader->tree, kind, kind == NODE_NULL ? "" : text), err);
}

static enum status take_begin(
    struct reader *reader, const yaml_event_t *event, bool is_map, struct err *err)
{
    const yaml_char_t *anchor =
        is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    struct node *node = NULL;
    enum status status = STATUS_OK;

    if (anchor != NULL) {
        return refuse(reader, event, "anchors are not supported", err);
    }
    if (wants_key(reader)) {
        return refuse(reader, event, "a key must be plain text", err);
    }
    if (reader->depth == TREE_DEPTH_MAX) {
        return refuse(reader, event, "nested too deep", err);
    }
    node = is_map ? tree_map(reader->tree) : tree_list(reader->tree);
    status = place(reader, event, node, err);
    if (status == STATUS_OK) {
        reader->into = node;
        reader->depth++;
    }
    return status;
}

static enum status take_event(struct reader *reader, const yaml_event_t *event, struct err *err)
{
    switch (event->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return STATUS_OK;
    case YAML_DOCUMENT_START_EVENT:
        if (reader->documents++ > 0) {
            return refuse(reader, event, "more than one document", err);
        }
        return STATUS_OK;
    case YAML_STREAM_END_EVENT:
        reader->done = true;
        return STATUS_OK;
    case YAML_ALIAS_EVENT:
        return refuse(reader, event, "aliases are not supported", err);
    case YAML_SCALAR_EVENT:
        return take_scalar(reader, event, err);
    case YAML_SEQUENCE_START_EVENT:
        return take_begin(reader, event, false, err);
    case YAML_MAPPING_START_EVENT:
        return take_begin(reader, event, true, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        ASSERT(reader->into != NULL); /* The parser refuses an end without a beginning. */
        reader->into = reader->into->parent;
        reader->depth--;
        return STATUS_OK;
    }
    return refuse(reader, event, "unknown event of the YAML parser", err);
}

static enum status parser_err(
    const struct reader *reader, const yaml_parser_t *parser, struct err *err)
{
    return ERR(
        err, INVALID, "%s:%u: not valid YAML: %s%s%s", reader->file == NULL ? "YAML" : reader->file,
        (unsigned)parser->problem_mark.line + 1,
        parser->problem == NULL ? "unreadable" : parser->problem,
        parser->context == NULL ? "" : ", ", parser->context == NULL ? "" : parser->context);
}

enum status tree_yaml_parse(
    struct tree *tree, const char *text, size_t length, const char *file, struct node **root,
    struct err *err)
{
    struct reader reader = {.tree = tree, .file = file};
    enum status status = STATUS_OK;
    yaml_parser_t parser;

    *root = NULL;
    if (yaml_parser_initialize(&parser) == 0) {
        return ERR(err, FULL, "no memory for the YAML parser");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    while (status == STATUS_OK && !reader.done) {
        yaml_event_t event;

        if (yaml_parser_parse(&parser, &event) == 0) {
            status = parser_err(&reader, &parser, err);
            break;
        }
        status = take_event(&reader, &event, err);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (status == STATUS_OK && (reader.root == NULL || reader.root->kind == NODE_NULL)) {
        reader.root = tree_map(tree);
    }
    if (status == STATUS_OK && tree_full(tree)) {
        status = full(&reader, err);
    }
    if (status == STATUS_OK) {
        *root = reader.root;
    }
    return status;
}

static int write_text(void *data, unsigned char *buffer, size_t size)
{
    text_add_bytes(data, (const char *)buffer, size);
    return 1;
}

static bool emit_scalar(yaml_emitter_t *emitter, const char *text, yaml_scalar_style_t style)
{
    yaml_event_t event;

    return yaml_scalar_event_initialize(
               &event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text), 1, 1, style) !=
               0 &&
           yaml_emitter_emit(emitter, &event) != 0;
}

static bool emit_value(yaml_emitter_t *emitter, const struct node *node)
{
    /* Written plainly, this text would be read back as a number or a truth value. */
    const bool quote = node->kind == NODE_STRING && tree_plain_kind(node->text) != NODE_STRING;

    if (node->kind == NODE_NULL) {
        return emit_scalar(emitter, "null", YAML_PLAIN_SCALAR_STYLE);
    }
    return emit_scalar(
        emitter, node->text, quote ? YAML_SINGLE_QUOTED_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE);
}

static bool emit_branch(yaml_emitter_t *emitter, const struct node *node, bool leaving)
{
    yaml_event_t event;
    int made = 0;

    if (node->kind == NODE_MAP) {
        made = leaving ? yaml_mapping_end_event_initialize(&event)
                       : yaml_mapping_start_event_initialize(
                             &event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
    } else {
        made = leaving ? yaml_sequence_end_event_initialize(&event)
                       : yaml_sequence_start_event_initialize(
                             &event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE);
    }
    return made != 0 && yaml_emitter_emit(emitter, &event) != 0;
}

static bool emit_document(yaml_emitter_t *emitter, bool begin)
{
    yaml_event_t event;

    if (begin) {
        return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) != 0 &&
               yaml_emitter_emit(emitter, &event) != 0 &&
               yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) != 0 &&
               yaml_emitter_emit(emitter, &event) != 0;
    }
    return yaml_document_end_event_initialize(&event, 1) != 0 &&
           yaml_emitter_emit(emitter, &event) != 0 &&
           yaml_stream_end_event_initialize(&event) != 0 && yaml_emitter_emit(emitter, &event) != 0;
}

static bool emit_tree(yaml_emitter_t *emitter, const struct node *root)
{
    bool ok = emit_document(emitter, true);
    struct tree_walk walk;

    tree_walk_init(&walk, root);
    while (ok && tree_walk_next(&walk)) {
        const struct node *node = walk.node;

        if (node != root && node->key != NULL && !walk.leaving) {
            const bool quote = tree_plain_kind(node->key) != NODE_STRING;

            ok = emit_scalar(
                emitter, node->key,
                quote ? YAML_SINGLE_QUOTED_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE);
        }
        if (node->kind == NODE_MAP || node->kind == NODE_LIST) {
            ok = ok && emit_branch(emitter, node, walk.leaving);
        } else {
            ok = ok && emit_value(emitter, node);
        }
    }
    return ok && emit_document(emitter, false);
}

enum status tree_yaml_print(const struct node *root, struct text *out, struct err *err)
{
    enum status status = STATUS_OK;
    yaml_emitter_t emitter;

    if (yaml_emitter_initialize(&emitter) == 0) {
        return ERR(err, FULL, "no memory for the YAML writer");
    }
    yaml_emitter_set_output(&emitter, write_text, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    if (!emit_tree(&emitter, root)) {
        status =
            ERR(err, INVALID, "could not write YAML: %s",
                emitter.problem == NULL ? "unknown reason" : emitter.problem);
    } else if (text_overflowed(out)) {
        status = ERR(err, FULL, "the YAML text is longer than %zu bytes", out->size);
    }
    yaml_emitter_delete(&emitter);
    return status;
}

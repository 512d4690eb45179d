#include "conf/sample.h"

#include <string.h>

#include "base/assert.h"
#include "base/name.h"
#include "conf/table.h"
#include "conf/tree.h"

struct writer {
    struct text *out;
    char section[TREE_PATH_MAX]; /* The one that is open, as a dotted path. */
};

/* What a node cannot do without, and what hardly anybody does without. */
static bool is_set(const char *path)
{
    static const char *const paths[] = {
        "scope",
        "name",
        "restapi.listen",
        "restapi.connect_address",
        "raft.self_addr",
        "raft.partner_addrs",
        "raft.data_dir",
        "raft.password",
        "bootstrap.dcs.ttl",
        "bootstrap.initdb",
        "bootstrap.pg_hba",
        "postgresql.listen",
        "postgresql.connect_address",
        "postgresql.data_dir",
        "postgresql.authentication.superuser.username",
        "postgresql.authentication.superuser.password",
        "postgresql.authentication.replication.username",
        "postgresql.authentication.replication.password",
    };

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        if (text_equal(paths[i], path)) {
            return true;
        }
    }
    return false;
}

static void indent(struct text *out, size_t depth)
{
    for (size_t i = 0; i < depth; i++) {
        text_add(out, "  ");
    }
}

/* How much of `path` is a section that is open already; 0 if none of it. */
static size_t shared_length(const char *section, const char *path)
{
    size_t shared = 0;

    for (size_t i = 0;; i++) {
        const bool section_ends = section[i] == '\0' || section[i] == '.';

        if (section_ends && path[i] == '.') {
            shared = i + 1;
        }
        if (section[i] == '\0' || section[i] != path[i]) {
            return shared;
        }
    }
}

static size_t depth_of(const char *path, size_t length)
{
    size_t depth = 0;

    for (size_t i = 0; i < length; i++) {
        depth += path[i] == '.';
    }
    return depth;
}

/* Opens the sections that lead to `path`; returns the depth of its last part. */
static size_t open_sections(struct writer *writer, const char *path)
{
    size_t at = shared_length(writer->section, path);
    const char *dot = strchr(path + at, '.');

    while (dot != NULL) {
        const size_t depth = depth_of(path, at);

        if (depth == 0) {
            text_add(writer->out, "\n");
        }
        indent(writer->out, depth);
        text_add_bytes(writer->out, path + at, (size_t)(dot - path) - at);
        text_add(writer->out, ":\n");
        at = (size_t)(dot - path) + 1;
        dot = strchr(path + at, '.');
    }
    text_copy_cut(writer->section, sizeof writer->section, path);
    writer->section[at == 0 ? 0 : at - 1] = '\0';
    return depth_of(path, at);
}

/* Characters that begin something else than plain text in YAML. */
static bool wants_quotes(const struct conf_key *key, const char *value)
{
    return !conf_type_is_open(key->type) && strchr("%@`&*!|>'\"{[#-", value[0]) != NULL &&
           (key->type == CONF_TYPE_TEXT || key->type == CONF_TYPE_SECRET);
}

static void describe(struct writer *writer, const struct conf_key *key, size_t depth)
{
    const char *between = "(";

    indent(writer->out, depth);
    text_addf(writer->out, "# %s ", key->sentence);
    if (key->range[0] != '\0') {
        text_addf(writer->out, "%s%s", between, key->range);
        between = "; ";
    }
    if (key->fallback != NULL) {
        text_addf(writer->out, "%sdefault %s", between, key->fallback);
        between = "; ";
    }
    text_addf(writer->out, "%s%s)\n", between, conf_when_text(key->when));
}

static void write_key(struct writer *writer, const struct conf_key *key, const char *prefix)
{
    const char *value = key->example != NULL ? key->example : key->fallback;
    char path[TREE_PATH_MAX];
    struct text full;
    const char *name = NULL;
    size_t depth = 0;

    text_init(&full, path, sizeof path);
    text_addf(&full, "%s%s", prefix, key->path);
    if (value == NULL) {
        return; /* A section, described by the keys in it. */
    }
    depth = open_sections(writer, path);
    name = strrchr(path, '.') == NULL ? path : strrchr(path, '.') + 1;
    describe(writer, key, depth);
    indent(writer->out, depth);
    text_addf(
        writer->out, "%s%s: %s%s%s\n", is_set(path) ? "" : "#", name,
        wants_quotes(key, value) ? "\"" : "", value, wants_quotes(key, value) ? "\"" : "");
}

static void write_table(struct writer *writer, enum conf_table_id id, const char *prefix)
{
    const struct conf_table table = conf_table(id);

    for (size_t i = 0; i < table.count; i++) {
        write_key(writer, &table.keys[i], prefix);
    }
}

/* The cluster-wide settings stand where a file has them: inside of bootstrap. */
static void write_local(struct writer *writer)
{
    const struct conf_table table = conf_table(CONF_TABLE_LOCAL);

    for (size_t i = 0; i < table.count; i++) {
        write_key(writer, &table.keys[i], "");
        if (text_equal(table.keys[i].path, "bootstrap.dcs")) {
            write_table(writer, CONF_TABLE_DYNAMIC, "bootstrap.dcs.");
        }
    }
}

void conf_sample(struct text *out)
{
    struct writer writer = {.out = out};

    text_add(
        out,
        "# Settings of one node of " PRODUCT_NAME ", with every key. Those behind a # show their\n"
        "# default or an example. In brackets: what is allowed; the default; when a change takes\n"
        "# effect (reload, restart of the daemon, making of a new cluster; no effect: known to\n"
        "# Patroni users, and accepted as such). Made from the list of keys: do not edit.\n\n");
    write_local(&writer);
    write_table(&writer, CONF_TABLE_POSTGRESQL_LOCAL, "postgresql.");
    write_table(&writer, CONF_TABLE_POSTGRESQL_BOTH, "postgresql.");
}

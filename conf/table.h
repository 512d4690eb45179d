/*
 * conf/table.h - the lists of keys.h as tables, for whoever goes over all of them.
 */
#ifndef PGBATON_CONF_TABLE_H
#define PGBATON_CONF_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/keys.h"
#include "conf/tree.h"

enum conf_type {
#define X(code, text) CONF_TYPE_##code,
    CONF_TYPE_MAP(X)
#undef X
};

enum conf_when {
#define X(code, text) CONF_WHEN_##code,
    CONF_WHEN_MAP(X)
#undef X
};

struct conf_key {
    const char *path;
    const char *env;
    enum conf_type type;
    enum conf_when when;
    size_t offset; /* Of the field in its struct. */
    const char *range;
    const char *fallback;
    const char *example;
    const char *sentence;
};

struct conf_table {
    const struct conf_key *keys;
    size_t count;
};

enum conf_table_id {
    CONF_TABLE_LOCAL,            /* struct conf; paths from the top of the file. */
    CONF_TABLE_POSTGRESQL_LOCAL, /* struct conf_postgresql; paths below `postgresql`. */
    CONF_TABLE_POSTGRESQL_BOTH,  /* The same, for keys that may be cluster-wide. */
    CONF_TABLE_DYNAMIC,          /* struct conf_dynamic; paths below `bootstrap.dcs`. */
};

struct conf_table conf_table(enum conf_table_id id);

const char *conf_type_text(enum conf_type type);
const char *conf_when_text(enum conf_when when);

/* What everything below this type of key is left to whoever uses it. */
bool conf_type_is_open(enum conf_type type);

enum conf_match {
    CONF_MATCH_NONE,
    CONF_MATCH_KEY,     /* A setting, or something below one that is open. */
    CONF_MATCH_SECTION, /* Only keys below it are settings. */
};

/* What a dotted path is in a table. */
enum conf_match conf_table_match(struct conf_table table, const char *path);

/* The key with this very path, or NULL. */
const struct conf_key *conf_table_find(struct conf_table table, const char *path);

#endif

#include "conf/table.h"

#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "conf/conf.h"

#define ROW(owner, path, env, type, field, range, fallback, example, when, sentence)     \
    {path,  env,      CONF_TYPE_##type, CONF_WHEN_##when, offsetof(struct owner, field), \
     range, fallback, example,          sentence},

#define LOCAL_ROW(...)      ROW(conf, __VA_ARGS__)
#define POSTGRESQL_ROW(...) ROW(conf_postgresql, __VA_ARGS__)
#define DYNAMIC_ROW(...)    ROW(conf_dynamic, __VA_ARGS__)

static const struct conf_key local_keys[] = {KEYS_LOCAL(LOCAL_ROW)};
static const struct conf_key postgresql_local_keys[] = {KEYS_POSTGRESQL_LOCAL(POSTGRESQL_ROW)};
static const struct conf_key postgresql_both_keys[] = {KEYS_POSTGRESQL_BOTH(POSTGRESQL_ROW)};
static const struct conf_key dynamic_keys[] = {KEYS_DYNAMIC(DYNAMIC_ROW)};

struct conf_table conf_table(enum conf_table_id id)
{
    switch (id) {
    case CONF_TABLE_LOCAL:
        return (struct conf_table){local_keys, ARRAY_SIZE(local_keys)};
    case CONF_TABLE_POSTGRESQL_LOCAL:
        return (struct conf_table){postgresql_local_keys, ARRAY_SIZE(postgresql_local_keys)};
    case CONF_TABLE_POSTGRESQL_BOTH:
        return (struct conf_table){postgresql_both_keys, ARRAY_SIZE(postgresql_both_keys)};
    case CONF_TABLE_DYNAMIC:
        return (struct conf_table){dynamic_keys, ARRAY_SIZE(dynamic_keys)};
    }
    UNREACHABLE();
}

const char *conf_type_text(enum conf_type type)
{
    static const char *const texts[] = {
#define X(code, text) [CONF_TYPE_##code] = text,
        CONF_TYPE_MAP(X)
#undef X
    };

    ASSERT(type < ARRAY_SIZE(texts));
    return texts[type];
}

const char *conf_when_text(enum conf_when when)
{
    static const char *const texts[] = {
#define X(code, text) [CONF_WHEN_##code] = text,
        CONF_WHEN_MAP(X)
#undef X
    };

    ASSERT(when < ARRAY_SIZE(texts));
    return texts[when];
}

bool conf_type_is_open(enum conf_type type)
{
    return type == CONF_TYPE_MAP || type == CONF_TYPE_LIST || type == CONF_TYPE_WORDS ||
           type == CONF_TYPE_LINES || type == CONF_TYPE_ADDRESSES || type == CONF_TYPE_ANY;
}

/* `path` is `above` itself or lies below it. */
static bool lies_below(const char *path, const char *above)
{
    const size_t length = strlen(above);

    return strncmp(path, above, length) == 0 &&
           (path[length] == '\0' || path[length] == '.' || path[length] == '[');
}

enum conf_match conf_table_match(struct conf_table table, const char *path)
{
    enum conf_match match = CONF_MATCH_NONE;

    for (size_t i = 0; i < table.count; i++) {
        const struct conf_key *key = &table.keys[i];

        if (text_equal(key->path, path) ||
            (conf_type_is_open(key->type) && lies_below(path, key->path))) {
            return CONF_MATCH_KEY;
        }
        if (lies_below(key->path, path)) {
            match = CONF_MATCH_SECTION;
        }
    }
    return match;
}

const struct conf_key *conf_table_find(struct conf_table table, const char *path)
{
    for (size_t i = 0; i < table.count; i++) {
        if (text_equal(table.keys[i].path, path)) {
            return &table.keys[i];
        }
    }
    return NULL;
}

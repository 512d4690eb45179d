#include "conf/env.h"

#include <string.h>

#include "base/text.h"

#define PATRONI "PATRONI_"
#define PGBATON "PGBATON_"

struct env_variable env_split(const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    struct env_variable variable = {.value = ""};

    if (equals == NULL || (size_t)(equals - assignment) >= sizeof variable.name) {
        return variable;
    }
    memcpy(variable.name, assignment, (size_t)(equals - assignment));
    variable.value = equals + 1;
    if (text_starts_with(variable.name, PATRONI)) {
        variable.prefix = ENV_PREFIX_PATRONI;
    } else if (text_starts_with(variable.name, PGBATON)) {
        variable.prefix = ENV_PREFIX_PGBATON;
    }
    return variable;
}

static const char *suffix_of(const struct env_variable *variable)
{
    return variable->prefix == ENV_PREFIX_NONE ? "" : variable->name + strlen(PATRONI);
}

/* Names that Patroni had once and still reads. */
static const char *modern_name(const char *suffix)
{
    static const struct {
        const char *old;
        const char *now;
    } names[] = {
        {"LOGLEVEL",    "LOG_LEVEL"     },
        {"LOGFORMAT",   "LOG_FORMAT"    },
        {"LOG_DATEFMT", "LOG_DATEFORMAT"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (text_equal(names[i].old, suffix)) {
            return names[i].now;
        }
    }
    return suffix;
}

const struct conf_key *env_find(const struct env_variable *variable, char path[TREE_PATH_MAX])
{
    static const struct {
        enum conf_table_id id;
        const char *prefix;
    } tables[] = {
        {CONF_TABLE_LOCAL,            ""           },
        {CONF_TABLE_POSTGRESQL_LOCAL, "postgresql."},
        {CONF_TABLE_POSTGRESQL_BOTH,  "postgresql."},
    };
    const char *suffix = modern_name(suffix_of(variable));

    for (size_t i = 0; i < ARRAY_SIZE(tables) && suffix[0] != '\0'; i++) {
        const struct conf_table table = conf_table(tables[i].id);

        for (size_t j = 0; j < table.count; j++) {
            struct text text;

            if (text_equal(table.keys[j].env, suffix)) {
                text_init(&text, path, TREE_PATH_MAX);
                text_addf(&text, "%s%s", tables[i].prefix, table.keys[j].path);
                return &table.keys[j];
            }
        }
    }
    return NULL;
}

bool env_is_dcs(const struct env_variable *variable)
{
    static const char *const stores[] = {"ETCD_",      "ETCD3_",      "CONSUL_", "ZOOKEEPER_",
                                         "EXHIBITOR_", "KUBERNETES_", "CITUS_"};
    const char *suffix = suffix_of(variable);

    for (size_t i = 0; i < ARRAY_SIZE(stores); i++) {
        if (text_starts_with(suffix, stores[i])) {
            return true;
        }
    }
    return false;
}

bool env_is_configuration(const struct env_variable *variable)
{
    return text_equal(suffix_of(variable), "CONFIGURATION");
}

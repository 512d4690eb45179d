/*
 * conf/env.h - names of variables of the environment to settings.
 *
 * PATRONI_<NAME> is kept for who comes from there; PGBATON_<NAME> means the same and wins.
 */
#ifndef PGBATON_CONF_ENV_H
#define PGBATON_CONF_ENV_H

#include "conf/table.h"
#include "conf/tree.h"

enum env_prefix {
    ENV_PREFIX_NONE, /* No variable of ours. */
    ENV_PREFIX_PATRONI,
    ENV_PREFIX_PGBATON, /* Wins. */
};

struct env_variable {
    enum env_prefix prefix;
    char name[96];     /* As in the environment. */
    const char *value; /* Borrowed from the environment. */
};

/* Splits "NAME=value". */
struct env_variable env_split(const char *assignment);

/*
 * The setting a variable of ours stands for, with its dotted path from the top of the
 * file; NULL if there is none.
 */
const struct conf_key *env_find(const struct env_variable *variable, char path[TREE_PATH_MAX]);

/* True if the variable configures a store that is not used here (etcd, Consul, ...). */
bool env_is_dcs(const struct env_variable *variable);

/* True if the variable is ours but no setting: it names the settings themselves. */
bool env_is_configuration(const struct env_variable *variable);

#endif

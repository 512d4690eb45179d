/*
 * Reading is done by the tables (read.c); here is what no table can say: fall-backs
 * from one setting to another, and what must hold between settings.
 */
#include "conf/conf.h"

#include <string.h>

#include "base/assert.h"
#include "base/log_format.h"
#include "base/text.h"
#include "conf/pgparams.h"
#include "conf/read.h"

/* Patroni's marker in pg_stat_replication for "no synchronous standby". */
#define RESERVED_NAME "__patroni_strict_sync_replica_placeholder__"

static bool is_dcs_section(const char *path)
{
    static const char *const names[] = {"etcd",      "etcd3",      "consul", "zookeeper",
                                        "exhibitor", "kubernetes", "citus"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (text_equal(path, names[i])) {
            return true;
        }
    }
    return false;
}

static bool is_custom_method(const char *path, const char *method)
{
    return text_starts_with(path, "bootstrap.") && text_equal(path + strlen("bootstrap."), method);
}

static const char *why_local(const void *owner, const struct node *node, const char *path)
{
    const struct conf *conf = owner;

    (void)node;
    if (text_equal(path, "postgresql") || is_custom_method(path, conf->bootstrap.method)) {
        return NULL;
    }
    if (text_equal(path, "citus")) {
        return "Citus is not supported; ignored";
    }
    if (is_dcs_section(path)) {
        return "no store outside is used, ignored; the nodes agree among themselves: see raft:";
    }
    if (conf_table_match(conf_table(CONF_TABLE_DYNAMIC), path) != CONF_MATCH_NONE) {
        return "cluster-wide, ignored here; put it into bootstrap.dcs of a new cluster, or change "
               "it with edit-config";
    }
    return "unknown setting, ignored";
}

static bool is_replica_method(const struct node *methods, const char *name)
{
    for (const struct node *at = methods == NULL ? NULL : methods->first; at != NULL;
         at = at->next) {
        if (text_equal(at->text, name)) {
            return true;
        }
    }
    return false;
}

static const char *why_postgresql(const void *owner, const struct node *node, const char *path)
{
    const struct conf_postgresql *postgresql = owner;

    /* Maps of methods not in use now are kept by many for a later day. */
    if (is_replica_method(postgresql->create_replica_methods, path) ||
        (node->kind == NODE_MAP && tree_child(node, "command") != NULL)) {
        return NULL;
    }
    return "unknown setting, ignored";
}

static void check_required_text(
    const char *value, const char *path, const char *example, const char *file,
    struct problems *problems)
{
    if (value == NULL || value[0] == '\0') {
        problem_missing(problems, file, "%s: missing; give one such as %s", path, example);
    }
}

static void check_name(
    const struct conf *conf, const char *path, const char *value, struct problems *problems)
{
    const struct node *node = tree_get(conf->root, path);

    if (value == NULL) {
        return;
    }
    if (strlen(value) >= CONF_NAME_MAX) {
        problem_error(problems, node, "too long; give at most %d bytes", CONF_NAME_MAX - 1);
    } else if (strpbrk(value, "/\"'\\ \t\n,") != NULL || text_equal(value, RESERVED_NAME)) {
        /* Names become part of connection strings, of lists, and of paths. */
        problem_error(
            problems, node, "\"%s\" cannot be a name; use letters, digits and - _ .", value);
    }
}

static void check_reachable(
    const struct conf *conf, const char *path, const struct conf_address *address,
    enum conf_check check, struct problems *problems)
{
    const struct node *node = tree_get(conf->root, path);

    if (value_is_wildcard(address->host)) {
        problem_error(
            problems, node,
            "\"%s\" is no address to connect to; give the one that the other nodes "
            "use for this one",
            address->host);
    } else if (check == CONF_CHECK_STRICT && value_is_loopback(address->host)) {
        problem_error(
            problems, node,
            "\"%s\" is not reachable from other nodes; give the address that they "
            "use for this one",
            address->host);
    }
}

static bool same_address(const struct conf_address *a, const struct conf_address *b)
{
    return a->port == b->port && text_equal_nocase(a->host, b->host);
}

/* Two listeners that cannot both be bound. */
static bool collide(const struct conf_address *a, const struct conf_address *b)
{
    return a->port != 0 && a->port == b->port &&
           (value_is_wildcard(a->host) || value_is_wildcard(b->host) ||
            text_equal_nocase(a->host, b->host));
}

static void check_listeners(const struct conf *conf, struct problems *problems)
{
    const struct {
        const char *path;
        const struct conf_address *address;
    } listeners[] = {
        {"raft.bind_addr",    &conf->raft.bind_addr   },
        {"restapi.listen",    &conf->restapi.listen   },
        {"postgresql.listen", &conf->postgresql.listen},
    };

    for (size_t i = 0; i < ARRAY_SIZE(listeners); i++) {
        for (size_t j = i + 1; j < ARRAY_SIZE(listeners); j++) {
            if (collide(listeners[i].address, listeners[j].address)) {
                problem_error(
                    problems, tree_get(conf->root, listeners[j].path),
                    "port %u is also that of %s; give another", listeners[j].address->port,
                    listeners[i].path);
            }
        }
    }
}

static void check_partners(const struct conf *conf, struct problems *problems)
{
    const struct conf_addresses *partners = &conf->raft.partner_addrs;
    const struct node *node = tree_get(conf->root, "raft.partner_addrs");

    for (uint32_t i = 0; i < partners->count; i++) {
        if (same_address(&partners->items[i], &conf->raft.self_addr)) {
            problem_error(
                problems, node, "contains %s:%u, which is self_addr; list the other nodes only",
                partners->items[i].host, partners->items[i].port);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (same_address(&partners->items[i], &partners->items[j])) {
                problem_error(
                    problems, node, "contains %s:%u twice; list each node once",
                    partners->items[i].host, partners->items[i].port);
            }
        }
    }
}

static void check_log(const struct conf *conf, struct problems *problems)
{
    struct log_format format;
    struct err err;

    if (conf->log.format != NULL &&
        log_format_parse(&format, conf->log.format, &err) != STATUS_OK) {
        problem_error(problems, tree_get(conf->root, "log.format"), "%s", err.text);
    }
}

static void check_raft(
    const struct conf *conf, const char *file, enum conf_check check, struct problems *problems)
{
    const struct conf_raft *raft = &conf->raft;

    if (raft->self_addr.host[0] == '\0') {
        /* A value that was refused has been reported; it is not missing. */
        if (tree_get(conf->root, "raft.self_addr") == NULL) {
            problem_missing(
                problems, file, "raft.self_addr: missing; give one such as 10.0.0.1:2222");
        }
    } else {
        check_reachable(conf, "raft.self_addr", &raft->self_addr, check, problems);
    }
    check_partners(conf, problems);
    if (raft->certfile != NULL && (raft->keyfile == NULL || raft->cafile == NULL)) {
        problem_error(
            problems, tree_get(conf->root, "raft.certfile"),
            "needs raft.keyfile and raft.cafile beside it, for both sides to know each other");
    }
    if (raft->password == NULL && raft->certfile == NULL && !raft->insecure) {
        problem_missing(
            problems, file,
            "raft.password: missing; give the same long random text on every node, or certfile, "
            "keyfile and cafile (insecure: true does without, for experiments)");
    }
}

static void check_restapi(
    const struct conf *conf, const char *file, enum conf_check check, struct problems *problems)
{
    const struct conf_restapi *restapi = &conf->restapi;

    if (tree_get(conf->root, "restapi.listen") == NULL) {
        problem_missing(problems, file, "restapi.listen: missing; give one such as 0.0.0.0:8008");
    }
    if (tree_get(conf->root, "restapi.connect_address") == NULL) {
        problem_missing(
            problems, file, "restapi.connect_address: missing; give one such as 10.0.0.1:8008");
    }
    check_reachable(conf, "restapi.connect_address", &restapi->connect_address, check, problems);
    if (restapi->verify_client != CONF_VERIFY_NONE &&
        (restapi->certfile == NULL || restapi->cafile == NULL)) {
        problem_error(
            problems, tree_get(conf->root, "restapi.verify_client"),
            "needs restapi.certfile and restapi.cafile to check certificates against");
    }
    if ((restapi->authentication.username == NULL) != (restapi->authentication.password == NULL)) {
        problem_error(
            problems, tree_get(conf->root, "restapi.authentication"),
            "only one of username and password is given; give both or none");
    }
}

/* Options that the daemon gives itself, or that would defeat what it wants the program for. */
static void check_options(
    const struct node *options, const char *const *forbidden, size_t count,
    struct problems *problems)
{
    for (const struct node *at = options == NULL ? NULL : options->first; at != NULL;
         at = at->next) {
        const struct node *named = at->kind == NODE_MAP ? at->first : at;
        const char *name = named == NULL ? NULL : named->key != NULL ? named->key : named->text;

        if (name == NULL || (at->kind == NODE_MAP && at->count != 1)) {
            problem_error(problems, at, "is no option; give a flag, or one {option: value}");
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            if (text_equal(name, forbidden[i])) {
                problem_error(problems, at, "option \"%s\" is not yours to give here", name);
            }
        }
    }
}

static void check_users(const struct node *users, struct problems *problems)
{
    for (const struct node *at = users == NULL ? NULL : users->first; at != NULL; at = at->next) {
        const struct node *options = tree_get(at, "options");

        if (at->kind == NODE_NULL) {
            continue;
        }
        if (at->kind != NODE_MAP || (options != NULL && options->kind != NODE_LIST)) {
            problem_error(
                problems, at, "is no user; give a map of password: text and options: list");
        }
    }
}

static void check_bootstrap(const struct conf *conf, struct problems *problems)
{
    static const char *const initdb[] = {"pgdata", "nosync", "pwfile", "sync-only", "version"};
    const struct conf_bootstrap *bootstrap = &conf->bootstrap;

    check_options(bootstrap->initdb, initdb, ARRAY_SIZE(initdb), problems);
    check_users(bootstrap->users, problems);
    if (!text_equal(bootstrap->method, "initdb") &&
        node_text(tree_get(bootstrap->custom, "command")) == NULL) {
        problem_error(
            problems, tree_get(conf->root, "bootstrap.method"),
            "names \"%s\", and bootstrap.%s has no command; give one", bootstrap->method,
            bootstrap->method);
    }
}

static bool is_given(const struct conf *conf, const char *path)
{
    return tree_get(conf->root, path) != NULL;
}

static void check_postgresql_section(
    const struct conf_postgresql *postgresql, struct problems *problems)
{
    static const char *const basebackup[] = {"pgdata", "format",   "wal-method", "xlog-method",
                                             "gzip",   "version",  "dbname",     "host",
                                             "port",   "username", "password"};
    static const char *const rewind[] = {"target-pgdata", "source-pgdata",
                                         "source-server", "write-recovery-conf",
                                         "dry-run",       "restore-target-wal",
                                         "config-file",   "no-ensure-shutdown",
                                         "version",       "help"};

    check_options(postgresql->basebackup, basebackup, ARRAY_SIZE(basebackup), problems);
    check_options(postgresql->rewind, rewind, ARRAY_SIZE(rewind), problems);
    for (const struct node *at = postgresql->create_replica_methods == NULL
                                     ? NULL
                                     : postgresql->create_replica_methods->first;
         at != NULL; at = at->next) {
        if (!text_equal(at->text, "basebackup") &&
            node_text(tree_get(tree_child(postgresql->root, at->text), "command")) == NULL) {
            problem_error(
                problems, at, "\"%s\" has no command; give one in postgresql.%s", at->text,
                at->text);
        }
    }
}

static void check_postgresql(
    const struct conf *conf, const char *file, enum conf_check check, struct problems *problems)
{
    static const struct {
        const char *path;
        const char *example;
    } required[] = {
        {"postgresql.listen",                              "0.0.0.0:5432"            },
        {"postgresql.connect_address",                     "10.0.0.1:5432"           },
        {"postgresql.data_dir",                            "/var/lib/postgresql/data"},
        {"postgresql.authentication.superuser.username",   "postgres"                },
        {"postgresql.authentication.replication.username", "replicator"              },
    };

    for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
        if (!is_given(conf, required[i].path)) {
            problem_missing(
                problems, file, "%s: missing; give one such as %s", required[i].path,
                required[i].example);
        }
    }
    check_reachable(
        conf, "postgresql.connect_address", &conf->postgresql.connect_address, check, problems);
}

static void check(
    const struct conf *conf, const char *file, enum conf_check level, struct problems *problems)
{
    check_name(conf, "scope", conf->scope, problems);
    check_name(conf, "name", conf->name, problems);
    if (level == CONF_CHECK_CTL) {
        return;
    }
    check_required_text(conf->scope, "scope", "demo", file, problems);
    check_required_text(conf->name, "name", "n1", file, problems);
    check_restapi(conf, file, level, problems);
    check_log(conf, problems);
    check_raft(conf, file, level, problems);
    check_listeners(conf, problems);
    check_bootstrap(conf, problems);
    if (!conf->witness) {
        check_postgresql(conf, file, level, problems);
    } else if (is_given(conf, "postgresql")) {
        problem_error(
            problems, tree_get(conf->root, "postgresql"),
            "a witness runs no PostgreSQL; remove this section, or witness: true");
    }
}

static void settle_priority(
    const struct conf *conf, const char *flag_path, const char *priority_path, bool *flag,
    int64_t *priority, struct problems *problems)
{
    if (is_given(conf, flag_path)) {
        if (is_given(conf, priority_path) && *flag != (*priority <= 0)) {
            problem_warning(
                problems, tree_get(conf->root, flag_path), "contradicts %s and wins",
                priority_path);
            *priority = *flag ? 0 : 1;
        }
        *priority = *flag ? 0 : *priority;
    } else {
        *flag = *priority <= 0;
    }
}

static const char *or_else(const char *value, const char *otherwise)
{
    return value != NULL ? value : otherwise;
}

/* What is false as if it were not there is not shown, unless a priority says more about it. */
static const struct node *published_tags(struct tree *tree, const struct node *tags)
{
    static const struct {
        const char *flag;
        const char *priority;
    } flags[] = {
        {"clonefrom",     NULL               },
        {"nofailover",    "failover_priority"},
        {"noloadbalance", NULL               },
        {"nosync",        "sync_priority"    },
        {"nostream",      NULL               },
    };
    struct node *shown = tags == NULL || tags->kind != NODE_MAP ? NULL : tree_copy(tree, tags);

    for (size_t i = 0; shown != NULL && i < ARRAY_SIZE(flags); i++) {
        const struct node *flag = tree_child(shown, flags[i].flag);
        bool value = true;

        if (flag != NULL && node_bool(flag, &value) && !value &&
            (flags[i].priority == NULL || tree_child(shown, flags[i].priority) == NULL)) {
            (void)tree_remove(shown, flags[i].flag);
        }
    }
    return shown;
}

static void fill_in(struct conf *conf, struct tree *tree, struct problems *problems)
{
    struct conf_tags *tags = &conf->tags;

    if (conf->raft.bind_addr.host[0] == '\0') {
        conf->raft.bind_addr = conf->raft.self_addr;
    }
    if (conf->ctl.authentication.username == NULL) {
        conf->ctl.authentication = conf->restapi.authentication;
    }
    conf->ctl.cacert = or_else(conf->ctl.cacert, conf->restapi.cafile);
    conf->bootstrap.present = is_given(conf, "bootstrap");
    conf->bootstrap.custom = tree_child(tree_get(conf->root, "bootstrap"), conf->bootstrap.method);
    if (text_equal(conf->bootstrap.method, "initdb")) {
        conf->bootstrap.custom = NULL;
    }
    conf->bootstrap.post_bootstrap =
        or_else(conf->bootstrap.post_bootstrap, conf->bootstrap.post_init);
    settle_priority(
        conf, "tags.nofailover", "tags.failover_priority", &tags->nofailover,
        &tags->failover_priority, problems);
    settle_priority(
        conf, "tags.nosync", "tags.sync_priority", &tags->nosync, &tags->sync_priority, problems);
    tags->all = published_tags(tree, tags->all);
}

/* Read, because their users have them, and not carried out by this version: said, not hidden. */
static void check_support(const struct conf *conf, struct problems *problems)
{
    const struct conf_tags *tags = &conf->tags;
    const struct {
        const char *key;
        bool wanted;
        const char *instead;
    } ignored[] = {
        {"tags.replicatefrom", tags->replicatefrom != NULL, "this replica follows the primary" },
        {"tags.nostream",      tags->nostream,              "this replica streams all the same"},
        {"tags.nosync",        tags->nosync,                "replication is asynchronous"      },
        {"tags.sync_priority", true,                        "replication is asynchronous"      },
    };

    if (!text_equal(conf->bootstrap.method, "initdb")) {
        problem_error(
            problems, tree_get(conf->root, "bootstrap.method"),
            "custom bootstrap methods are not in this version; use initdb");
    }
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
        const struct node *tag = tree_get(conf->root, ignored[i].key);

        if (tag != NULL && ignored[i].wanted) {
            problem_warning(
                problems, tag, "shown, but without effect in this version: %s", ignored[i].instead);
        }
    }
}

static void check_dcs(const struct conf *conf, struct tree *tree, struct problems *problems)
{
    if (conf->bootstrap.dcs != NULL) {
        struct conf_dynamic dynamic;

        conf_dynamic_read(&dynamic, tree, conf->bootstrap.dcs, problems);
        conf_dynamic_unsupported(&dynamic, problems);
    }
}

void conf_read(
    struct conf *conf, struct tree *tree, const struct node *root, const char *file,
    enum conf_check level, struct problems *problems)
{
    const struct conf_table local = conf_table(CONF_TABLE_LOCAL);

    ASSERT(root->kind == NODE_MAP);
    *conf = (struct conf){.root = root};
    conf_read_keys(local, conf, tree, root, problems);
    fill_in(conf, tree, problems);
    conf_read_unknown(&local, 1, root, why_local, conf, problems);
    check_dcs(conf, tree, problems);
    conf_postgresql_read(&conf->postgresql, tree, conf, NULL, problems);
    check(conf, file, level, problems);
    check_support(conf, problems);
    if (tree_full(tree)) {
        problem_missing(problems, file, "settings larger than %zu bytes", tree->size);
    }
}

/* `listen` of "listen", `authentication` of "authentication.superuser.password", ... */
static bool is_local_only(const char *key)
{
    return conf_table_match(conf_table(CONF_TABLE_POSTGRESQL_LOCAL), key) != CONF_MATCH_NONE;
}

static struct node *section_of(struct tree *tree)
{
    struct node *root = tree_map(tree);
    struct node *section = tree_map(tree);

    /* The map around it makes paths in messages begin with "postgresql". */
    if (root != NULL) {
        tree_put(tree, root, "postgresql", section);
    }
    return tree_full(tree) ? NULL : section;
}

static void put_local(struct tree *tree, struct node *section, const struct node *at)
{
    struct node *there = tree_child_mutable(section, at->key);

    if (at->kind == NODE_NULL) {
        return;
    }
    if (text_equal(at->key, "parameters") && at->kind == NODE_MAP && there != NULL &&
        there->kind == NODE_MAP) {
        (void)tree_merge(tree, there, at);
        return;
    }
    tree_put(tree, section, at->key, tree_copy(tree, at));
}

/* Cluster-wide settings below the node's own; see conf_postgresql_read(). */
static struct node *effective(
    struct tree *tree, const struct node *local, const struct node *dynamic)
{
    struct node *section = section_of(tree);

    if (section == NULL) {
        return NULL;
    }
    for (const struct node *at = dynamic == NULL ? NULL : dynamic->first; at != NULL;
         at = at->next) {
        if (!is_local_only(at->key)) {
            tree_put(tree, section, at->key, tree_copy(tree, at));
        }
    }
    for (const struct node *at = local == NULL ? NULL : local->first; at != NULL; at = at->next) {
        /* Slots are kept for each other's sake: one node cannot decide for itself. */
        if (!text_equal(at->key, "use_slots")) {
            put_local(tree, section, at);
        }
    }
    return section;
}

void conf_postgresql_read(
    struct conf_postgresql *postgresql, struct tree *tree, const struct conf *conf,
    const struct node *dynamic_postgresql, struct problems *problems)
{
    const struct conf_table tables[] = {
        conf_table(CONF_TABLE_POSTGRESQL_LOCAL), conf_table(CONF_TABLE_POSTGRESQL_BOTH)};
    const struct node *local = tree_get(conf->root, "postgresql");
    const struct node *section = NULL;

    *postgresql = (struct conf_postgresql){.root = NULL};
    if (local != NULL && local->kind != NODE_MAP) {
        problem_error(problems, local, "%s is not right; give a map", node_kind_text(local->kind));
        local = NULL;
    }
    section = effective(tree, local, dynamic_postgresql);
    postgresql->root = section;
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        conf_read_keys(tables[i], postgresql, tree, section, problems);
    }
    postgresql->config_dir = or_else(postgresql->config_dir, postgresql->data_dir);
    if (postgresql->rewind_user.username == NULL) {
        postgresql->rewind_user = postgresql->superuser;
    }
    if (postgresql->create_replica_methods == NULL) {
        postgresql->create_replica_methods = postgresql->create_replica_method;
    }
    if (section != NULL) {
        conf_read_unknown(
            tables, ARRAY_SIZE(tables), section, why_postgresql, postgresql, problems);
        check_postgresql_section(postgresql, problems);
    }
}

/* A key below an open one, as tags.nosync below tags, is part of that one's value. */
static bool is_covered(struct conf_table table, const struct conf_key *key)
{
    const char *dot = strchr(key->path, '.');
    char above[TREE_PATH_MAX];

    if (dot == NULL) {
        return false;
    }
    text_copy_cut(above, sizeof above, key->path);
    above[dot - key->path] = '\0';
    return conf_table_find(table, above) != NULL;
}

static bool is_same(
    const struct conf_key *key, const struct node *old_root, const struct node *new_root)
{
    const struct node *a = old_root == NULL ? NULL : tree_get(old_root, key->path);
    const struct node *b = new_root == NULL ? NULL : tree_get(new_root, key->path);

    if (key->fallback != NULL && (a == NULL) != (b == NULL)) {
        const char *text = node_text(a != NULL ? a : b);

        return text != NULL && text_equal_nocase(text, key->fallback);
    }
    return tree_equal(a, b);
}

struct diff {
    struct conf_change *changes;
    size_t size;
    size_t count;
};

static void diff_table(
    struct diff *diff, enum conf_table_id id, const char *prefix, const struct node *old_root,
    const struct node *new_root)
{
    const struct conf_table table = conf_table(id);

    for (size_t i = 0; i < table.count && diff->count < diff->size; i++) {
        const struct conf_key *key = &table.keys[i];
        struct conf_change *change = &diff->changes[diff->count];
        struct text path;

        if (key->when == CONF_WHEN_IGNORED || key->when == CONF_WHEN_BOOTSTRAP ||
            is_covered(table, key) || is_same(key, old_root, new_root)) {
            continue;
        }
        text_init(&path, change->path, sizeof change->path);
        text_addf(&path, "%s%s", prefix, key->path);
        change->needs_restart = key->when == CONF_WHEN_RESTART;
        diff->count++;
    }
}

size_t conf_diff(
    const struct conf *old, const struct conf *now, struct conf_change *changes, size_t size)
{
    const struct node *old_section = tree_get(old->root, "postgresql");
    const struct node *new_section = tree_get(now->root, "postgresql");
    struct diff diff = {.changes = changes, .size = size};

    diff_table(&diff, CONF_TABLE_LOCAL, "", old->root, now->root);
    diff_table(&diff, CONF_TABLE_POSTGRESQL_LOCAL, "postgresql.", old_section, new_section);
    diff_table(&diff, CONF_TABLE_POSTGRESQL_BOTH, "postgresql.", old_section, new_section);
    return diff.count;
}

#include "cli/settings_sys.h"

#include <stdlib.h>
#include <string.h>

#include "base/file_sys.h"
#include "base/text.h"
#include "conf/tree_yaml.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define API_PORT       "8008"

/* Where a value may come from, first one first; NULL: no further place. */
struct source {
    const char *variable; /* Without the prefix. */
    const char *path;
    const char *other_variable;
    const char *other_path;
};

static const struct source scope_source = {"SCOPE", "scope", NULL, NULL};
static const struct source address_source = {
    "RESTAPI_CONNECT_ADDRESS", "restapi.connect_address", NULL, NULL};
static const struct source partners_source = {
    "RAFT_PARTNER_ADDRS", "raft.partner_addrs", NULL, NULL};
static const struct source api_certfile_source = {
    "RESTAPI_CERTFILE", "restapi.certfile", NULL, NULL};
static const struct source username_source = {
    "CTL_USERNAME", "ctl.authentication.username", "RESTAPI_USERNAME",
    "restapi.authentication.username"};
static const struct source password_source = {
    "CTL_PASSWORD", "ctl.authentication.password", "RESTAPI_PASSWORD",
    "restapi.authentication.password"};
static const struct source insecure_source = {"CTL_INSECURE", "ctl.insecure", NULL, NULL};
static const struct source cacert_source = {
    "CTL_CACERT", "ctl.cacert", "RESTAPI_CAFILE", "restapi.cafile"};
static const struct source certfile_source = {"CTL_CERTFILE", "ctl.certfile", NULL, NULL};
static const struct source keyfile_source = {"CTL_KEYFILE", "ctl.keyfile", NULL, NULL};
static const struct source keyfile_password_source = {
    "CTL_KEYFILE_PASSWORD", "ctl.keyfile_password", NULL, NULL};

/* NULL if the variable is not set, or empty, which is the same. */
static const char *from_environment(const char *variable)
{
    static const char *const prefixes[] = {"PGBATON_", "PATRONI_"};

    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        char name[64];
        const char *value;
        struct text text;

        text_init(&text, name, sizeof name);
        text_addf(&text, "%s%s", prefixes[i], variable);
        value = text_overflowed(&text) ? NULL : getenv(name);
        if (value != NULL && value[0] != '\0') {
            return value;
        }
    }
    return NULL;
}

static const char *look_up(const struct node *root, const char *variable, const char *path)
{
    const char *value = variable == NULL ? NULL : from_environment(variable);

    if (value == NULL && path != NULL) {
        value = node_text(tree_get(root, path));
    }
    return value;
}

static const char *text_of(const struct node *root, const struct source *source)
{
    const char *value = look_up(root, source->variable, source->path);

    if (value == NULL) {
        value = look_up(root, source->other_variable, source->other_path);
    }
    return value == NULL ? "" : value;
}

/* "user:password" in one text, as older files have it. */
static enum status take_joined(
    struct tree *tree, const struct node *root, struct settings *settings, struct err *err)
{
    const char *joined = node_text(tree_get(root, "ctl.auth"));
    const char *colon;

    joined = joined != NULL ? joined : node_text(tree_get(root, "restapi.auth"));
    if (settings->username[0] != '\0' || joined == NULL) {
        return STATUS_OK;
    }
    colon = strchr(joined, ':');
    if (colon == NULL) {
        return ERR(err, INVALID, "restapi.auth: this is not \"user:password\"");
    }
    settings->username = tree_text_n(tree, joined, (size_t)(colon - joined));
    settings->password = colon + 1;
    return settings->username == NULL ? ERR(err, FULL, "out of memory") : STATUS_OK;
}

static enum status take_insecure(
    const struct node *root, struct settings *settings, struct err *err)
{
    const char *text = text_of(root, &insecure_source);
    const struct node word = {.kind = NODE_STRING, .text = text};

    if (text[0] != '\0' && !node_bool(&word, &settings->insecure)) {
        return ERR(err, INVALID, "ctl.insecure: \"%s\" is neither true nor false", text);
    }
    return STATUS_OK;
}

static enum status take_texts(
    struct tree *tree, const struct node *root, struct settings *settings, struct err *err)
{
    enum status status;

    settings->scope = text_of(root, &scope_source);
    settings->username = text_of(root, &username_source);
    settings->password = text_of(root, &password_source);
    settings->cacert = text_of(root, &cacert_source);
    settings->certfile = text_of(root, &certfile_source);
    settings->keyfile = text_of(root, &keyfile_source);
    settings->keyfile_password = text_of(root, &keyfile_password_source);
    status = take_joined(tree, root, settings, err);
    return status != STATUS_OK ? status : take_insecure(root, settings, err);
}

/* Partners are known by their Raft addresses; their API is taken to have our own's port. */
static void add_partner(
    struct nodes *nodes, const char *partner, const char *scheme, const char *port)
{
    char host[NODES_URL_SIZE];

    if (nodes_host(partner, host, sizeof host)) {
        nodes_add(nodes, host, scheme, port);
    }
}

static void add_partners(
    struct nodes *nodes, const struct node *root, const char *scheme, const char *port)
{
    const struct node *list = tree_get(root, partners_source.path);
    struct nodes partners = {.count = 0};

    nodes_add_list(&partners, text_of(root, &partners_source), scheme, port);
    for (uint32_t i = 0; i < partners.count; i++) {
        add_partner(nodes, partners.urls[i], scheme, port);
    }
    if (partners.count == 0 && list != NULL && list->kind == NODE_LIST) {
        for (const struct node *item = list->first; item != NULL; item = item->next) {
            add_partner(nodes, node_text(item) == NULL ? "" : node_text(item), scheme, port);
        }
    }
}

/* Asked in this order: what the command line says, ctl.hosts, our own node, its partners. */
static void take_nodes(const struct node *root, const char *hosts, struct nodes *nodes)
{
    const char *own = text_of(root, &address_source);
    const char *scheme = text_of(root, &api_certfile_source)[0] != '\0' ? "https" : "http";
    const char *port = nodes_port(own, API_PORT);
    const struct node *list = tree_get(root, "ctl.hosts");

    if (hosts != NULL) {
        nodes_add_list(nodes, hosts, scheme, port);
        return;
    }
    if (node_text(list) != NULL) {
        nodes_add_list(nodes, node_text(list), scheme, port);
    } else if (list != NULL && list->kind == NODE_LIST) {
        for (const struct node *item = list->first; item != NULL; item = item->next) {
            nodes_add_list(nodes, node_text(item) == NULL ? "" : node_text(item), scheme, port);
        }
    }
    nodes_add_list(nodes, own, scheme, port);
    add_partners(nodes, root, scheme, port);
    if (nodes->count == 0) {
        nodes_add(nodes, "127.0.0.1", scheme, port);
    }
}

/* The first of the places where a file is looked for, as a text of the tree; NULL if none. */
static const char *find_default(struct tree *tree)
{
    static const char *const places[] = {
        "/.config/patroni/patronictl.yaml",
        "/.config/pgbaton/pgbatonctl.yaml",
    };
    const char *home = getenv("HOME");

    for (size_t i = 0; home != NULL && i < ARRAY_SIZE(places); i++) {
        char path[1024];
        struct text text;

        text_init(&text, path, sizeof path);
        text_addf(&text, "%s%s", home, places[i]);
        if (!text_overflowed(&text) && file_exists(path)) {
            return tree_text(tree, path);
        }
    }
    return file_exists("/etc/pgbaton/pgbaton.yaml") ? "/etc/pgbaton/pgbaton.yaml" : NULL;
}

static enum status read_file(
    struct tree *tree, const char *path, struct node **root, struct err *err)
{
    char *data = NULL;
    size_t length = 0;
    enum status status = file_read_alloc(path, FILE_BYTES_MAX, &data, &length, err);

    if (status != STATUS_OK) {
        return status;
    }
    status = tree_yaml_parse(tree, data, length, path, root, err);
    free(data);
    if (status == STATUS_OK && (*root)->kind != NODE_MAP) {
        return ERR(err, INVALID, "%s: this is no map of settings", path);
    }
    return status;
}

enum status settings_read(
    struct tree *tree, const char *path, const char *hosts, struct settings *settings,
    struct nodes *nodes, struct err *err)
{
    struct node *root = NULL;
    enum status status;

    *settings = (struct settings){.scope = ""};
    nodes->count = 0;
    if (path == NULL) {
        path = find_default(tree);
    }
    if (path != NULL) {
        status = read_file(tree, path, &root, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    status = take_texts(tree, root, settings, err);
    if (status == STATUS_OK) {
        take_nodes(root, hosts, nodes);
    }
    return status;
}

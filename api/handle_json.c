/*
 * What each call does. Views are made from memory and answered at once; what changes
 * something is checked here as far as this node can tell, and becomes an action whose
 * outcome is told later.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/health.h"
#include "api/metrics.h"
#include "api/request.h"
#include "api/route.h"
#include "api/show_json.h"
#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/text.h"
#include "conf/tree_json.h"

/* The cluster gives up after 20 s by itself, and says why. */
#define ASK_WAIT_MS 22000

/* The stop, and then as long as primary_start_timeout is unless somebody says otherwise. */
#define RESTART_STOP_MS  UINT64_C(60000)
#define RESTART_START_MS UINT64_C(300000)
#define LOCAL_WAIT_MS    3000 /* To hear whether it was begun. */

/* Bodies are small, but every brace of one may become a node. */
#define TREE_BYTES      ((size_t)4 << 20)
#define TAGS_TREE_BYTES 16384

struct api {
    const struct api_ops *ops;
    void *owner;
    const struct conf *conf;
    uint64_t config_version; /* That failsafe_mode was read from. */
    bool failsafe_mode;
    struct ha_view view;
    struct ha_health health;
    struct api_raft raft;
};

struct api *api_create(const struct api_ops *ops, void *owner, const struct conf *conf)
{
    struct api *api = calloc(1, sizeof *api);

    ASSERT(api != NULL);
    api->ops = ops;
    api->owner = owner;
    api->conf = conf;
    return api;
}

void api_set_conf(struct api *api, const struct conf *conf)
{
    api->conf = conf;
}

void api_destroy(struct api *api)
{
    free(api);
}

/* Memory for one call; the process ends without. */
static void *allocate(size_t size)
{
    void *memory = malloc(size);

    ASSERT(memory != NULL);
    return memory;
}

static char *copy_of(const char *text)
{
    const size_t size = strlen(text) + 1;

    return memcpy(allocate(size), text, size);
}

static uint64_t new_id(void)
{
    uint64_t id;

    do {
        id = clock_random_u64();
    } while (id == 0);
    return id;
}

/* Answers. */

void api_answer_text(struct api_answer *answer, uint32_t code, const char *text)
{
    answer->code = code;
    answer->type = API_TYPE_TEXT;
    answer->body = copy_of(text);
}

static void answer_json(struct api_answer *answer, char *body)
{
    answer->code = 200;
    answer->type = API_TYPE_JSON;
    answer->body = body;
}

static void answer_refusal(struct api_answer *answer, const struct request_refusal *refusal)
{
    api_answer_text(answer, refusal->code, refusal->text);
}

static void set_etag(struct api_answer *answer, uint64_t version)
{
    (void)snprintf(answer->etag, sizeof answer->etag, "\"%" PRIu64 "\"", version);
}

/* Views. */

static void read_failsafe_mode(struct api *api, const struct cluster *cluster)
{
    void *memory;
    struct tree tree;
    struct node *root;
    struct err err;

    if (api->config_version == cluster->config_version) {
        return;
    }
    api->config_version = cluster->config_version;
    api->failsafe_mode = false;
    memory = allocate(TREE_BYTES);
    tree_init(&tree, memory, TREE_BYTES);
    if (tree_json_parse(&tree, cluster->config, cluster->config_size, &root, &err) == STATUS_OK &&
        !node_bool(tree_get(root, "failsafe_mode"), &api->failsafe_mode)) {
        api->failsafe_mode = false;
    }
    free(memory);
}

static struct show look(struct api *api)
{
    api->ops->view(api->owner, &api->view);
    api->ops->health(api->owner, &api->health);
    api->ops->raft(api->owner, &api->raft);
    read_failsafe_mode(api, api->view.cluster);
    return (struct show){
        .view = &api->view,
        .health = &api->health,
        .raft = &api->raft,
        .scope = api->conf->scope,
        .name = api->conf->name,
        .failsafe_mode = api->failsafe_mode,
        .wall_ms = clock_wall_ms(),
    };
}

void api_health(struct api *api, struct ha_health *health)
{
    api->ops->health(api->owner, health);
}

const struct ha_view *api_view(struct api *api)
{
    api->ops->view(api->owner, &api->view);
    return &api->view;
}

char *api_status_body(struct api *api)
{
    const struct show show = look(api);

    return show_patroni(&show);
}

static void answer_metrics(struct api *api, struct api_answer *answer)
{
    const struct show show = look(api);
    struct text text;

    answer->code = 200;
    answer->type = API_TYPE_PLAIN;
    answer->body = allocate(METRICS_SIZE);
    text_init(&text, answer->body, METRICS_SIZE);
    metrics_print(&show, &text);
    ASSERT(!text_overflowed(&text));
}

static void answer_failsafe(struct api *api, struct api_answer *answer)
{
    const struct show show = look(api);

    if (show.failsafe_mode) {
        answer_json(answer, show_failsafe(&show));
    } else {
        api_answer_text(answer, 502, "failsafe_mode is off");
    }
}

static void answer_config(struct api *api, struct api_answer *answer)
{
    const struct show show = look(api);
    const struct cluster *cluster = show.view->cluster;

    if (cluster->config_size == 0) {
        api_answer_text(answer, 502, "the cluster has no configuration yet");
        return;
    }
    answer_json(answer, copy_of(cluster->config));
    set_etag(answer, cluster->config_version);
}

uint32_t api_check(const struct health_query *query, const struct ha_health *health)
{
    struct node *tags = NULL;
    char memory[TAGS_TREE_BYTES];
    struct tree tree;
    struct err err;

    tree_init(&tree, memory, sizeof memory);
    /* Nearly nobody filters by tags; then they need not be parsed. */
    if (query->tag_count > 0 &&
        tree_json_parse(&tree, health->tags, strlen(health->tags), &tags, &err) != STATUS_OK) {
        tags = NULL;
    }
    return health_check(query, health, tags);
}

/* Bodies. */

struct body {
    void *memory;
    struct tree tree;
    struct node *root; /* A map; NULL if nothing was sent. */
};

static void body_deinit(struct body *body)
{
    free(body->memory);
}

static bool body_read(struct body *body, const struct api_call *call, struct api_answer *answer)
{
    const bool required = call->route->body == ROUTE_BODY_REQUIRED;
    struct err err;

    body->root = NULL;
    body->memory = allocate(TREE_BYTES);
    tree_init(&body->tree, body->memory, TREE_BYTES);
    if (required && !call->has_body) {
        api_answer_text(answer, 411, "the length of the body is required");
        return false;
    }
    if (!required && call->body_bytes == 0) {
        return true;
    }
    if (tree_json_parse(&body->tree, call->body, call->body_bytes, &body->root, &err) !=
        STATUS_OK) {
        api_answer_text(answer, 400, err.text);
        return false;
    }
    if (body->root->kind != NODE_MAP || (required && body->root->count == 0)) {
        api_answer_text(answer, 400, "the body should be a JSON object that is not empty");
        return false;
    }
    return true;
}

/* Actions. */

static void ask(struct api_answer *answer, struct api_action *action, uint64_t id)
{
    action->kind = API_ACTION_ASK;
    action->id = id;
    answer->wait_id = id;
    answer->wait_ms = ASK_WAIT_MS;
}

static void change_primary(
    struct api *api, const struct node *body, enum cluster_request_kind kind,
    struct api_answer *answer, struct api_action *action)
{
    struct request_change change;
    struct request_refusal refusal;
    uint64_t id;

    if (!request_change_read(body, kind, &change, &refusal)) {
        answer_refusal(answer, &refusal);
        return;
    }
    refusal.code = api->ops->check_request(
        api->owner, change.kind, change.leader, change.candidate, change.scheduled_wall_ms,
        &action->command.request, refusal.text, sizeof refusal.text);
    if (refusal.code != 0) {
        answer_refusal(answer, &refusal);
        return;
    }
    id = new_id();
    action->command.kind = COMMAND_REQUEST_SET;
    action->command.request.id = id;
    ask(answer, action, id);
}

static void delete_switchover(struct api *api, struct api_answer *answer, struct api_action *action)
{
    const struct show show = look(api);
    const struct cluster_request *request = &show.view->cluster->request;
    struct command *command = &action->command;

    if (request->kind == CLUSTER_REQUEST_NONE || request->scheduled_wall_ms == 0) {
        api_answer_text(answer, 404, "no switchover is scheduled");
        return;
    }
    command->kind = COMMAND_REQUEST_CLEAR;
    command->id = new_id();
    command->request = *request;
    command->outcome = (struct cluster_outcome){.id = request->id, .code = 503};
    text_copy_cut(
        command->outcome.text, sizeof command->outcome.text, "scheduled switchover deleted");
    ask(answer, action, command->id);
}

static void delete_member(
    struct api *api, const struct api_call *call, struct api_answer *answer,
    struct api_action *action)
{
    const struct show show = look(api);
    const struct cluster_member *member =
        cluster_find_name(show.view->cluster, route_rest(call->path));

    if (member == NULL) {
        api_answer_text(answer, 404, "no such member");
        return;
    }
    action->command.kind = COMMAND_MEMBER_REMOVE;
    action->command.id = new_id();
    action->command.node = member->id;
    ask(answer, action, action->command.id);
}

static void local(
    struct api_answer *answer, struct api_action *action, enum ha_local_kind kind, uint64_t wait_ms)
{
    const uint64_t id = new_id();

    action->kind = API_ACTION_LOCAL;
    action->id = id;
    action->local.kind = kind;
    action->local.id = id;
    answer->wait_id = id;
    answer->wait_ms = wait_ms;
}

static uint64_t start_ms(const struct ha_restart *restart)
{
    return restart->timeout_ms != 0 ? restart->timeout_ms : RESTART_START_MS;
}

static void restart(const struct node *body, struct api_answer *answer, struct api_action *action)
{
    struct ha_restart *restart = &action->local.restart;
    struct request_refusal refusal;

    if (!request_restart_read(body, restart, &refusal)) {
        answer_refusal(answer, &refusal);
        return;
    }
    local(
        answer, action, HA_LOCAL_RESTART,
        restart->at_wall_ms != 0 ? LOCAL_WAIT_MS : RESTART_STOP_MS + start_ms(restart));
}

static void reinitialize(
    struct api *api, const struct node *body, struct api_answer *answer, struct api_action *action)
{
    const struct show show = look(api);
    struct request_refusal refusal;

    if (!request_reinit_read(body, &action->local, &refusal)) {
        answer_refusal(answer, &refusal);
        return;
    }
    if (show.view->primary == 0) {
        api_answer_text(answer, 503, "Cluster has no leader, can not reinitialize");
        return;
    }
    if (show.view->primary == show.view->self) {
        api_answer_text(answer, 503, "I am the leader, can not reinitialize");
        return;
    }
    local(answer, action, HA_LOCAL_REINIT, LOCAL_WAIT_MS);
}

static void reload(struct api_answer *answer, struct api_action *action)
{
    api_answer_text(answer, 202, "reload scheduled");
    action->kind = API_ACTION_LOCAL;
    action->local.kind = HA_LOCAL_RELOAD;
}

/* The configuration. */

static bool etag_matches(const char *if_match, uint64_t version)
{
    char etag[API_ETAG_SIZE];

    (void)snprintf(etag, sizeof etag, "\"%" PRIu64 "\"", version);
    return if_match == NULL || text_equal(if_match, "*") || text_equal(if_match, etag);
}

/* All that is wrong with it, one line each. */
static bool is_valid_config(struct tree *tree, const struct node *root, struct api_answer *answer)
{
    struct problems *problems = allocate(sizeof *problems);
    char reasons[4096];
    struct text text;
    bool valid;

    problems_init(problems);
    valid = conf_dynamic_validate(tree, root, problems);
    if (!valid) {
        text_init(&text, reasons, sizeof reasons);
        for (uint32_t i = 0; i < problems->count; i++) {
            if (problems->items[i].is_error) {
                text_addf(&text, "%s\n", problems->items[i].text);
            }
        }
        api_answer_text(answer, 400, reasons);
    }
    free(problems);
    return valid;
}

/* Has `wanted` decided in place of the version that is there; the answer is the new text. */
static void set_config(
    const struct cluster *cluster, struct tree *tree, const struct node *wanted,
    struct api_answer *answer, struct api_action *action)
{
    struct command *command = &action->command;
    struct text text;
    struct err err;
    char *config;

    if (!is_valid_config(tree, wanted, answer)) {
        return;
    }
    config = allocate(CLUSTER_CONFIG_SIZE);
    text_init(&text, config, CLUSTER_CONFIG_SIZE);
    if (tree_full(tree) || tree_json_print(wanted, 0, &text, &err) != STATUS_OK) {
        free(config);
        api_answer_text(answer, 400, "the configuration is too large");
        return;
    }
    answer_json(answer, config);
    set_etag(answer, cluster->config_version + 1);
    if (text_equal(config, cluster->config)) {
        set_etag(answer, cluster->config_version);
        return;
    }
    command->kind = COMMAND_CONFIG_SET;
    command->id = new_id();
    command->config_version = cluster->config_version;
    command->config = config;
    command->config_size = (uint32_t)text.length;
    answer->keep_body = true;
    ask(answer, action, command->id);
}

static void patch_config(
    const struct cluster *cluster, struct body *body, struct api_answer *answer,
    struct api_action *action)
{
    struct node *config;
    struct err err;

    if (cluster->config_size == 0) {
        api_answer_text(answer, 503, "the cluster has no configuration yet");
        return;
    }
    if (tree_json_parse(&body->tree, cluster->config, cluster->config_size, &config, &err) !=
        STATUS_OK) {
        api_answer_text(answer, 503, err.text);
        return;
    }
    if (!tree_merge(&body->tree, config, body->root)) {
        answer_json(answer, copy_of(cluster->config));
        set_etag(answer, cluster->config_version);
        return;
    }
    set_config(cluster, &body->tree, config, answer, action);
}

static void change_config(
    struct api *api, const struct api_call *call, struct body *body, struct api_answer *answer,
    struct api_action *action)
{
    const struct show show = look(api);
    const struct cluster *cluster = show.view->cluster;

    if (!etag_matches(call->if_match, cluster->config_version)) {
        api_answer_text(answer, 412, "the configuration was changed meanwhile");
    } else if (call->route->kind == ROUTE_CONFIG_PATCH) {
        patch_config(cluster, body, answer, action);
    } else {
        set_config(cluster, &body->tree, body->root, answer, action);
    }
}

/* All together. */

static void handle_get(struct api *api, const struct api_call *call, struct api_answer *answer)
{
    struct show show;

    switch (call->route->kind) {
    case ROUTE_METRICS:
        answer_metrics(api, answer);
        return;
    case ROUTE_FAILSAFE:
        answer_failsafe(api, answer);
        return;
    case ROUTE_CONFIG:
        answer_config(api, answer);
        return;
    case ROUTE_PATRONI:
        answer_json(answer, api_status_body(api));
        return;
    case ROUTE_CLUSTER:
        show = look(api);
        answer_json(answer, show_cluster(&show));
        return;
    case ROUTE_HISTORY:
        show = look(api);
        answer_json(answer, show_history(&show));
        return;
    case ROUTE_STATE:
        show = look(api);
        answer_json(answer, show_state_text(&show));
        return;
    case ROUTE_LIVENESS: /* The transport's: they need no body. */
    case ROUTE_READINESS:
    case ROUTE_HEALTH:
    case ROUTE_UNKNOWN:
    case ROUTE_CONFIG_PATCH:
    case ROUTE_CONFIG_PUT:
    case ROUTE_SWITCHOVER:
    case ROUTE_SWITCHOVER_DELETE:
    case ROUTE_FAILOVER:
    case ROUTE_RESTART:
    case ROUTE_RESTART_DELETE:
    case ROUTE_RELOAD:
    case ROUTE_REINITIALIZE:
    case ROUTE_MEMBER_DELETE:
        break;
    }
    api_answer_text(answer, 501, "unsupported method");
}

static void handle_change(
    struct api *api, const struct api_call *call, struct body *body, struct api_answer *answer,
    struct api_action *action)
{
    switch (call->route->kind) {
    case ROUTE_CONFIG_PATCH:
    case ROUTE_CONFIG_PUT:
        change_config(api, call, body, answer, action);
        return;
    case ROUTE_SWITCHOVER:
        change_primary(api, body->root, CLUSTER_REQUEST_SWITCHOVER, answer, action);
        return;
    case ROUTE_FAILOVER:
        change_primary(api, body->root, CLUSTER_REQUEST_FAILOVER, answer, action);
        return;
    case ROUTE_SWITCHOVER_DELETE:
        delete_switchover(api, answer, action);
        return;
    case ROUTE_RESTART:
        restart(body->root, answer, action);
        return;
    case ROUTE_RESTART_DELETE:
        local(answer, action, HA_LOCAL_UNSCHEDULE, LOCAL_WAIT_MS);
        return;
    case ROUTE_RELOAD:
        reload(answer, action);
        return;
    case ROUTE_REINITIALIZE:
        reinitialize(api, body->root, answer, action);
        return;
    case ROUTE_MEMBER_DELETE:
        delete_member(api, call, answer, action);
        return;
    case ROUTE_UNKNOWN:
    case ROUTE_HEALTH:
    case ROUTE_LIVENESS:
    case ROUTE_READINESS:
    case ROUTE_PATRONI:
    case ROUTE_CLUSTER:
    case ROUTE_HISTORY:
    case ROUTE_STATE:
    case ROUTE_METRICS:
    case ROUTE_FAILSAFE:
    case ROUTE_CONFIG:
        break;
    }
    UNREACHABLE();
}

void api_handle(
    struct api *api, const struct api_call *call, struct api_answer *answer,
    struct api_action *action)
{
    struct body body = {.memory = NULL};

    *answer = (struct api_answer){.type = API_TYPE_TEXT};
    *action = (struct api_action){.kind = API_ACTION_NONE};
    if (call->route->safe) {
        handle_get(api, call, answer);
    } else if (call->route->body == ROUTE_BODY_NONE || body_read(&body, call, answer)) {
        handle_change(api, call, &body, answer, action);
    }
    body_deinit(&body);
}

bool api_start(struct api *api, const struct api_action *action)
{
    switch (action->kind) {
    case API_ACTION_NONE:
        return true;
    case API_ACTION_ASK:
        return api->ops->ask(api->owner, &action->command, action->id);
    case API_ACTION_LOCAL:
        return api->ops->local(api->owner, &action->local);
    }
    UNREACHABLE();
}

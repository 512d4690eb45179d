/*
 * api/api.h - what the HTTP side and the rest of the daemon say to each other.
 *
 * The daemon implements struct api_ops and answers later what it was asked, by
 * api_reply() of server_uv.h. Everything is called on the loop's thread; a reply may come
 * from inside the call that asks for it.
 */
#ifndef PGBATON_API_API_H
#define PGBATON_API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "ha/ha.h"
#include "ha/view.h"

/* What only the store, the transport and the log know. */
struct api_raft {
    uint64_t commit_index;
    uint64_t last_index;
    uint64_t commit_last_ms; /* How long the store took for its newest commit, */
    uint64_t commit_max_ms;  /* and at worst since the start. */
    uint32_t peers_up;
    bool left_out; /* The others say that this node is not a member of their cluster. */
    uint64_t log_lines_lost;
};

struct api_ops {
    void (*health)(void *owner, struct ha_health *health);
    void (*view)(void *owner, struct ha_view *view);
    void (*raft)(void *owner, struct api_raft *raft);

    /* ha_check_request() of view.h. */
    uint32_t (*check_request)(
        void *owner, enum cluster_request_kind kind, const char *from, const char *to,
        uint64_t scheduled_wall_ms, struct cluster_request *request, char *text, size_t size);

    /* Has the cluster decide a command; `id`, which is also in it, names the reply. Copies what it
     * needs. False: not now, and there will be no reply. */
    bool (*ask)(void *owner, const struct command *command, uint64_t id);
    bool (*local)(void *owner, const struct ha_local *local);
};

/* One call, as the transport understood it. */
struct api_call {
    const struct route *route;
    const char *path;
    const char *body; /* NUL-terminated */
    size_t body_bytes;
    bool has_body;        /* The caller sent one, or said how long it is. */
    const char *if_match; /* NULL: none. */
};

#define API_ETAG_SIZE 24

/* What to say; or, if `wait_id` is set, that it will be known later. */
struct api_answer {
    uint32_t code;
    const char *type; /* A constant. */
    char *body; /* On the heap, NUL-terminated; whoever has the answer frees it. NULL: none. */
    char etag[API_ETAG_SIZE]; /* "" for none. */

    uint64_t wait_id;
    uint64_t wait_ms; /* Then 503. */
    bool keep_body;   /* A reply of 200 is answered with `type` and `body`. */
};

enum api_action_kind {
    API_ACTION_NONE,
    API_ACTION_ASK,
    API_ACTION_LOCAL,
};

/* What has to be started for an answer; texts in it live as long as the answer. */
struct api_action {
    enum api_action_kind kind;
    uint64_t id;
    struct command command;
    struct ha_local local;
};

#define API_TYPE_JSON  "application/json"
#define API_TYPE_TEXT  "text/html"
#define API_TYPE_PLAIN "text/plain"

struct api;

/* `conf` is borrowed until api_destroy() or the next api_set_conf(). */
struct api *api_create(const struct api_ops *ops, void *owner, const struct conf *conf);
void api_set_conf(struct api *api, const struct conf *conf);
void api_destroy(struct api *api);

/* Anything but health checks. Whoever gets an `action` starts it, when it is ready for a reply. */
void api_handle(
    struct api *api, const struct api_call *call, struct api_answer *answer,
    struct api_action *action);

/* False: it was not started, and there will be no reply. */
bool api_start(struct api *api, const struct api_action *action);

/* A sentence as the answer. */
void api_answer_text(struct api_answer *answer, uint32_t code, const char *text);

/* Facts of this moment, filled in by the daemon. */
void api_health(struct api *api, struct ha_health *health);
const struct ha_view *api_view(struct api *api);

/* The body of every health check, for a while. On the heap. */
char *api_status_body(struct api *api);

/* 200 or 503, for thousands of calls a second. */
struct health_query;
uint32_t api_check(const struct health_query *query, const struct ha_health *health);

#endif

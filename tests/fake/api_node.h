/*
 * tests/fake/api_node.h - a daemon as the HTTP side sees it: facts to set, calls to look at.
 *
 * Three members: n1, which is this node, n2 and n3. It answers what it is asked only when
 * the test says so.
 */
#ifndef PGBATON_TESTS_FAKE_API_NODE_H
#define PGBATON_TESTS_FAKE_API_NODE_H

#include "api/api.h"
#include "api/show.h"

#define API_NODE_N1 0x11
#define API_NODE_N2 0x22
#define API_NODE_N3 0x33

struct api_node {
    struct conf conf;
    struct tree tree; /* For lists in `conf`. */
    char tree_memory[8192];

    struct cluster cluster;
    struct pg_facts facts;
    struct ha_health health;
    struct ha_view view;
    struct api_raft raft;

    /* What check_request() says, and was told. */
    uint32_t check_code;
    const char *check_text;
    enum cluster_request_kind checked_kind;
    char checked_from[64];
    char checked_to[64];
    uint64_t checked_wall_ms;

    bool refuses; /* To start anything. */
    uint32_t ask_count;
    struct command command;
    char config[CLUSTER_CONFIG_SIZE];
    uint64_t asked_id;
    uint32_t local_count;
    struct ha_local local;

    /* Called from inside ask() and local(), if set. */
    void (*on_asked)(struct api_node *node, uint64_t id);
    void *test;
};

extern const struct api_ops api_node_ops;

/* n1 serves epoch 4 and the others stream from it. */
void api_node_init(struct api_node *node);

/* n2 is the primary, n1 streams from it. */
void api_node_be_standby(struct api_node *node);

/* Nothing runs and nobody is known. */
void api_node_be_new(struct api_node *node);

void api_node_set_config(struct api_node *node, const char *json);

/* What views are made from, at 2026-08-01 03:00:00.250 UTC. */
struct show api_node_show(const struct api_node *node);

#endif

/*
 * cli/ctl.h - what every command works with: the settings, the nodes, and memory.
 *
 * Any node answers a question and takes a request: those of the leader's own node are asked
 * first once it is known, which saves them a forwarding.
 */
#ifndef PGBATON_CLI_CTL_H
#define PGBATON_CLI_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "cli/client_curl.h"
#include "cli/nodes.h"
#include "cli/settings_sys.h"
#include "conf/tree.h"

/* Exit statuses. A refusal by the cluster is a failure: scripts must see it. */
#define CTL_OK     0
#define CTL_FAILED 1
#define CTL_USAGE  2

/* How long a node may take for what it knows, for an action, and for what waits on PostgreSQL. */
#define CTL_QUERY_MS  5000
#define CTL_ACTION_MS 120000
#define CTL_WAIT_MS   3600000

struct ctl {
    struct settings settings;
    struct nodes nodes;
    struct client *client;
    struct tree tree;  /* All that was parsed or built. */
    struct text text;  /* For what is printed; ctl_print() empties it. */
    char *tree_memory; /* Owned. */
    char *text_memory; /* Owned. */
};

typedef int ctl_command(struct ctl *ctl, int argc, char **argv);

MUST_CHECK enum status ctl_create(struct ctl **ctl, struct err *err);
void ctl_destroy(struct ctl *ctl);

/* Reads settings and makes the client; `insecure` as the option of that name. */
MUST_CHECK enum status ctl_configure(
    struct ctl *ctl, const char *path, const char *hosts, bool insecure, struct err *err);

/* GET from the first node that answers 200. `etag`, CLIENT_ETAG_SIZE bytes, may be NULL. */
MUST_CHECK enum status ctl_get(
    struct ctl *ctl, const char *path, struct node **root, char *etag, struct err *err);

/* GET from this member, by its api_url. */
MUST_CHECK enum status ctl_get_from(
    struct ctl *ctl, const struct node *member, const char *path, struct node **root,
    struct err *err);

/*
 * GET /cluster, which also teaches the addresses of all members. `name` (NULL or empty: the one
 * of the settings) must be the cluster's: whoever names one means no other.
 */
MUST_CHECK enum status ctl_cluster(
    struct ctl *ctl, const char *name, struct node **cluster, struct err *err);

struct ctl_request {
    const char *method;
    const char *path;
    const struct node *body; /* NULL: none. */
    const char *if_match;    /* NULL or empty: none. */
    uint64_t timeout_ms;
};

/*
 * Sends to the first node that can be reached; never to a second one once a first may have
 * heard it. The answer of any code is given back; deinit it whatever is returned.
 */
MUST_CHECK enum status ctl_send(
    struct ctl *ctl, const struct ctl_request *request, struct client_answer *answer,
    struct err *err);

/* The same to this member and no other. */
MUST_CHECK enum status ctl_send_to(
    struct ctl *ctl, const struct node *member, const struct ctl_request *request,
    struct client_answer *answer, struct err *err);

/* The body without the line end that some nodes add; changes the answer. */
const char *ctl_answer_text(struct client_answer *answer);

/* Puts a text or a truth value under a key of a body that is being made. */
void ctl_put_text(struct ctl *ctl, struct node *body, const char *key, const char *text);
void ctl_put_true(struct ctl *ctl, struct node *body, const char *key);

/* Prints what ctl->text holds and empties it; CTL_FAILED if it did not fit or cannot be written. */
MUST_CHECK int ctl_print(struct ctl *ctl);

/* Print "Error: ..." on standard error and return CTL_FAILED. */
PRINTF(1, 2) int ctl_error(const char *format, ...);
int ctl_fail(const struct err *err);

/* Prints how the command is used, on standard error after a mistake, and the exit status for it. */
int ctl_usage(const char *usage, bool mistake);

#endif

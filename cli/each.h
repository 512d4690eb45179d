/*
 * cli/each.h - one request to each of several members, with a line about each answer.
 */
#ifndef PGBATON_CLI_EACH_H
#define PGBATON_CLI_EACH_H

#include "cli/ctl.h"
#include "cli/select.h"

/* What an answer of a certain code means; the name of the member follows the text. */
struct each_meaning {
    long code;
    bool success;
    const char *text; /* "restart on member" */
};

struct each_call {
    struct ctl_request request;
    const char *action;                  /* "restart": for answers that no meaning explains. */
    const struct each_meaning *meanings; /* Other codes are failures. */
    uint32_t meaning_count;
};

/*
 * Sends the request to one member and prints what came of it. The answer is given back; deinit
 * it whatever is returned.
 */
MUST_CHECK int each_send_one(
    struct ctl *ctl, const struct node *member, const struct each_call *call,
    struct client_answer *answer);

/* The same for all, one after the other; CTL_FAILED if any of them failed. */
MUST_CHECK int each_send(
    struct ctl *ctl, const struct selection *selection, const struct each_call *call);

#endif

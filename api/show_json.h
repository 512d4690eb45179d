/*
 * api/show_json.h - the views that programs read, as JSON text.
 *
 * Each text is on the heap and the caller frees it. Without memory the process ends.
 */
#ifndef PGBATON_API_SHOW_JSON_H
#define PGBATON_API_SHOW_JSON_H

#include "api/show.h"

/* This node: GET /patroni and the body of every health check. */
char *show_patroni(const struct show *show);

/* GET /cluster */
char *show_cluster(const struct show *show);

/* GET /history: the changes of timeline, oldest first. */
char *show_history(const struct show *show);

/* GET /failsafe: the members it counts, by name. */
char *show_failsafe(const struct show *show);

/* GET /state: ours; everything this node knows about the protocol. */
char *show_state_text(const struct show *show);

#endif

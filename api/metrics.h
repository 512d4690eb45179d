/*
 * api/metrics.h - GET /metrics: the text format of Prometheus.
 *
 * Pure. Names that dashboards know keep their prefix; what is ours begins with the name of
 * the product.
 */
#ifndef PGBATON_API_METRICS_H
#define PGBATON_API_METRICS_H

#include "api/show.h"
#include "base/text.h"

#define METRICS_SIZE 32768u /* Enough for all of them. */

void metrics_print(const struct show *show, struct text *out);

#endif

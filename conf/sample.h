/*
 * conf/sample.h - the example settings, made from the list of keys.
 */
#ifndef PGBATON_CONF_SAMPLE_H
#define PGBATON_CONF_SAMPLE_H

#include "base/text.h"

/* Enough for conf_sample(). */
#define CONF_SAMPLE_BYTES ((size_t)64 << 10)

/*
 * Adds a settings file with every key: what a node needs is set, all else is a comment
 * "#key: value" with its default or an example.
 */
void conf_sample(struct text *out);

#endif

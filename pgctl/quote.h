/*
 * pgctl/quote.h - values made safe inside connection strings, configuration and password files.
 * Pure. For SQL see sql_pq.h.
 */
#ifndef PGBATON_PGCTL_QUOTE_H
#define PGBATON_PGCTL_QUOTE_H

#include "base/text.h"

/* " key='value'", nothing if `value` is NULL or empty; a blank before all but the first. */
void quote_conninfo(struct text *text, const char *key, const char *value);

/* 'value' as postgresql.conf wants it; a line break, which it cannot have, becomes a blank. */
void quote_setting(struct text *text, const char *value);

/* A field of a password file: ':' and '\' escaped. NULL: "*". */
void quote_passfile(struct text *text, const char *value);

#endif

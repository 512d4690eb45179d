/*
 * pgctl/facts_pq.h - the one status query, and its rows as struct pg_facts.
 *
 * The query returns a row for the server joined with a row for each WAL sender. It is the
 * same text for PostgreSQL 13 to 18, but for one number: what needs a scan of all settings
 * (pending restarts) is only asked for after a reload, and is kept in between.
 *
 *     facts_pq_query(&memory, "", &text);     sql_query(sql, text.data, ...);
 *     facts_pq_read(&memory, result, &facts, &err);
 *
 * The user must be a superuser, or a member of pg_monitor and pg_read_all_settings.
 */
#ifndef PGBATON_PGCTL_FACTS_PQ_H
#define PGBATON_PGCTL_FACTS_PQ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "pgctl/pgctl.h"
#include "pgctl/sql_pq.h"

/* The oldest server that the query works on. */
#define FACTS_PQ_SERVER_VERSION_MIN 130000

/* A buffer of this size holds the query. */
#define FACTS_PQ_QUERY_SIZE (8192 + FACTS_PQ_WANTED_SIZE)

/* And one of this size what is wanted. */
#define FACTS_PQ_WANTED_SIZE 2048

/*
 * What belongs to one connection and has no place in struct pg_facts. Start with all zero for
 * each new connection: the settings are then looked at again.
 */
struct facts_pq {
    int64_t conf_load_wall_ms; /* When the server last read its settings; 0 not known. */
    int32_t receiver_pid;      /* Of the WAL receiver; 0: there is none. */
    bool conninfo_in_effect;   /* primary_conninfo or restore_command is set in the server. */
};

/*
 * Adds the query's text. `wanted`, made by facts_pq_add_wanted(), are parameters given on the
 * command line, and what they shall be after a restart; it may be empty.
 */
void facts_pq_query(const struct facts_pq *memory, const char *wanted, struct text *text);
void facts_pq_add_wanted(struct text *wanted, const char *name, const char *value);

/*
 * Sets the fields "From SQL" of `facts`, apart from `writable`, `conninfo_set` and
 * `marker_lsn`, which need more than SQL. INVALID: the rows are not those of the query;
 * then nothing is changed.
 */
MUST_CHECK enum status facts_pq_read(
    struct facts_pq *memory, const struct sql_result *result, struct pg_facts *facts,
    struct err *err);

#endif

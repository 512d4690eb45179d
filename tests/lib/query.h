/*
 * tests/lib/query.h - one SQL query from outside, waiting for its answer.
 */
#ifndef PGBATON_TESTS_LIB_QUERY_H
#define PGBATON_TESTS_LIB_QUERY_H

#include <stddef.h>
#include <stdint.h>

/*
 * Runs it as `user`, password "secret", over TCP on 127.0.0.1. The first cell goes into `cell`,
 * which may be NULL; an empty text if there is none. Fails the test on an error.
 */
void query_run_as(const char *user, uint16_t port, const char *query, char *cell, size_t cell_size);

/* The same as superuser "postgres". */
void query_run(uint16_t port, const char *query, char *cell, size_t cell_size);

#endif

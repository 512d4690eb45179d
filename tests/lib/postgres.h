/*
 * tests/lib/postgres.h - a real PostgreSQL for tests of adapters, in a temporary folder.
 *
 * It listens on 127.0.0.1 and on a socket in its folder, on a port that was free. The server
 * runs as user "postgres" when the test is root, and dies with the test. Every function fails
 * the test when it cannot do its work, and waits for a start with a deadline.
 */
#ifndef PGBATON_TESTS_LIB_POSTGRES_H
#define PGBATON_TESTS_LIB_POSTGRES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/lib/test.h"

struct postgres {
    char dir[TEST_PATH_SIZE]; /* Holds the data directory, the socket and the log. */
    char data[TEST_PATH_SIZE];
    uint16_t port;
    char port_text[8];
    pid_t pid; /* Of the postmaster; 0: not started. */
};

/* A port of the loopback interface that nobody listens on just now. */
uint16_t postgres_free_port(void);

/*
 * initdb with superuser "postgres", password "secret" over TCP and trust on the socket. The
 * server is quick and forgetful (no fsync).
 */
void postgres_create(struct postgres *postgres);

/* A copy of a running server, set up to stream from it; its log position is where it was. */
void postgres_clone(struct postgres *standby, const struct postgres *primary);

/* Adds a line to postgresql.conf. */
void postgres_configure(const struct postgres *postgres, const char *line);

/* Starts it; with `wait` until it accepts connections. */
void postgres_start(struct postgres *postgres, bool wait);

/* One psql command on the socket, as superuser; fails the test if it fails. */
void postgres_sql(const struct postgres *postgres, const char *command);

/* SIGINT, SIGQUIT, SIGHUP ... to the postmaster. */
void postgres_signal(const struct postgres *postgres, int signal);

/* Immediate stop, and waits for the postmaster's end. Does nothing if it is not started. */
void postgres_stop(struct postgres *postgres);

/* Stops it and removes the folder. */
void postgres_destroy(struct postgres *postgres);

#endif

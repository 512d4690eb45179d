/*
 * api/server_mhd.h - HTTP/1.1 on sockets, by libmicrohttpd; without a loop of its own.
 *
 * The owner polls server_fd() for reading, each of them, and calls server_run() when one
 * is ready, when server_timeout_ms() has passed, and soon after server_reply(). One thread.
 *
 * Health checks are answered from what is in memory: their body is made anew when a fact
 * that matters has changed, and else every 50 ms at most.
 */
#ifndef PGBATON_API_SERVER_MHD_H
#define PGBATON_API_SERVER_MHD_H

#include "api/allow_sys.h"
#include "api/api.h"
#include "base/status.h"

#define SERVER_CONNECTIONS_MAX 2000
#define SERVER_BODY_MAX        65536u /* bytes; more is answered with 413. */
#define SERVER_IDLE_SECONDS    30     /* Then a silent connection is closed. */
#define SERVER_PENDING_MAX     64     /* Answers that wait; one more is answered with 503. */

struct server;

/*
 * Listens as conf->restapi says. `conf` is borrowed until server_close() or the next
 * server_set_conf(); `ops` and `owner` until server_close().
 */
MUST_CHECK enum status server_open(
    const struct api_ops *ops, void *owner, const struct conf *conf, struct server **server,
    struct err *err);

/* What may change without new sockets: names, passwords, the allowlist, headers. */
void server_set_conf(struct server *server, const struct conf *conf);

/* How many sockets there are, and what to poll of each. */
uint32_t server_count(const struct server *server);
int server_fd(const struct server *server, uint32_t which);
uint16_t server_port(const struct server *server, uint32_t which);

/* UINT64_MAX: only an event. */
uint64_t server_timeout_ms(const struct server *server);
void server_run(struct server *server);

/* The reply to what was asked for under `id`; nothing happens if nobody waits any more. */
void server_reply(struct server *server, uint64_t id, uint32_t code, const char *text);

/* The rules of the allowlist, its hosts to be looked up by the owner; refreshed by the call. */
struct allow *server_allow(struct server *server);

/* Who waits is told 503. */
void server_close(struct server *server);

#endif

/*
 * api/server_uv.h - the HTTP server on the daemon's loop: what the daemon opens and closes.
 */
#ifndef PGBATON_API_SERVER_UV_H
#define PGBATON_API_SERVER_UV_H

#include <uv.h>

#include "api/api.h"
#include "base/status.h"

struct api_server;

/*
 * `conf` is borrowed until the next api_server_set_conf() or the end; `ops` and `owner` until
 * the end. REFUSED if the address is in use, INVALID or NOT_FOUND for certificates that
 * cannot be used or read.
 */
MUST_CHECK enum status api_server_open(
    uv_loop_t *loop, const struct api_ops *ops, void *owner, const struct conf *conf,
    struct api_server **server, struct err *err);

/* Takes what may change while it runs; for another address or other certificates close it and
 * open it anew. */
void api_server_set_conf(struct api_server *server, const struct conf *conf);

/* The reply to what was asked for under `id`. May be called from inside an op. */
void api_reply(struct api_server *server, uint64_t id, uint32_t code, const char *text);

/* As opened; for tests that listen on port 0. */
uint16_t api_server_port(const struct api_server *server);

/* Sockets are closed at once; `closed` comes from the loop when the memory is free. */
void api_server_close(struct api_server *server, void (*closed)(void *owner));

#endif

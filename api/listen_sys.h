/*
 * api/listen_sys.h - sockets to accept connections from.
 */
#ifndef PGBATON_API_LISTEN_SYS_H
#define PGBATON_API_LISTEN_SYS_H

#include <stdint.h>

#include "base/status.h"

#define LISTEN_MAX 8

struct listen_sockets {
    uint32_t count;
    int fds[LISTEN_MAX]; /* Non-blocking, close-on-exec. */
};

/*
 * `hosts` is one host or several with commas between; "*" and "" are all addresses, IPv6 and
 * IPv4 through one socket where the machine can do that. Names are looked up, which may
 * block: for the start of the process. REFUSED if an address is in use.
 */
MUST_CHECK enum status listen_open(
    const char *hosts, uint16_t port, int backlog, struct listen_sockets *sockets, struct err *err);
void listen_close(struct listen_sockets *sockets);

/* `wanted`, or less if this process may not have as many files open. */
uint32_t listen_connection_cap(uint32_t wanted);

/* The port a socket is bound to; 0 if it cannot be told. */
uint16_t listen_port(int fd);

#endif

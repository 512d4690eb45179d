/*
 * cli/nodes.h - the addresses under which the cluster can be asked, in the order of asking.
 *
 * Pure. An address is the base of a URL: scheme, host and port.
 */
#ifndef PGBATON_CLI_NODES_H
#define PGBATON_CLI_NODES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

#define NODES_MAX      64
#define NODES_URL_SIZE 256

struct nodes {
    char urls[NODES_MAX][NODES_URL_SIZE];
    uint32_t count;
};

/*
 * The base of `address`, which is a URL with or without a path, "host:port" or "host"; what it
 * lacks comes from `scheme` and `port`. False if it is empty or too long.
 */
MUST_CHECK bool nodes_base(
    const char *address, const char *scheme, const char *port, char url[NODES_URL_SIZE]);

/* Adds the base of an address at the end, unless it is there; a wrong address is left out. */
void nodes_add(struct nodes *nodes, const char *address, const char *scheme, const char *port);

/* Adds the addresses of a comma-separated list. */
void nodes_add_list(struct nodes *nodes, const char *list, const char *scheme, const char *port);

/* Moves the address, added if need be, to the front: it is asked first. */
void nodes_prefer(struct nodes *nodes, const char *address, const char *scheme, const char *port);

/* "h" of "h:2222", "[::1]" of "[::1]:2222"; false if it is too long. */
MUST_CHECK bool nodes_host(const char *address, char *host, uint32_t size);

/* The port of "h:8008" or a URL; `fallback` if there is none. Points into `address`. */
const char *nodes_port(const char *address, const char *fallback);

#endif

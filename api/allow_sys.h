/*
 * api/allow_sys.h - from where calls that change something may come.
 *
 * Settings name networks, addresses and hosts; members of the cluster may be allowed too.
 * Hosts are only listed here: someone else looks them up, now and then, and puts their
 * addresses in. A host that was never found allows nobody.
 */
#ifndef PGBATON_API_ALLOW_SYS_H
#define PGBATON_API_ALLOW_SYS_H

#include <stdbool.h>
#include <stdint.h>

#include "api/auth.h"
#include "conf/conf.h"
#include "ha/view.h"

#define ALLOW_NETS_MAX      64
#define ALLOW_HOSTS_MAX     32
#define ALLOW_ADDRESSES_MAX 8

struct allow_host {
    char name[CONF_HOST_MAX];
    uint32_t count;
    struct auth_address addresses[ALLOW_ADDRESSES_MAX];
};

struct allow {
    bool active; /* Else everybody is allowed. */
    uint32_t net_count;
    struct auth_net nets[ALLOW_NETS_MAX];
    uint32_t host_count;
    struct allow_host hosts[ALLOW_HOSTS_MAX];
};

/* The rules anew; hosts that stay keep their addresses. False if there are too many. */
bool allow_set(
    struct allow *allow, const struct conf_restapi *settings, const struct ha_view *view);

bool allow_contains(const struct allow *allow, const struct auth_address *address);

/* "10.0.0.0/24", "::1"; false for what is neither a network nor an address. */
bool allow_parse(const char *text, struct auth_net *net);

struct sockaddr;

/* False if it is neither IPv4 nor IPv6. */
bool allow_address(const struct sockaddr *from, struct auth_address *address);

#endif

#include "api/allow_sys.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/text.h"

#define V4_OFFSET_BITS 96

/* ::ffff:a.b.c.d */
static void map_v4(const void *v4, struct auth_address *address)
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    memcpy(&address->bytes[0], prefix, sizeof prefix);
    memcpy(&address->bytes[sizeof prefix], v4, 4);
}

bool allow_address(const struct sockaddr *from, struct auth_address *address)
{
    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, from, sizeof in);
        map_v4(&in.sin_addr, address);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in;

        memcpy(&in, from, sizeof in);
        memcpy(address->bytes, &in.sin6_addr, sizeof address->bytes);
        return true;
    }
    return false;
}

static bool parse_prefix(const char *text, unsigned long max, unsigned long *bits)
{
    char *end;

    if (*text < '0' || *text > '9') {
        return false;
    }
    *bits = strtoul(text, &end, 10);
    return *end == '\0' && *bits <= max;
}

bool allow_parse(const char *text, struct auth_net *net)
{
    const char *slash = strchr(text, '/');
    const size_t length = slash == NULL ? strlen(text) : (size_t)(slash - text);
    char host[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    struct in_addr v4;
    unsigned long bits;

    if (length >= sizeof host) {
        return false;
    }
    memcpy(host, text, length);
    host[length] = '\0';
    if (inet_pton(AF_INET, host, &v4) == 1) {
        bits = 32;
        if (slash != NULL && !parse_prefix(slash + 1, 32, &bits)) {
            return false;
        }
        map_v4(&v4, &net->address);
        net->prefix_bits = (uint8_t)(V4_OFFSET_BITS + bits);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        bits = 128;
        if (slash != NULL && !parse_prefix(slash + 1, 128, &bits)) {
            return false;
        }
        memcpy(net->address.bytes, &v6, sizeof net->address.bytes);
        net->prefix_bits = (uint8_t)bits;
        return true;
    }
    return false;
}

static const struct allow_host *find_host(const struct allow *allow, const char *name)
{
    for (uint32_t i = 0; i < allow->host_count; i++) {
        if (text_equal_nocase(allow->hosts[i].name, name)) {
            return &allow->hosts[i];
        }
    }
    return NULL;
}

/* A network, an address, or a host to be looked up. */
static bool add(struct allow *allow, const struct allow *old, const char *text)
{
    const struct allow_host *known;
    struct allow_host *host;
    struct auth_net net;

    if (allow_parse(text, &net)) {
        if (allow->net_count == ALLOW_NETS_MAX) {
            return false;
        }
        allow->nets[allow->net_count++] = net;
        return true;
    }
    if (find_host(allow, text) != NULL) {
        return true;
    }
    if (allow->host_count == ALLOW_HOSTS_MAX) {
        return false;
    }
    host = &allow->hosts[allow->host_count];
    if (!text_copy(host->name, sizeof host->name, text)) {
        return false;
    }
    known = find_host(old, text);
    if (known != NULL) {
        *host = *known;
    }
    allow->host_count++;
    return true;
}

bool allow_set(struct allow *allow, const struct conf_restapi *settings, const struct ha_view *view)
{
    const struct allow old = *allow;
    const struct node *list = settings->allowlist;
    bool fits = true;

    memset(allow, 0, sizeof *allow);
    allow->active = (list != NULL && list->count > 0) || settings->allowlist_include_members;
    for (const struct node *item = list == NULL ? NULL : list->first; item != NULL;
         item = item->next) {
        const char *text = node_text(item);

        fits = (text == NULL || add(allow, &old, text)) && fits;
    }
    for (uint32_t i = 0; settings->allowlist_include_members && i < view->member_count; i++) {
        char host[CONF_HOST_MAX];

        if (auth_url_host(view->members[i].member.api_url, host, sizeof host)) {
            fits = add(allow, &old, host) && fits;
        }
    }
    return fits;
}

bool allow_contains(const struct allow *allow, const struct auth_address *address)
{
    for (uint32_t i = 0; i < allow->net_count; i++) {
        if (auth_net_contains(&allow->nets[i], address)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < allow->host_count; i++) {
        const struct allow_host *host = &allow->hosts[i];

        for (uint32_t j = 0; j < host->count; j++) {
            if (memcmp(&host->addresses[j], address, sizeof *address) == 0) {
                return true;
            }
        }
    }
    return !allow->active;
}

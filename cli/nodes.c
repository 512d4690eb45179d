#include "cli/nodes.h"

#include <string.h>

#include "base/text.h"

/* Behind "http://" if there is a scheme, else the beginning. */
static const char *after_scheme(const char *address)
{
    const char *mark = strstr(address, "://");

    return mark == NULL ? address : mark + 3;
}

/* Length of "[::1]" or of what stands before the first colon or slash. */
static size_t host_length(const char *host)
{
    const char *end = host[0] == '[' ? strchr(host, ']') : NULL;

    return end != NULL ? (size_t)(end - host) + 1 : strcspn(host, ":/");
}

bool nodes_host(const char *address, char *host, uint32_t size)
{
    const char *start = after_scheme(address);
    const size_t length = host_length(start);

    if (length == 0 || length >= size) {
        return false;
    }
    memcpy(host, start, length);
    host[length] = '\0';
    return true;
}

const char *nodes_port(const char *address, const char *fallback)
{
    const char *host = after_scheme(address);
    const char *port = host + host_length(host);

    return port[0] == ':' && port[1] != '\0' ? port + 1 : fallback;
}

bool nodes_base(const char *address, const char *scheme, const char *port, char url[NODES_URL_SIZE])
{
    const char *host = after_scheme(address);
    const char *own_port = nodes_port(address, port);
    struct text text;

    text_init(&text, url, NODES_URL_SIZE);
    if (host != address) {
        text_add_bytes(&text, address, (size_t)(host - address));
    } else {
        text_addf(&text, "%s://", scheme);
    }
    text_add_bytes(&text, host, host_length(host));
    text_add(&text, ":");
    text_add_bytes(&text, own_port, strcspn(own_port, "/"));
    return host_length(host) > 0 && !text_overflowed(&text);
}

static uint32_t find(const struct nodes *nodes, const char *url)
{
    uint32_t i = 0;

    while (i < nodes->count && !text_equal(nodes->urls[i], url)) {
        i++;
    }
    return i;
}

void nodes_add(struct nodes *nodes, const char *address, const char *scheme, const char *port)
{
    char url[NODES_URL_SIZE];

    if (nodes->count < NODES_MAX && nodes_base(address, scheme, port, url) &&
        find(nodes, url) == nodes->count) {
        memcpy(nodes->urls[nodes->count++], url, sizeof url);
    }
}

void nodes_add_list(struct nodes *nodes, const char *list, const char *scheme, const char *port)
{
    while (*list != '\0') {
        const size_t length = strcspn(list, ", ");
        char address[NODES_URL_SIZE];

        if (length > 0 && length < sizeof address) {
            memcpy(address, list, length);
            address[length] = '\0';
            nodes_add(nodes, address, scheme, port);
        }
        list += length;
        list += *list != '\0';
    }
}

void nodes_prefer(struct nodes *nodes, const char *address, const char *scheme, const char *port)
{
    char url[NODES_URL_SIZE];
    uint32_t place;

    nodes_add(nodes, address, scheme, port);
    if (!nodes_base(address, scheme, port, url)) {
        return;
    }
    place = find(nodes, url);
    if (place == nodes->count) {
        return; /* There was no room for it. */
    }
    memmove(nodes->urls[1], nodes->urls[0], place * sizeof nodes->urls[0]);
    memcpy(nodes->urls[0], url, sizeof url);
}

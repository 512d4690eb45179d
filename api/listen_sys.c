#include "api/listen_sys.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"

#define HOST_SIZE 256

/* Left to the rest of the process: peers, PostgreSQL, files. */
#define RESERVED_FILES  200
#define CONNECTIONS_MIN 16

static bool set_flag(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static int open_one(const struct addrinfo *address, int backlog)
{
    const int fd = socket(
        address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
        address->ai_protocol);
    int saved;

    if (fd == -1) {
        return -1;
    }
    /* An IPv6 wildcard serves IPv4 as well; a machine that refuses that is left as it is. */
    if (address->ai_family == AF_INET6) {
        (void)set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    }
    if (set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, backlog) == 0) {
        return fd;
    }
    saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

static enum status fail_errno(struct err *err, const char *host, uint16_t port)
{
    const int code = errno;

    return code == EADDRINUSE ? ERR(err, REFUSED, "could not listen on \"%s\", port %u: %s", host,
                                    port, strerror(code))
                              : ERR(err, IO, "could not listen on \"%s\", port %u: %s", host, port,
                                    strerror(code));
}

static int open_all_addresses(uint16_t port, int backlog)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    const struct addrinfo any6 = {
        .ai_family = AF_INET6,
        .ai_socktype = SOCK_STREAM,
        .ai_addr = (struct sockaddr *)&v6,
        .ai_addrlen = sizeof v6,
    };
    const struct addrinfo any4 = {
        .ai_family = AF_INET,
        .ai_socktype = SOCK_STREAM,
        .ai_addr = (struct sockaddr *)&v4,
        .ai_addrlen = sizeof v4,
    };
    const int fd = open_one(&any6, backlog);

    /* IPv6 is not built in, or is switched off. */
    return fd == -1 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL) ? open_one(&any4, backlog)
                                                                         : fd;
}

static enum status open_named(
    const char *host, uint16_t port, int backlog, int *fd, struct err *err)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[8];
    int rc;

    (void)snprintf(service, sizeof service, "%u", port);
    rc = getaddrinfo(host, service, &hints, &found);
    if (rc != 0) {
        return ERR(err, IO, "could not look up \"%s\": %s", host, gai_strerror(rc));
    }
    *fd = open_one(found, backlog);
    rc = errno;
    freeaddrinfo(found);
    errno = rc;
    return STATUS_OK;
}

static enum status open_host(
    const char *host, uint16_t port, int backlog, struct listen_sockets *sockets, struct err *err)
{
    enum status status = STATUS_OK;
    int fd = -1;

    if (sockets->count == LISTEN_MAX) {
        return ERR(err, INVALID, "more than %d addresses to listen on", LISTEN_MAX);
    }
    if (host[0] == '\0' || text_equal(host, "*")) {
        fd = open_all_addresses(port, backlog);
    } else {
        status = open_named(host, port, backlog, &fd, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (fd == -1) {
        return fail_errno(err, host, port);
    }
    sockets->fds[sockets->count++] = fd;
    return STATUS_OK;
}

enum status listen_open(
    const char *hosts, uint16_t port, int backlog, struct listen_sockets *sockets, struct err *err)
{
    enum status status;

    sockets->count = 0;
    do {
        const size_t length = strcspn(hosts, ",");
        char host[HOST_SIZE];

        if (length >= sizeof host) {
            status = ERR(err, INVALID, "a host to listen on is too long");
        } else {
            memcpy(host, hosts, length);
            host[length] = '\0';
            status = open_host(host, port, backlog, sockets, err);
        }
        hosts += length;
        hosts += *hosts == ',';
    } while (status == STATUS_OK && *hosts != '\0');
    if (status != STATUS_OK) {
        listen_close(sockets);
    }
    return status;
}

void listen_close(struct listen_sockets *sockets)
{
    for (uint32_t i = 0; i < sockets->count; i++) {
        (void)close(sockets->fds[i]);
    }
    sockets->count = 0;
}

uint32_t listen_connection_cap(uint32_t wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted + RESERVED_FILES) {
        return wanted;
    }
    return limit.rlim_cur > RESERVED_FILES + CONNECTIONS_MIN
               ? (uint32_t)limit.rlim_cur - RESERVED_FILES
               : CONNECTIONS_MIN;
}

uint16_t listen_port(int fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t size = sizeof storage;
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;

    if (getsockname(fd, (struct sockaddr *)&storage, &size) != 0) {
        return 0;
    }
    if (storage.ss_family == AF_INET6) {
        memcpy(&v6, &storage, sizeof v6);
        return ntohs(v6.sin6_port);
    }
    memcpy(&v4, &storage, sizeof v4);
    return ntohs(v4.sin_port);
}

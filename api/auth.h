/*
 * api/auth.h - may this caller change something?
 *
 * Pure. The order of the checks is what users see: where it comes from, then its
 * certificate, then its name and password. Whatever only reads is not asked.
 */
#ifndef PGBATON_API_AUTH_H
#define PGBATON_API_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An IPv6 address, or an IPv4 one mapped into it. */
struct auth_address {
    uint8_t bytes[16];
};

struct auth_net {
    struct auth_address address;
    uint8_t prefix_bits; /* 0 to 128 */
};

bool auth_net_contains(const struct auth_net *net, const struct auth_address *address);

/* "n1" of "https://n1:8008/patroni", without the brackets of an IPv6 address; false if there is
 * none or it does not fit. */
bool auth_url_host(const char *url, char *host, size_t size);

struct auth_rules {
    bool check_address;
    bool check_certificate;
    const char *username; /* NULL: no password is asked for. */
    const char *password;
};

struct auth_caller {
    bool address_allowed;
    bool certificate_ok;
    bool has_login;
    const char *username; /* NULL: none. */
    const char *password;
};

enum auth_verdict {
    AUTH_OK,
    AUTH_ADDRESS,     /* 403 */
    AUTH_CERTIFICATE, /* 403 */
    AUTH_NO_LOGIN,    /* 401 */
    AUTH_WRONG_LOGIN, /* 401 */
};

/* Takes the same time whether the first or the last byte of a password is wrong. */
enum auth_verdict auth_judge(const struct auth_rules *rules, const struct auth_caller *caller);

uint32_t auth_code(enum auth_verdict verdict);
const char *auth_text(enum auth_verdict verdict);

#endif

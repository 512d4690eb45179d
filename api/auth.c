#include "api/auth.h"

#include <stddef.h>
#include <string.h>

#include "base/assert.h"

#define ADDRESS_BITS 128

bool auth_net_contains(const struct auth_net *net, const struct auth_address *address)
{
    ASSERT(net->prefix_bits <= ADDRESS_BITS);
    for (uint32_t bit = 0; bit < net->prefix_bits; bit += 8) {
        const uint32_t left = net->prefix_bits - bit;
        const uint32_t mask = left >= 8 ? 0xffu : 0xffu << (8 - left) & 0xffu;

        if (((net->address.bytes[bit / 8] ^ address->bytes[bit / 8]) & mask) != 0) {
            return false;
        }
    }
    return true;
}

bool auth_url_host(const char *url, char *host, size_t size)
{
    const char *start = strstr(url, "://");
    size_t length;

    if (start == NULL) {
        return false;
    }
    start += 3;
    if (*start == '[') {
        start++;
        length = strcspn(start, "]");
    } else {
        length = strcspn(start, ":/");
    }
    if (length == 0 || length >= size) {
        return false;
    }
    memcpy(host, start, length);
    host[length] = '\0';
    return true;
}

/* Every byte of what was given is looked at, and none more of what is right shows in the time. */
static bool same_secret(const char *given, const char *right)
{
    const size_t given_size = strlen(given) + 1;
    const size_t right_size = strlen(right) + 1;
    uint32_t difference = given_size == right_size ? 0 : 1;

    for (size_t i = 0; i < given_size; i++) {
        difference |= (uint8_t)given[i] ^ (uint32_t)(uint8_t)right[i % right_size];
    }
    return difference == 0;
}

static bool login_matches(const struct auth_rules *rules, const struct auth_caller *caller)
{
    const char *username = caller->username == NULL ? "" : caller->username;
    const char *password = caller->password == NULL ? "" : caller->password;
    const char *wanted = rules->password == NULL ? "" : rules->password;
    const bool username_ok = same_secret(username, rules->username);
    const bool password_ok = same_secret(password, wanted);

    return username_ok && password_ok;
}

enum auth_verdict auth_judge(const struct auth_rules *rules, const struct auth_caller *caller)
{
    if (rules->check_address && !caller->address_allowed) {
        return AUTH_ADDRESS;
    }
    if (rules->check_certificate && !caller->certificate_ok) {
        return AUTH_CERTIFICATE;
    }
    if (rules->username == NULL) {
        return AUTH_OK;
    }
    if (!caller->has_login) {
        return AUTH_NO_LOGIN;
    }
    return login_matches(rules, caller) ? AUTH_OK : AUTH_WRONG_LOGIN;
}

uint32_t auth_code(enum auth_verdict verdict)
{
    switch (verdict) {
    case AUTH_OK:
        return 200;
    case AUTH_ADDRESS:
    case AUTH_CERTIFICATE:
        return 403;
    case AUTH_NO_LOGIN:
    case AUTH_WRONG_LOGIN:
        return 401;
    }
    UNREACHABLE();
}

const char *auth_text(enum auth_verdict verdict)
{
    switch (verdict) {
    case AUTH_OK:
        return "ok";
    case AUTH_ADDRESS:
        return "access is denied";
    case AUTH_CERTIFICATE:
        return "client certificate required";
    case AUTH_NO_LOGIN:
        return "no auth header received";
    case AUTH_WRONG_LOGIN:
        return "not authenticated";
    }
    UNREACHABLE();
}

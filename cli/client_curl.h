/*
 * cli/client_curl.h - one HTTP request, one answer.
 *
 * An answer of any code is a success here: what a code means is the caller's business. What
 * failed before the request was sent is STATUS_IO, so that another node may be asked; what
 * failed afterwards is STATUS_TIMEOUT: the node may have done what it was asked.
 */
#ifndef PGBATON_CLI_CLIENT_CURL_H
#define PGBATON_CLI_CLIENT_CURL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define CLIENT_ETAG_SIZE 128

/* Texts are borrowed for the life of the client; NULL or empty: not set. */
struct client_settings {
    const char *username;
    const char *password;
    const char *cacert; /* File with the certificates to trust; else those of the system. */
    const char *certfile;
    const char *keyfile;
    const char *keyfile_password;
    bool insecure; /* The server's certificate is not checked. */
};

struct client_request {
    const char *method;
    const char *url;
    const char *body;     /* JSON; NULL: none. */
    const char *if_match; /* An entity tag as an answer gave it; NULL or empty: none. */
    uint64_t timeout_ms;  /* For the whole exchange. */
};

struct client_answer {
    long code;
    char etag[CLIENT_ETAG_SIZE]; /* Empty if there was none. */
    char *body;                  /* Ends with NUL; NULL only after a failure. */
    size_t length;               /* bytes */
};

struct client;

MUST_CHECK enum status client_create(
    const struct client_settings *settings, struct client **client, struct err *err);
void client_destroy(struct client *client);

/* Whatever it returns, give the answer to client_answer_deinit(). */
MUST_CHECK enum status client_call(
    struct client *client, const struct client_request *request, struct client_answer *answer,
    struct err *err);

void client_answer_deinit(struct client_answer *answer);

#endif

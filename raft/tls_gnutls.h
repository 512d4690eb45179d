/*
 * raft/tls_gnutls.h - TLS 1.3 as bytes in, bytes out.
 *
 * Knows no socket, never blocks, and has no clock: whoever owns the connection feeds what
 * came from the network, sends what waits in tls_output(), and watches the deadline of
 * the handshake. Both sides prove themselves, by the key that the cluster's password
 * gives, or by certificates of one authority.
 */
#ifndef PGBATON_RAFT_TLS_GNUTLS_H
#define PGBATON_RAFT_TLS_GNUTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "raft/buffer_sys.h"

/* Either a password with its scope, or all three files. */
struct tls_settings {
    const char *password; /* NULL: certificates. */
    const char *scope;    /* Clusters with the same password but another name stay apart. */
    const char *certfile;
    const char *keyfile;
    const char *cafile;
};

struct tls_keys;

/*
 * Reads the files, or derives the key (PBKDF2, some tens of milliseconds: at start only).
 * INVALID: a file or the choice of settings is no good.
 */
MUST_CHECK enum status tls_keys_create(
    const struct tls_settings *settings, struct tls_keys **keys, struct err *err);
void tls_keys_destroy(struct tls_keys *keys); /* NULL is allowed; after the last session. */

enum tls_side {
    TLS_CLIENT,
    TLS_SERVER,
};

struct tls;

/* `keys` are borrowed until tls_destroy(). */
MUST_CHECK enum status tls_create(
    const struct tls_keys *keys, enum tls_side side, struct tls **tls, struct err *err);
void tls_destroy(struct tls *tls); /* NULL is allowed. */

/* Puts a client's first message into the output; on a server it does nothing. */
MUST_CHECK enum status tls_start(struct tls *tls, struct err *err);

/*
 * Takes bytes from the network: goes on with the handshake, then decrypts into
 * tls_input(). REFUSED with the reason if the session is over; the output may then hold
 * an alert that tells the other side, and nothing else of the session may be used.
 */
MUST_CHECK enum status tls_feed(
    struct tls *tls, const uint8_t *bytes, size_t size, struct err *err);

/* The handshake is done. A client may believe so when the server is still to refuse it. */
bool tls_ready(const struct tls *tls);

/* Encrypts a head and a body, one behind the other, into the output. Ready sessions only. */
MUST_CHECK enum status tls_write(
    struct tls *tls, const uint8_t *head, size_t head_size, const uint8_t *body, size_t body_size,
    struct err *err);

/* True if the other side's certificate is for `host`; always, with a password. */
bool tls_peer_is(const struct tls *tls, const char *host);

struct buffer *tls_input(struct tls *tls);  /* Plain text for the owner to consume. */
struct buffer *tls_output(struct tls *tls); /* Cipher text for the owner to send. */

#endif

/*
 * api/peer_gnutls.h - the certificate of whoever is at the other end of a TLS session.
 *
 * A session is GnuTLS's own, handed through as it comes from the HTTP library.
 */
#ifndef PGBATON_API_PEER_GNUTLS_H
#define PGBATON_API_PEER_GNUTLS_H

#include <stdbool.h>

/* Before the handshake: fail it unless a certificate is shown that a known authority signed. */
void peer_require(void *session);

/* After it: such a certificate was shown. */
bool peer_certificate_ok(void *session);

#endif

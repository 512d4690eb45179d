#include "api/peer_gnutls.h"

#include <gnutls/gnutls.h>

void peer_require(void *session)
{
    gnutls_certificate_server_set_request((gnutls_session_t)session, GNUTLS_CERT_REQUIRE);
    gnutls_session_set_verify_cert((gnutls_session_t)session, NULL, 0);
}

bool peer_certificate_ok(void *session)
{
    unsigned status = 0;

    return gnutls_certificate_type_get((gnutls_session_t)session) == GNUTLS_CRT_X509 &&
           gnutls_certificate_verify_peers2((gnutls_session_t)session, &status) == 0 && status == 0;
}

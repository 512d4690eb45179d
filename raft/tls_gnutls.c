/*
 * GnuTLS pulls from `received` and pushes to `output`. An empty `received` is EAGAIN to
 * it, on which every call returns and is repeated when more has come.
 *
 * The password becomes an external pre-shared key, always together with an ephemeral
 * Diffie-Hellman exchange: a key that leaks later opens no recorded traffic. Whoever sees
 * a handshake can try passwords against it at leisure, so the key is derived slowly.
 */
#include "raft/tls_gnutls.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/name.h"
#include "base/text.h"

#define KEY_BYTES        32
#define KEY_ROUNDS       100000
#define IDENTITY_SIZE    256
#define SCOPE_SIZE       64 /* As much of another's as is shown. */
#define READ_CHUNK_BYTES ((size_t)16 * 1024)

/* External keys are bound to SHA-256, and so are the ciphers that can go with them. */
#define COMMON_PRIORITY                                                     \
    "NONE:+VERS-TLS1.3:+CIPHER-ALL:-AES-256-GCM:-AES-128-CCM:-AES-256-CCM:" \
    "+AEAD:+GROUP-X25519:+GROUP-SECP256R1:+SIGN-ALL:+COMP-NULL:%DISABLE_TLS13_COMPAT_MODE"
#define PASSWORD_PRIORITY    COMMON_PRIORITY ":+ECDHE-PSK"
#define CERTIFICATE_PRIORITY COMMON_PRIORITY ":+ECDHE-ECDSA:+ECDHE-RSA:+CTYPE-X509"

struct tls_keys {
    gnutls_priority_t priority;
    bool is_password;
    gnutls_psk_client_credentials_t psk_client;
    gnutls_psk_server_credentials_t psk_server;
    gnutls_certificate_credentials_t certificates;
    char identity[IDENTITY_SIZE]; /* Names the key to a server. */
    uint8_t key[KEY_BYTES];
};

struct tls {
    const struct tls_keys *keys;
    gnutls_session_t session;
    enum tls_side side;
    bool ready;
    bool over;                    /* Failed or closed: GnuTLS is not called again. */
    bool is_other_scope;          /* A client named a key we do not have ... */
    char other_scope[SCOPE_SIZE]; /* ... of this scope. */
    struct buffer received;
    struct buffer input;
    struct buffer output;
};

/* ------------------------------------------------------------------------- keys */

static enum status gnutls_err(struct err *err, const char *what, int rc)
{
    return ERR(err, INVALID, "could not %s: %s", what, gnutls_strerror(rc));
}

/* The key is named "what:scope". */
static const char *scope_of(const char *identity)
{
    const char *colon = strchr(identity, ':');

    return colon == NULL ? identity : colon + 1;
}

/* For the log, and anybody may have sent it. */
static void copy_scope(char scope[SCOPE_SIZE], const char *identity)
{
    text_copy_cut(scope, SCOPE_SIZE, scope_of(identity));
    for (char *c = scope; *c != '\0'; c++) {
        if (*c < ' ' || *c > '~' || *c == '"') {
            *c = '?';
        }
    }
}

/* The server's side of the password: which key does the client mean. */
static int find_key(gnutls_session_t session, const char *identity, gnutls_datum_t *key)
{
    struct tls *tls = gnutls_session_get_ptr(session);

    if (!text_equal(identity, tls->keys->identity)) {
        tls->is_other_scope = true;
        copy_scope(tls->other_scope, identity);
        return -1;
    }
    key->data = gnutls_malloc(KEY_BYTES); /* GnuTLS frees it. */
    if (key->data == NULL) {
        return -1;
    }
    memcpy(key->data, tls->keys->key, KEY_BYTES);
    key->size = KEY_BYTES;
    return 0;
}

static enum status derive_key(
    struct tls_keys *keys, const struct tls_settings *settings, struct err *err)
{
    gnutls_datum_t password = {.size = (unsigned int)strlen(settings->password)};
    gnutls_datum_t salt = {.size = (unsigned int)strlen(keys->identity)};
    unsigned char *password_copy = malloc((size_t)password.size + 1);
    unsigned char *salt_copy = malloc((size_t)salt.size + 1);
    int rc;

    /* The library's type has no const, though it only reads. */
    ASSERT(password_copy != NULL);
    ASSERT(salt_copy != NULL);
    memcpy(password_copy, settings->password, password.size);
    memcpy(salt_copy, keys->identity, salt.size);
    password.data = password_copy;
    salt.data = salt_copy;
    rc = gnutls_pbkdf2(GNUTLS_MAC_SHA256, &password, &salt, KEY_ROUNDS, keys->key, KEY_BYTES);
    gnutls_memset(password_copy, 0, password.size);
    free(password_copy);
    free(salt_copy);
    return rc == 0 ? STATUS_OK : gnutls_err(err, "derive a key from the password", rc);
}

static enum status use_password(
    struct tls_keys *keys, const struct tls_settings *settings, struct err *err)
{
    const gnutls_datum_t key = {.data = keys->key, .size = KEY_BYTES};
    struct text identity;
    enum status status;
    int rc;

    text_init(&identity, keys->identity, sizeof keys->identity);
    text_addf(&identity, "%s-peer-1:%s", PRODUCT_NAME, settings->scope);
    if (text_overflowed(&identity)) {
        return ERR(err, INVALID, "the scope is too long: \"%s\"", settings->scope);
    }
    if (settings->password[0] == '\0') {
        return ERR(err, INVALID, "the password is empty");
    }
    status = derive_key(keys, settings, err);
    if (status != STATUS_OK) {
        return status;
    }
    rc = gnutls_psk_allocate_client_credentials(&keys->psk_client);
    if (rc == 0) {
        rc = gnutls_psk_set_client_credentials(
            keys->psk_client, keys->identity, &key, GNUTLS_PSK_KEY_RAW);
    }
    if (rc == 0) {
        rc = gnutls_psk_allocate_server_credentials(&keys->psk_server);
    }
    if (rc != 0) {
        return gnutls_err(err, "set the password up", rc);
    }
    gnutls_psk_set_server_credentials_function(keys->psk_server, find_key);
    return STATUS_OK;
}

static enum status use_files(
    struct tls_keys *keys, const struct tls_settings *settings, struct err *err)
{
    enum status status;
    int rc = gnutls_certificate_allocate_credentials(&keys->certificates);

    if (rc != 0) {
        return gnutls_err(err, "set certificates up", rc);
    }
    rc = gnutls_certificate_set_x509_key_file(
        keys->certificates, settings->certfile, settings->keyfile, GNUTLS_X509_FMT_PEM);
    if (rc != 0) {
        status = gnutls_err(err, "use the certificate and its key", rc);
        err_add_context(err, "\"%s\", \"%s\"", settings->certfile, settings->keyfile);
        return status;
    }
    rc = gnutls_certificate_set_x509_trust_file(
        keys->certificates, settings->cafile, GNUTLS_X509_FMT_PEM);
    if (rc <= 0) { /* It returns how many it has read. */
        status = rc == 0 ? ERR(err, INVALID, "no certificate in \"%s\"", settings->cafile)
                         : gnutls_err(err, "use the certificate authority", rc);
        err_add_context(err, "\"%s\"", settings->cafile);
        return status;
    }
    return STATUS_OK;
}

enum status tls_keys_create(
    const struct tls_settings *settings, struct tls_keys **keys, struct err *err)
{
    struct tls_keys *made = calloc(1, sizeof *made);
    enum status status;
    int rc;

    ASSERT(made != NULL);
    *keys = NULL;
    made->is_password = settings->password != NULL;
    if (made->is_password) {
        status = use_password(made, settings, err);
    } else if (
        settings->certfile == NULL || settings->keyfile == NULL || settings->cafile == NULL) {
        status = ERR(err, INVALID, "a certificate needs its key and the authority's certificate");
    } else {
        status = use_files(made, settings, err);
    }
    if (status == STATUS_OK) {
        rc = gnutls_priority_init(
            &made->priority, made->is_password ? PASSWORD_PRIORITY : CERTIFICATE_PRIORITY, NULL);
        status = rc == 0 ? STATUS_OK : gnutls_err(err, "choose TLS 1.3", rc);
    }
    if (status != STATUS_OK) {
        tls_keys_destroy(made);
        return status;
    }
    *keys = made;
    return STATUS_OK;
}

void tls_keys_destroy(struct tls_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    if (keys->psk_client != NULL) {
        gnutls_psk_free_client_credentials(keys->psk_client);
    }
    if (keys->psk_server != NULL) {
        gnutls_psk_free_server_credentials(keys->psk_server);
    }
    if (keys->certificates != NULL) {
        gnutls_certificate_free_credentials(keys->certificates);
    }
    if (keys->priority != NULL) {
        gnutls_priority_deinit(keys->priority);
    }
    gnutls_memset(keys->key, 0, sizeof keys->key);
    free(keys);
}

/* ---------------------------------------------------------------------- session */

static ssize_t pull(gnutls_transport_ptr_t pointer, void *bytes, size_t size)
{
    struct tls *tls = pointer;
    const size_t count = size < tls->received.length ? size : tls->received.length;

    if (count == 0) {
        gnutls_transport_set_errno(tls->session, EAGAIN);
        return -1;
    }
    memcpy(bytes, buffer_bytes(&tls->received), count);
    buffer_consume(&tls->received, count);
    return (ssize_t)count;
}

static ssize_t push(gnutls_transport_ptr_t pointer, const void *bytes, size_t size)
{
    struct tls *tls = pointer;

    buffer_add(&tls->output, bytes, size);
    return (ssize_t)size;
}

static int set_credentials(struct tls *tls)
{
    const struct tls_keys *keys = tls->keys;

    if (!keys->is_password) {
        return gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, keys->certificates);
    }
    return tls->side == TLS_CLIENT
               ? gnutls_credentials_set(tls->session, GNUTLS_CRD_PSK, keys->psk_client)
               : gnutls_credentials_set(tls->session, GNUTLS_CRD_PSK, keys->psk_server);
}

enum status tls_create(
    const struct tls_keys *keys, enum tls_side side, struct tls **tls, struct err *err)
{
    const unsigned int role = side == TLS_CLIENT ? GNUTLS_CLIENT : GNUTLS_SERVER;
    struct tls *made = calloc(1, sizeof *made);
    int rc;

    ASSERT(made != NULL);
    *tls = NULL;
    made->keys = keys;
    made->side = side;
    /*
     * Without tickets: peers keep their connections, and a session resumed proves nothing new.
     * A certificate is sent even if the server will not like it: then the server can say why.
     */
    rc = gnutls_init(
        &made->session,
        role | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL | GNUTLS_FORCE_CLIENT_CERT);
    if (rc == 0) {
        rc = gnutls_priority_set(made->session, keys->priority);
    }
    if (rc == 0) {
        rc = set_credentials(made);
    }
    if (rc != 0) {
        tls_destroy(made);
        return gnutls_err(err, "set a TLS session up", rc);
    }
    gnutls_session_set_ptr(made->session, made);
    gnutls_transport_set_ptr(made->session, made);
    gnutls_transport_set_pull_function(made->session, pull);
    gnutls_transport_set_push_function(made->session, push);
    if (!keys->is_password) {
        gnutls_certificate_server_set_request(made->session, GNUTLS_CERT_REQUIRE);
        /* The chain; whose certificate it is, tls_peer_is() says when the name is known. */
        gnutls_session_set_verify_cert(made->session, NULL, 0);
    }
    *tls = made;
    return STATUS_OK;
}

void tls_destroy(struct tls *tls)
{
    if (tls == NULL) {
        return;
    }
    if (tls->session != NULL) {
        gnutls_deinit(tls->session);
    }
    buffer_free(&tls->received);
    buffer_free(&tls->input);
    buffer_free(&tls->output);
    free(tls);
}

/* What a wrong password looks like, which neither side can tell from damaged bytes. */
static bool smells_of_password(const struct tls *tls, int rc)
{
    if (!tls->keys->is_password) {
        return false;
    }
    if (rc != GNUTLS_E_FATAL_ALERT_RECEIVED) {
        return rc == GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER || rc == GNUTLS_E_DECRYPTION_FAILED ||
               rc == GNUTLS_E_INSUFFICIENT_CREDENTIALS || rc == GNUTLS_E_NO_COMMON_KEY_SHARE ||
               rc == GNUTLS_E_NO_CIPHER_SUITES;
    }
    switch (gnutls_alert_get(tls->session)) {
    case GNUTLS_A_BAD_RECORD_MAC:
    case GNUTLS_A_DECRYPT_ERROR:
    case GNUTLS_A_ILLEGAL_PARAMETER:
    case GNUTLS_A_HANDSHAKE_FAILURE:
    case GNUTLS_A_INSUFFICIENT_SECURITY:
    case GNUTLS_A_INTERNAL_ERROR:
    case GNUTLS_A_UNKNOWN_PSK_IDENTITY:
        return true;
    default:
        return false;
    }
}

static enum status describe(const struct tls *tls, int rc, struct err *err)
{
    if (tls->is_other_scope) {
        return ERR(
            err, REFUSED, "wrong cluster: it is of scope \"%s\", this node of \"%s\"",
            tls->other_scope, scope_of(tls->keys->identity));
    }
    if (smells_of_password(tls, rc)) {
        return ERR(
            err, REFUSED, "wrong password, or not of scope \"%s\" (%s)",
            scope_of(tls->keys->identity), gnutls_strerror(rc));
    }
    if (rc == GNUTLS_E_FATAL_ALERT_RECEIVED) {
        const char *alert = gnutls_alert_get_name(gnutls_alert_get(tls->session));

        return ERR(err, REFUSED, "TLS was refused: %s", alert == NULL ? "unknown alert" : alert);
    }
    if (rc == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
        gnutls_datum_t text = {0};
        enum status status;

        (void)gnutls_certificate_verification_status_print(
            gnutls_session_get_verify_cert_status(tls->session), GNUTLS_CRT_X509, &text, 0);
        status =
            ERR(err, REFUSED, "its certificate is not good: %s",
                text.data == NULL ? "unknown reason" : (const char *)text.data);
        gnutls_free(text.data);
        return status;
    }
    return ERR(err, REFUSED, "TLS failed: %s", gnutls_strerror(rc));
}

static enum status give_up(struct tls *tls, int rc, struct err *err)
{
    tls->over = true;
    if (rc != GNUTLS_E_FATAL_ALERT_RECEIVED) {
        (void)gnutls_alert_send_appropriate(tls->session, rc); /* If there is none: no alert. */
    }
    return describe(tls, rc, err);
}

static enum status shake_hands(struct tls *tls, struct err *err)
{
    int rc;

    do {
        rc = gnutls_handshake(tls->session);
    } while (rc < 0 && rc != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(rc));
    if (rc == GNUTLS_E_AGAIN) {
        return STATUS_OK;
    }
    if (rc != 0) {
        return give_up(tls, rc, err);
    }
    tls->ready = true;
    return STATUS_OK;
}

static enum status decrypt(struct tls *tls, struct err *err)
{
    for (;;) {
        uint8_t *room = buffer_room(&tls->input, READ_CHUNK_BYTES);
        const ssize_t count = gnutls_record_recv(tls->session, room, READ_CHUNK_BYTES);

        if (count > 0) {
            buffer_added(&tls->input, (size_t)count);
        } else if (count == 0) {
            tls->over = true;
            return ERR(err, REFUSED, "closed by the other side");
        } else if (count == GNUTLS_E_AGAIN) {
            break;
        } else if (gnutls_error_is_fatal((int)count)) {
            return give_up(tls, (int)count, err);
        }
    }
    buffer_consume(&tls->input, 0); /* Gives the room back if nothing came. */
    return STATUS_OK;
}

enum status tls_start(struct tls *tls, struct err *err)
{
    return tls->side == TLS_CLIENT ? shake_hands(tls, err) : STATUS_OK;
}

enum status tls_feed(struct tls *tls, const uint8_t *bytes, size_t size, struct err *err)
{
    enum status status = STATUS_OK;

    ASSERT(!tls->over);
    buffer_add(&tls->received, bytes, size);
    if (!tls->ready) {
        status = shake_hands(tls, err);
    }
    return status == STATUS_OK && tls->ready ? decrypt(tls, err) : status;
}

bool tls_ready(const struct tls *tls)
{
    return tls->ready && !tls->over;
}

static int encrypt(struct tls *tls, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t count = gnutls_record_send(tls->session, bytes, size);

        if (count < 0 && gnutls_error_is_fatal((int)count)) {
            return (int)count;
        }
        if (count > 0) {
            bytes += count;
            size -= (size_t)count;
        }
    }
    return 0;
}

enum status tls_write(
    struct tls *tls, const uint8_t *head, size_t head_size, const uint8_t *body, size_t body_size,
    struct err *err)
{
    int rc;

    ASSERT(tls_ready(tls));
    gnutls_record_cork(tls->session); /* One record for both, where they fit. */
    rc = encrypt(tls, head, head_size);
    if (rc == 0) {
        rc = encrypt(tls, body, body_size);
    }
    if (rc == 0) {
        rc = gnutls_record_uncork(tls->session, GNUTLS_RECORD_WAIT);
    }
    return rc < 0 ? give_up(tls, rc, err) : STATUS_OK;
}

bool tls_peer_is(const struct tls *tls, const char *host)
{
    const gnutls_datum_t *chain;
    gnutls_x509_crt_t certificate;
    unsigned int count = 0;
    bool is_host = false;

    if (tls->keys->is_password) {
        return true;
    }
    chain = gnutls_certificate_get_peers(tls->session, &count);
    if (chain == NULL || count == 0 || gnutls_x509_crt_init(&certificate) != 0) {
        return false;
    }
    if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) == 0) {
        is_host = gnutls_x509_crt_check_hostname(certificate, host) != 0;
    }
    gnutls_x509_crt_deinit(certificate);
    return is_host;
}

struct buffer *tls_input(struct tls *tls)
{
    return &tls->input;
}

struct buffer *tls_output(struct tls *tls)
{
    return &tls->output;
}

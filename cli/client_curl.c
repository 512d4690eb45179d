/*
 * A request: reset the handle, set what never changes, set what this request asks for, perform.
 * It fails when the node cannot be reached or its certificate is refused (nothing sent), when
 * the time is over or the connection breaks (possibly sent), and when the answer is larger than
 * any node would send.
 */
#include "cli/client_curl.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/name.h"
#include "base/text.h"

#define CONNECT_TIMEOUT_MS 2000L
#define BODY_BYTES_MAX     ((size_t)8 << 20)

struct client {
    struct client_settings settings;
    CURL *curl;
};

/* What a running request collects. */
struct exchange {
    struct client_answer *answer;
    bool too_large;
};

enum status client_create(
    const struct client_settings *settings, struct client **client, struct err *err)
{
    struct client *made = NULL;

    *client = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return ERR(err, IO, "could not start the HTTP library");
    }
    made = calloc(1, sizeof *made);
    if (made == NULL) {
        return ERR(err, FULL, "out of memory");
    }
    made->settings = *settings;
    made->curl = curl_easy_init();
    if (made->curl == NULL) {
        free(made);
        return ERR(err, FULL, "out of memory");
    }
    *client = made;
    return STATUS_OK;
}

void client_destroy(struct client *client)
{
    if (client == NULL) {
        return;
    }
    curl_easy_cleanup(client->curl);
    curl_global_cleanup();
    free(client);
}

static size_t on_body(char *data, size_t unit, size_t count, void *user)
{
    struct exchange *exchange = user;
    struct client_answer *answer = exchange->answer;
    const size_t size = unit * count; /* `unit` is always 1. */
    char *body;

    if (size > BODY_BYTES_MAX - answer->length) {
        exchange->too_large = true;
        return 0;
    }
    body = realloc(answer->body, answer->length + size + 1);
    if (body == NULL) {
        return 0;
    }
    memcpy(body + answer->length, data, size);
    answer->body = body;
    answer->length += size;
    body[answer->length] = '\0';
    return size;
}

/* `line` is one header with its line end and without NUL; only the entity tag is of interest. */
static size_t on_header(char *line, size_t unit, size_t count, void *user)
{
    static const char name[] = "etag:";
    const size_t size = unit * count;
    struct client_answer *answer = ((struct exchange *)user)->answer;
    const char *value = line + sizeof name - 1;
    const char *end = line + size;

    if (size < sizeof name || !curl_strnequal(line, name, sizeof name - 1)) {
        return size;
    }
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) {
        end--;
    }
    /* A tag that does not fit could not be sent back as it was: then there is none. */
    if ((size_t)(end - value) < sizeof answer->etag) {
        memcpy(answer->etag, value, (size_t)(end - value));
        answer->etag[end - value] = '\0';
    }
    return size;
}

static bool is_set(const char *string)
{
    return string != NULL && string[0] != '\0';
}

static CURLcode set_text(CURL *curl, CURLoption option, const char *value)
{
    return is_set(value) ? curl_easy_setopt(curl, option, value) : CURLE_OK;
}

static CURLcode set_security(CURL *curl, const struct client_settings *settings)
{
    CURLcode code = CURLE_OK;

    if (is_set(settings->username)) {
        code = curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    }
    code = code != CURLE_OK ? code : set_text(curl, CURLOPT_USERNAME, settings->username);
    code = code != CURLE_OK ? code : set_text(curl, CURLOPT_PASSWORD, settings->password);
    code = code != CURLE_OK ? code : set_text(curl, CURLOPT_CAINFO, settings->cacert);
    code = code != CURLE_OK ? code : set_text(curl, CURLOPT_SSLCERT, settings->certfile);
    code = code != CURLE_OK ? code : set_text(curl, CURLOPT_SSLKEY, settings->keyfile);
    code = code != CURLE_OK ? code : set_text(curl, CURLOPT_KEYPASSWD, settings->keyfile_password);
    if (code == CURLE_OK && settings->insecure) {
        code = curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        code = code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return code;
}

static CURLcode set_transfer(CURL *curl, struct exchange *exchange, char *message)
{
    CURLcode code = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);

    code = code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    /* Nodes are asked directly: a proxy meant for the web does not know them. */
    code = code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_PROXY, "");
    code = code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    code = code != CURLE_OK
               ? code
               : curl_easy_setopt(curl, CURLOPT_USERAGENT, CTL_NAME "/" PRODUCT_VERSION);
    code = code != CURLE_OK ? code
                            : curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    code = code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    code = code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    code = code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    code = code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
}

static CURLcode set_request(
    CURL *curl, const struct client_request *request, const struct curl_slist *headers)
{
    CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, request->url);

    if (code == CURLE_OK && request->body != NULL) {
        code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    }
    code = code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    code = code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    return code != CURLE_OK ? code
                            : curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
}

/* Adds a header to the list, which stays as it is, and must still be freed, on failure. */
static bool add_header(struct curl_slist **headers, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*headers, header);

    if (longer == NULL) {
        return false;
    }
    *headers = longer;
    return true;
}

static bool make_headers(const struct client_request *request, struct curl_slist **headers)
{
    char if_match[CLIENT_ETAG_SIZE + 16];
    struct text text;

    if (request->body != NULL && !add_header(headers, "Content-Type: application/json")) {
        return false;
    }
    if (!is_set(request->if_match)) {
        return true;
    }
    text_init(&text, if_match, sizeof if_match);
    text_addf(&text, "If-Match: %s", request->if_match);
    return !text_overflowed(&text) && add_header(headers, if_match);
}

/* Runs what was set up; tells whether a failure came before or after the request was sent. */
static enum status perform(
    CURL *curl, const char *url, const struct exchange *exchange, const char *message,
    struct err *err)
{
    const CURLcode code = curl_easy_perform(curl);
    long sent_bytes = 0;

    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &exchange->answer->code);
        return STATUS_OK;
    }
    if (exchange->too_large) {
        return ERR(err, INVALID, "%s: the answer is larger than any node would send", url);
    }
    if (curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &sent_bytes) == CURLE_OK && sent_bytes > 0) {
        return ERR(
            err, TIMEOUT, "%s: no answer: %s", url,
            message[0] != '\0' ? message : curl_easy_strerror(code));
    }
    return ERR(err, IO, "%s: %s", url, message[0] != '\0' ? message : curl_easy_strerror(code));
}

enum status client_call(
    struct client *client, const struct client_request *request, struct client_answer *answer,
    struct err *err)
{
    enum status status = STATUS_OK;
    struct exchange exchange = {.answer = answer};
    struct curl_slist *headers = NULL;
    char message[CURL_ERROR_SIZE] = "";
    CURLcode code;

    *answer = (struct client_answer){.body = calloc(1, 1)};
    if (answer->body == NULL || !make_headers(request, &headers)) {
        status = ERR(err, FULL, "out of memory");
        goto out;
    }
    curl_easy_reset(client->curl); /* Keeps the open connections. */
    code = set_transfer(client->curl, &exchange, message);
    code = code != CURLE_OK ? code : set_security(client->curl, &client->settings);
    code = code != CURLE_OK ? code : set_request(client->curl, request, headers);
    if (code != CURLE_OK) {
        status = ERR(err, IO, "%s: %s", request->url, curl_easy_strerror(code));
        goto out;
    }
    status = perform(client->curl, request->url, &exchange, message, err);

out:
    curl_slist_free_all(headers);
    return status;
}

void client_answer_deinit(struct client_answer *answer)
{
    free(answer->body);
    *answer = (struct client_answer){0};
}

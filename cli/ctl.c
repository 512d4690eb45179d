#include "cli/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/name.h"
#include "cli/member.h"
#include "conf/tree_json.h"

#define TREE_BYTES ((size_t)64 << 20) /* Touched only as far as it is used. */
#define TEXT_BYTES ((size_t)8 << 20)

/* Every address that is learnt names its scheme and port. */
#define NO_SCHEME "http"
#define NO_PORT   "8008"

#define URL_SIZE ((size_t)2 * NODES_URL_SIZE)

enum status ctl_create(struct ctl **ctl, struct err *err)
{
    struct ctl *made = calloc(1, sizeof *made);

    *ctl = made;
    if (made == NULL) {
        return ERR(err, FULL, "out of memory");
    }
    made->tree_memory = malloc(TREE_BYTES);
    made->text_memory = malloc(TEXT_BYTES);
    if (made->tree_memory == NULL || made->text_memory == NULL) {
        return ERR(err, FULL, "out of memory");
    }
    tree_init(&made->tree, made->tree_memory, TREE_BYTES);
    text_init(&made->text, made->text_memory, TEXT_BYTES);
    return STATUS_OK;
}

void ctl_destroy(struct ctl *ctl)
{
    if (ctl == NULL) {
        return;
    }
    client_destroy(ctl->client);
    free(ctl->text_memory);
    free(ctl->tree_memory);
    free(ctl);
}

enum status ctl_configure(
    struct ctl *ctl, const char *path, const char *hosts, bool insecure, struct err *err)
{
    const struct settings *settings = &ctl->settings;
    struct client_settings client;
    enum status status = settings_read(&ctl->tree, path, hosts, &ctl->settings, &ctl->nodes, err);

    if (status != STATUS_OK) {
        return status;
    }
    client = (struct client_settings){
        .username = settings->username,
        .password = settings->password,
        .cacert = settings->cacert,
        .certfile = settings->certfile,
        .keyfile = settings->keyfile,
        .keyfile_password = settings->keyfile_password,
        .insecure = settings->insecure || insecure,
    };
    return client_create(&client, &ctl->client, err);
}

const char *ctl_answer_text(struct client_answer *answer)
{
    while (answer->length > 0 && strchr("\r\n ", answer->body[answer->length - 1]) != NULL) {
        answer->body[--answer->length] = '\0';
    }
    return answer->body;
}

static enum status join_url(const char *base, const char *path, char url[URL_SIZE], struct err *err)
{
    struct text text;

    text_init(&text, url, URL_SIZE);
    text_addf(&text, "%s%s", base, path);
    return text_overflowed(&text) ? ERR(err, INVALID, "%s: the address is too long", base)
                                  : STATUS_OK;
}

static enum status get_one(
    struct ctl *ctl, const char *base, const char *path, struct node **root, char *etag,
    struct err *err)
{
    char url[URL_SIZE];
    const struct client_request request = {.method = "GET", .url = url, .timeout_ms = CTL_QUERY_MS};
    struct client_answer answer = {0};
    enum status status = join_url(base, path, url, err);

    if (status != STATUS_OK) {
        return status;
    }
    status = client_call(ctl->client, &request, &answer, err);
    if (status != STATUS_OK) {
        goto out;
    }
    if (answer.code != 200) {
        status = ERR(err, REFUSED, "%s: %ld %s", url, answer.code, ctl_answer_text(&answer));
        goto out;
    }
    if (etag != NULL) {
        memcpy(etag, answer.etag, sizeof answer.etag);
    }
    status = tree_json_parse(&ctl->tree, answer.body, answer.length, root, err);
    if (status != STATUS_OK) {
        err_add_context(err, "%s", url);
    }

out:
    client_answer_deinit(&answer);
    return status;
}

enum status ctl_get(
    struct ctl *ctl, const char *path, struct node **root, char *etag, struct err *err)
{
    enum status status = ERR(err, NOT_FOUND, "no address of a node is known");

    for (uint32_t i = 0; status != STATUS_OK && i < ctl->nodes.count; i++) {
        status = get_one(ctl, ctl->nodes.urls[i], path, root, etag, err);
    }
    if (status != STATUS_OK && ctl->nodes.count > 1) {
        err_add_context(err, "none of %u nodes answers; the last one", ctl->nodes.count);
    }
    return status;
}

/* The base of the member's own API. */
static enum status member_base(
    const struct node *member, char base[NODES_URL_SIZE], struct err *err)
{
    const char *api_url = member_field(member, "api_url");

    if (!nodes_base(api_url, NO_SCHEME, NO_PORT, base)) {
        return ERR(
            err, NOT_FOUND, "member \"%s\" has told no address of its API",
            member_field(member, "name"));
    }
    return STATUS_OK;
}

enum status ctl_get_from(
    struct ctl *ctl, const struct node *member, const char *path, struct node **root,
    struct err *err)
{
    char base[NODES_URL_SIZE];
    enum status status = member_base(member, base, err);

    return status != STATUS_OK ? status : get_one(ctl, base, path, root, NULL, err);
}

static void learn_nodes(struct ctl *ctl, const struct node *cluster)
{
    const struct node *members = tree_child(cluster, "members");
    const struct node *leader = member_find_leader(cluster);
    const struct node *member = members == NULL ? NULL : members->first;

    for (; member != NULL; member = member->next) {
        nodes_add(&ctl->nodes, member_field(member, "api_url"), NO_SCHEME, NO_PORT);
    }
    if (leader != NULL) {
        nodes_prefer(&ctl->nodes, member_field(leader, "api_url"), NO_SCHEME, NO_PORT);
    }
}

enum status ctl_cluster(struct ctl *ctl, const char *name, struct node **cluster, struct err *err)
{
    enum status status = ctl_get(ctl, "/cluster", cluster, NULL, err);
    const char *scope;

    if (status != STATUS_OK) {
        return status;
    }
    scope = member_field(*cluster, "scope");
    name = name == NULL || name[0] == '\0' ? ctl->settings.scope : name;
    if (name[0] != '\0' && !text_equal(name, scope)) {
        return ERR(err, INVALID, "the nodes belong to cluster \"%s\", not \"%s\"", scope, name);
    }
    learn_nodes(ctl, *cluster);
    return STATUS_OK;
}

static enum status send_one(
    struct ctl *ctl, const char *base, const struct ctl_request *request, const char *body,
    struct client_answer *answer, struct err *err)
{
    char url[URL_SIZE];
    const struct client_request call = {
        .method = request->method,
        .url = url,
        .body = body,
        .if_match = request->if_match,
        .timeout_ms = request->timeout_ms,
    };
    enum status status = join_url(base, request->path, url, err);

    return status != STATUS_OK ? status : client_call(ctl->client, &call, answer, err);
}

/* The body as JSON, in memory that the caller frees; NULL if there is no body. */
static enum status body_text(const struct node *body, char **data, struct err *err)
{
    struct text text;

    *data = NULL;
    if (body == NULL) {
        return STATUS_OK;
    }
    *data = malloc(TEXT_BYTES);
    if (*data == NULL) {
        return ERR(err, FULL, "out of memory");
    }
    text_init(&text, *data, TEXT_BYTES);
    return tree_json_print(body, 0, &text, err);
}

enum status ctl_send(
    struct ctl *ctl, const struct ctl_request *request, struct client_answer *answer,
    struct err *err)
{
    char *body = NULL;
    enum status status = body_text(request->body, &body, err);

    *answer = (struct client_answer){0};
    if (status != STATUS_OK) {
        goto out;
    }
    status = ERR(err, IO, "no address of a node is known");
    for (uint32_t i = 0; status == STATUS_IO && i < ctl->nodes.count; i++) {
        client_answer_deinit(answer);
        status = send_one(ctl, ctl->nodes.urls[i], request, body, answer, err);
    }

out:
    free(body);
    return status;
}

enum status ctl_send_to(
    struct ctl *ctl, const struct node *member, const struct ctl_request *request,
    struct client_answer *answer, struct err *err)
{
    char base[NODES_URL_SIZE];
    char *body = NULL;
    enum status status = member_base(member, base, err);

    *answer = (struct client_answer){0};
    if (status != STATUS_OK) {
        goto out;
    }
    status = body_text(request->body, &body, err);
    if (status != STATUS_OK) {
        goto out;
    }
    status = send_one(ctl, base, request, body, answer, err);

out:
    free(body);
    return status;
}

void ctl_put_text(struct ctl *ctl, struct node *body, const char *key, const char *text)
{
    tree_put(&ctl->tree, body, key, tree_string(&ctl->tree, text));
}

void ctl_put_true(struct ctl *ctl, struct node *body, const char *key)
{
    tree_put(&ctl->tree, body, key, tree_scalar(&ctl->tree, NODE_BOOL, "true"));
}

int ctl_print(struct ctl *ctl)
{
    const bool overflowed = text_overflowed(&ctl->text);
    const size_t length = ctl->text.length;
    const bool written = fwrite(ctl->text.data, 1, length, stdout) == length;

    text_init(&ctl->text, ctl->text_memory, TEXT_BYTES);
    if (overflowed || tree_full(&ctl->tree)) {
        return ctl_error("there is more to show than fits into memory");
    }
    return written ? CTL_OK : ctl_error("could not write to standard output");
}

int ctl_error(const char *format, ...)
{
    va_list args;

    /* What was printed before must not come after the reason why nothing follows. */
    (void)fflush(stdout);
    (void)fputs("Error: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return CTL_FAILED;
}

int ctl_fail(const struct err *err)
{
    return ctl_error("%s", err->text);
}

int ctl_usage(const char *usage, bool mistake)
{
    (void)fprintf(mistake ? stderr : stdout, "Usage: %s %s\n", CTL_NAME, usage);
    return mistake ? CTL_USAGE : CTL_OK;
}

/*
 * The cluster's configuration. What was read and what is wanted are compared, and only the
 * difference is sent, naming the version it was made from: of two who edit at once one is told.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/diff.h"
#include "cli/edit.h"
#include "cli/editor_sys.h"
#include "cli/member.h"
#include "cli/options_sys.h"
#include "cli/prompt_sys.h"
#include "conf/tree_yaml.h"

#define YAML_BYTES ((size_t)1 << 20)

struct change {
    bool quiet;
    bool force;
    struct options_list settings;   /* -s */
    struct options_list parameters; /* -p */
    const char *apply;
    const char *replace;
};

int cmd_show_config(struct ctl *ctl, int argc, char **argv)
{
    struct node *cluster = NULL;
    struct node *config = NULL;
    struct err err;
    int first;
    const enum options_result result = options_parse(argc, argv, NULL, 0, false, &first);

    if (result != OPTIONS_OK || argc - first > 1) {
        return ctl_usage("show-config [CLUSTER]", result != OPTIONS_HELP);
    }
    if (ctl_cluster(ctl, argv[first], &cluster, &err) != STATUS_OK ||
        ctl_get(ctl, "/config", &config, NULL, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    edit_sort(config);
    if (tree_yaml_print(config, &ctl->text, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    return ctl_print(ctl);
}

/* "a.b.c=VALUE" or, behind `prefix`, "work_mem=VALUE"; VALUE is YAML. */
static int apply_setting(
    struct ctl *ctl, struct node *config, const char *prefix, const char *setting)
{
    const char *equals = strchr(setting, '=');
    struct node *value = NULL;
    char path[TREE_PATH_MAX];
    struct text text;
    struct err err;

    if (equals == NULL) {
        return ctl_error("\"%s\": this is not KEY=VALUE", setting);
    }
    text_init(&text, path, sizeof path);
    text_add(&text, prefix);
    text_add_bytes(&text, setting, (size_t)(equals - setting));
    /* A document without a value would be taken for an empty map. */
    if (tree_plain_kind(equals + 1) == NODE_NULL) {
        value = tree_scalar(&ctl->tree, NODE_NULL, "");
    } else if (
        tree_yaml_parse(&ctl->tree, equals + 1, strlen(equals + 1), NULL, &value, &err) !=
        STATUS_OK) {
        return ctl_error("\"%s\": %s", setting, err.text);
    }
    if (text_overflowed(&text) || value == NULL || !edit_set(&ctl->tree, config, path, value)) {
        return ctl_error("\"%s\": there is no such place in the configuration", setting);
    }
    return CTL_OK;
}

static int apply_settings(struct ctl *ctl, const struct change *change, struct node *config)
{
    int status = CTL_OK;

    for (size_t i = 0; status == CTL_OK && i < change->settings.count; i++) {
        status = apply_setting(ctl, config, "", change->settings.values[i]);
    }
    for (size_t i = 0; status == CTL_OK && i < change->parameters.count; i++) {
        status = apply_setting(ctl, config, "postgresql.parameters.", change->parameters.values[i]);
    }
    return status;
}

/* Parses a text and frees it; it must be a map. */
static int parse_and_free(
    struct ctl *ctl, char *data, size_t length, const char *file, struct node **root)
{
    struct err err;
    enum status status = tree_yaml_parse(&ctl->tree, data, length, file, root, &err);

    free(data);
    if (status != STATUS_OK) {
        return ctl_fail(&err);
    }
    return (*root)->kind == NODE_MAP ? CTL_OK : ctl_error("%s: this is no map of settings", file);
}

static int read_file(struct ctl *ctl, const char *path, struct node **root)
{
    char *data = NULL;
    size_t length = 0;
    struct err err;

    if (editor_read(path, &data, &length, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    return parse_and_free(ctl, data, length, path, root);
}

static int edit_by_hand(
    struct ctl *ctl, const char *scope, const char *before, struct node **config)
{
    char *data = NULL;
    size_t length = 0;
    struct err err;

    if (editor_run(scope, before, &data, &length, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    return parse_and_free(ctl, data, length, "the edited configuration", config);
}

/* The configuration as it is wanted, made from a copy of what there is. */
static int make_wanted(
    struct ctl *ctl, const struct change *change, const char *scope, const char *before,
    struct node **config)
{
    const bool by_hand = change->apply == NULL && change->replace == NULL &&
                         change->settings.count == 0 && change->parameters.count == 0;
    struct node *patch = NULL;
    int status = CTL_OK;

    if (by_hand) {
        status = edit_by_hand(ctl, scope, before, config);
    } else if (change->replace != NULL) {
        status = read_file(ctl, change->replace, config);
    } else if (change->apply != NULL) {
        status = read_file(ctl, change->apply, &patch);
        if (status == CTL_OK) {
            (void)tree_merge(&ctl->tree, *config, patch);
        }
    }
    status = status != CTL_OK ? status : apply_settings(ctl, change, *config);
    if (status == CTL_OK) {
        edit_drop_nulls(*config);
        edit_sort(*config);
    }
    return status;
}

static const char *colour_of(char mark)
{
    switch (mark) {
    case '+':
        return "\033[32m";
    case '-':
        return "\033[31m";
    case '@':
        return "\033[36m";
    default:
        return "";
    }
}

static void print_difference(const char *difference)
{
    const bool coloured = prompt_is_terminal();

    while (*difference != '\0') {
        const int length = (int)strcspn(difference, "\n");
        const char *colour = coloured ? colour_of(difference[0]) : "";

        (void)printf("%s%.*s%s\n", colour, length, difference, colour[0] != '\0' ? "\033[0m" : "");
        difference += length;
        difference += *difference == '\n';
    }
}

static int show_difference(struct ctl *ctl, const char *before, const struct node *wanted)
{
    struct diff *diff = malloc(sizeof *diff);
    char *after = malloc(YAML_BYTES);
    struct text text;
    struct err err;
    int status = CTL_OK;

    if (diff == NULL || after == NULL) {
        status = ctl_error("out of memory");
        goto out;
    }
    text_init(&text, after, YAML_BYTES);
    if (tree_yaml_print(wanted, &text, &err) != STATUS_OK) {
        status = ctl_fail(&err);
        goto out;
    }
    diff_unified(diff, before, after, &ctl->text);
    print_difference(ctl->text.data);
    text_init(&ctl->text, ctl->text.data, ctl->text.size);

out:
    free(after);
    free(diff);
    return status;
}

static int report(struct client_answer *answer)
{
    const char *body = ctl_answer_text(answer);

    switch (answer->code) {
    case 200:
        (void)printf("Configuration changed\n");
        return CTL_OK;
    case 409:
    case 412:
        return ctl_error("the configuration was changed by somebody else meanwhile; try again");
    default:
        return ctl_error("the configuration was refused: %ld, %s", answer->code, body);
    }
}

static int send_difference(
    struct ctl *ctl, const struct node *config, const struct node *wanted, const char *etag)
{
    const struct ctl_request request = {
        .method = "PATCH",
        .path = "/config",
        .body = edit_difference(&ctl->tree, config, wanted),
        .if_match = etag,
        .timeout_ms = CTL_ACTION_MS,
    };
    struct client_answer answer;
    struct err err;
    int status;

    if (tree_full(&ctl->tree)) {
        return ctl_error("out of memory");
    }
    status = ctl_send(ctl, &request, &answer, &err) == STATUS_OK ? report(&answer) : ctl_fail(&err);
    client_answer_deinit(&answer);
    return status;
}

static int edit(
    struct ctl *ctl, const struct change *change, const char *scope, struct node *config,
    const char *etag)
{
    struct node *wanted = tree_copy(&ctl->tree, config);
    char *before = malloc(YAML_BYTES);
    struct text text;
    struct err err;
    int status = CTL_OK;

    if (before == NULL || wanted == NULL) {
        status = ctl_error("out of memory");
        goto out;
    }
    text_init(&text, before, YAML_BYTES);
    if (tree_yaml_print(config, &text, &err) != STATUS_OK) {
        status = ctl_fail(&err);
        goto out;
    }
    status = make_wanted(ctl, change, scope, before, &wanted);
    if (status != CTL_OK) {
        goto out;
    }
    if (tree_equal(config, wanted)) {
        (void)printf("Not changed\n");
        goto out;
    }
    status = change->quiet ? CTL_OK : show_difference(ctl, before, wanted);
    if (status == CTL_OK && !change->force && !prompt_confirm("Apply these changes?")) {
        status = CTL_FAILED;
    }
    status = status != CTL_OK ? status : send_difference(ctl, config, wanted, etag);

out:
    free(before);
    return status;
}

static bool is_stdin(const char *path)
{
    return path != NULL && text_equal(path, "-");
}

int cmd_edit_config(struct ctl *ctl, int argc, char **argv)
{
    static const char usage[] =
        "edit-config [-q|--quiet] [-s|--set KEY=VALUE]... [-p|--pg NAME=VALUE]...\n"
        "       [--apply FILE | --replace FILE] [--force] [CLUSTER]";
    struct change change = {.quiet = false};
    const struct options_spec specs[] = {
        {"quiet",   'q', &change.quiet, NULL,            NULL              },
        {"set",     's', NULL,          NULL,            &change.settings  },
        {"pg",      'p', NULL,          NULL,            &change.parameters},
        {"apply",   0,   NULL,          &change.apply,   NULL              },
        {"replace", 0,   NULL,          &change.replace, NULL              },
        {"force",   0,   &change.force, NULL,            NULL              },
    };
    struct node *cluster = NULL;
    struct node *config = NULL;
    char etag[CLIENT_ETAG_SIZE];
    struct err err;
    int first;
    const enum options_result result =
        options_parse(argc, argv, specs, ARRAY_SIZE(specs), false, &first);

    if (result != OPTIONS_OK || argc - first > 1 ||
        (change.apply != NULL && change.replace != NULL)) {
        return ctl_usage(usage, result != OPTIONS_HELP);
    }
    if ((is_stdin(change.apply) || is_stdin(change.replace)) && !change.force) {
        return ctl_error("standard input cannot be asked for a confirmation: use --force");
    }
    if (ctl_cluster(ctl, argv[first], &cluster, &err) != STATUS_OK ||
        ctl_get(ctl, "/config", &config, etag, &err) != STATUS_OK) {
        return ctl_fail(&err);
    }
    if (config->kind != NODE_MAP) {
        return ctl_error("the configuration that the node sent is no map");
    }
    edit_drop_nulls(config);
    edit_sort(config);
    return edit(ctl, &change, member_field(cluster, "scope"), config, etag);
}

/*
 * All sources become one tree first; only then is anything judged, so that a later file
 * or a variable can still put right what an earlier one has wrong.
 */
#include "conf/load_sys.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file_sys.h"
#include "base/text.h"
#include "conf/env.h"
#include "conf/tree_yaml.h"

struct loader {
    struct tree *tree;
    struct node *root;
    struct problems *problems;
};

static enum status report(struct loader *loader, const struct err *err)
{
    problem_missing(loader->problems, NULL, "%s", err->text);
    return err->status;
}

/* Merges a parsed text over what was read before. */
static enum status add_text(
    struct loader *loader, const char *text, size_t length, const char *file)
{
    struct node *root = NULL;
    struct err err;
    enum status status = tree_yaml_parse(loader->tree, text, length, file, &root, &err);

    if (status != STATUS_OK) {
        return report(loader, &err);
    }
    if (root->kind != NODE_MAP) {
        problem_error(loader->problems, root, "settings are a map of names to values");
        return STATUS_INVALID;
    }
    if (loader->root == NULL) {
        loader->root = root;
    } else {
        (void)tree_merge(loader->tree, loader->root, root);
    }
    return STATUS_OK;
}

static enum status add_file(struct loader *loader, const char *path)
{
    const char *name = tree_text(loader->tree, path);
    char *text = NULL;
    size_t length = 0;
    struct err err;
    enum status status = file_read_alloc(path, CONF_FILE_BYTES, &text, &length, &err);

    if (status != STATUS_OK) {
        return report(loader, &err);
    }
    status = add_text(loader, text, length, name);
    free(text);
    return status;
}

static int is_settings_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.' &&
           (text_ends_with(entry->d_name, ".yml") || text_ends_with(entry->d_name, ".yaml"));
}

/* Not alphasort(): the order must not depend on the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum status add_directory(struct loader *loader, const char *path)
{
    enum status status = STATUS_OK;
    struct dirent **entries = NULL;
    const int count = scandir(path, &entries, is_settings_file, by_name);

    if (count == -1) {
        problem_missing(loader->problems, path, "could not be read");
        return STATUS_IO;
    }
    if (count == 0) {
        problem_missing(loader->problems, path, "no *.yml or *.yaml in this directory");
        status = STATUS_NOT_FOUND;
    }
    for (int i = 0; i < count; i++) {
        char name[4096];
        struct text text;
        enum status one = STATUS_OK;

        text_init(&text, name, sizeof name);
        text_addf(&text, "%s/%s", path, entries[i]->d_name);
        /* Go on after a bad file: whoever mends this one wants to know of the others. */
        one = add_file(loader, name);
        status = status == STATUS_OK ? one : status;
        free(entries[i]);
    }
    free(entries);
    return status;
}

static enum status add_path(struct loader *loader, const char *path)
{
    struct stat info;

    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return add_directory(loader, path);
    }
    return add_file(loader, path);
}

/* Lists and maps may come without their brackets, as Patroni has it. */
static enum status parse_branch(
    struct loader *loader, const struct env_variable *variable, bool is_map, const char *file,
    struct node **node)
{
    const char *value = variable->value + strspn(variable->value, " ");
    const bool whole = is_map ? value[0] == '{' : value[0] == '-' || strchr(value, '[') != NULL;
    const char *open = is_map ? "{" : "[";
    const char *close = is_map ? "}" : "]";
    char text[8192];
    struct text builder;
    struct err err;
    enum status status = STATUS_OK;

    text_init(&builder, text, sizeof text);
    text_addf(&builder, "%s%s%s", whole ? "" : open, value, whole ? "" : close);
    if (text_overflowed(&builder)) {
        problem_missing(loader->problems, variable->name, "longer than %zu bytes", sizeof text);
        return STATUS_INVALID;
    }
    status = tree_yaml_parse(loader->tree, text, builder.length, file, node, &err);
    return status == STATUS_OK ? STATUS_OK : report(loader, &err);
}

static enum status put_variable(struct loader *loader, const struct env_variable *variable)
{
    char path[TREE_PATH_MAX];
    const struct conf_key *key = env_find(variable, path);
    const char *file = tree_text(loader->tree, variable->name);
    struct node *node = NULL;
    enum status status = STATUS_OK;

    if (key == NULL) {
        problem_notice(
            loader->problems, variable->name, "%s",
            env_is_dcs(variable) ? "no store outside is used, ignored; see the settings of raft:"
                                 : "unknown variable, ignored");
        return STATUS_OK;
    }
    if (conf_type_is_open(key->type)) {
        status = parse_branch(loader, variable, key->type == CONF_TYPE_MAP, file, &node);
    } else {
        node = tree_scalar(loader->tree, tree_plain_kind(variable->value), variable->value);
    }
    if (status == STATUS_OK && node != NULL) {
        node->file = file;
        node->line = 0;
        tree_put_path(loader->tree, loader->root, path, node);
    }
    return status;
}

static enum status add_environment(struct loader *loader, const char *const *environment)
{
    static const enum env_prefix order[] = {ENV_PREFIX_PATRONI, ENV_PREFIX_PGBATON};
    enum status status = STATUS_OK;

    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        for (const char *const *at = environment; *at != NULL; at++) {
            const struct env_variable variable = env_split(*at);

            if (variable.prefix == order[i] && variable.value[0] != '\0' &&
                !env_is_configuration(&variable)) {
                const enum status one = put_variable(loader, &variable);

                status = status == STATUS_OK ? one : status;
            }
        }
    }
    return status;
}

/* The whole settings as one variable; PGBATON's wins. An empty value if there is none. */
static struct env_variable find_configuration(const char *const *environment)
{
    struct env_variable found = {.value = ""};

    for (const char *const *at = environment; *at != NULL; at++) {
        const struct env_variable variable = env_split(*at);

        if (env_is_configuration(&variable) && variable.value[0] != '\0' &&
            variable.prefix > found.prefix) {
            found = variable;
        }
    }
    return found;
}

static enum status gather(struct loader *loader, const char *path, const char *const *environment)
{
    const struct env_variable whole = find_configuration(environment);
    enum status status = STATUS_OK;
    enum status variables = STATUS_OK;

    if (path == NULL && whole.value[0] != '\0') {
        return add_text(
            loader, whole.value, strlen(whole.value), tree_text(loader->tree, whole.name));
    }
    if (path != NULL) {
        status = add_path(loader, path);
    }
    if (loader->root == NULL) {
        loader->root = tree_map(loader->tree);
    }
    variables = add_environment(loader, environment);
    return status == STATUS_OK ? variables : status;
}

enum status conf_load(
    struct conf_file *file, const char *path, const char *const *environment, enum conf_check check,
    struct problems *problems)
{
    const uint32_t errors_before = problems->error_count;
    struct loader loader = {.tree = &file->tree, .problems = problems};
    enum status status = STATUS_OK;

    *file = (struct conf_file){.memory = malloc(CONF_MEMORY_BYTES)};
    if (file->memory == NULL) {
        problem_missing(problems, path, "no memory for the settings");
        return STATUS_FULL;
    }
    tree_init(&file->tree, file->memory, CONF_MEMORY_BYTES);
    status = gather(&loader, path, environment);
    /* With a file missing, complaints about missing settings would only mislead. */
    if (status == STATUS_OK && !tree_full(&file->tree)) {
        conf_read(&file->conf, &file->tree, loader.root, path, check, problems);
    }
    if (status == STATUS_OK && problems->error_count > errors_before) {
        status = STATUS_INVALID;
    }
    if (status == STATUS_OK && tree_full(&file->tree)) {
        problem_missing(problems, path, "settings larger than %zu bytes", CONF_MEMORY_BYTES);
        status = STATUS_FULL;
    }
    if (status != STATUS_OK) {
        conf_unload(file);
    }
    return status;
}

void conf_unload(struct conf_file *file)
{
    free(file->memory);
    *file = (struct conf_file){.memory = NULL};
}

int conf_check_main(const char *path, const char *const *environment)
{
    struct problems problems;
    struct conf_file file;
    enum status status = STATUS_OK;

    problems_init(&problems);
    status = conf_load(&file, path, environment, CONF_CHECK_STRICT, &problems);
    for (uint32_t i = 0; i < problems.count; i++) {
        (void)fprintf(
            stderr, "%s%s\n",
            problems.items[i].is_error ? "" : "warning: ", problems.items[i].text);
    }
    if (problems.error_count + problems.warning_count > problems.count) {
        (void)fprintf(
            stderr, "and %u more\n",
            problems.error_count + problems.warning_count - problems.count);
    }
    if (status == STATUS_OK) {
        conf_unload(&file);
    }
    return status == STATUS_OK ? 0 : 1;
}

/*
 * The first statements in a new cluster: the roles of the settings, then the user's own command.
 *
 * All roles are made in one text, which is one transaction. Passwords are kept out of the log.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/text.h"
#include "pgctl/local_impl_uv.h"

#define SQL_BYTES ((size_t)64 * 1024)

/* The rows are the names of the roles that are there. */
static bool exists(const struct sql_result *roles, const char *name)
{
    for (uint32_t i = 0; i < roles->row_count; i++) {
        if (text_equal(sql_cell(roles, i, 0), name)) {
            return true;
        }
    }
    return false;
}

/* Makes the role, or alters it if it is there. `options` is part of SQL. */
static void add_role(
    struct text *sql, const struct sql_result *roles, const char *name, const char *password,
    const char *options)
{
    text_add(sql, exists(roles, name) ? "ALTER ROLE " : "CREATE ROLE ");
    sql_add_identifier(sql, name);
    text_addf(sql, " WITH LOGIN %s", options);
    if (password != NULL) {
        text_add(sql, " PASSWORD ");
        sql_add_literal(sql, password);
    }
    text_add(sql, ";\n");
}

/* Words such as "createdb" or "connection limit 5", nothing that could end the statement. */
static bool is_plain(const char *option)
{
    for (; *option != '\0'; option++) {
        if (!isalnum((unsigned char)*option) && strchr(" _-", *option) == NULL) {
            return false;
        }
    }
    return true;
}

static bool add_user(
    struct text *sql, const struct sql_result *roles, const struct node *user, char *bad,
    size_t bad_size)
{
    const struct node *password = user->kind == NODE_MAP ? tree_child(user, "password") : NULL;
    const struct node *list = user->kind == NODE_MAP ? tree_child(user, "options") : NULL;
    char options[512];
    struct text text;

    text_init(&text, options, sizeof options);
    for (const struct node *at = list == NULL ? NULL : list->first; at != NULL; at = at->next) {
        const char *option = node_text(at);

        if (option == NULL || !is_plain(option)) {
            (void)snprintf(
                bad, bad_size, "option \"%.40s\" of user \"%.40s\" is none of CREATE ROLE",
                option == NULL ? "" : option, user->key);
            return false;
        }
        text_addf(&text, " %s", option);
    }
    add_role(sql, roles, user->key, password == NULL ? NULL : node_text(password), options);
    return true;
}

static bool same_user(const struct conf_user *a, const struct conf_user *b)
{
    return a->username != NULL && b->username != NULL && text_equal(a->username, b->username);
}

/* What pg_rewind calls on its source, when it is not a superuser who calls. */
static void add_rewind_grants(struct text *sql, const char *name)
{
    static const char *const functions[] = {
        "pg_ls_dir(text, boolean, boolean)",
        "pg_stat_file(text, boolean)",
        "pg_read_binary_file(text)",
        "pg_read_binary_file(text, bigint, bigint, boolean)",
    };

    for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
        text_addf(sql, "GRANT EXECUTE ON FUNCTION pg_catalog.%s TO ", functions[i]);
        sql_add_identifier(sql, name);
        text_add(sql, ";\n");
    }
}

static bool add_roles(
    const struct local *local, const struct sql_result *roles, struct text *sql, char *bad,
    size_t bad_size)
{
    const struct conf_user *superuser = &local->pg.superuser;
    const struct conf_user *replication = &local->pg.replication;
    const struct conf_user *rewind = &local->pg.rewind_user;
    const struct node *users = local->conf->bootstrap.users;

    text_add(
        sql, "SET log_statement = none; SET log_min_duration_statement = -1;"
             " SET log_min_error_statement = panic; SET synchronous_commit = local;\n");
    if (superuser->password != NULL) {
        add_role(sql, roles, local_superuser(local), superuser->password, "SUPERUSER");
    }
    if (replication->username != NULL && !same_user(replication, superuser)) {
        add_role(sql, roles, replication->username, replication->password, "REPLICATION");
    }
    if (rewind->username != NULL && !same_user(rewind, superuser)) {
        if (!same_user(rewind, replication)) {
            add_role(sql, roles, rewind->username, rewind->password, "");
        }
        add_rewind_grants(sql, rewind->username);
    }
    for (const struct node *at = users == NULL ? NULL : users->first; at != NULL; at = at->next) {
        if (!add_user(sql, roles, at, bad, bad_size)) {
            return false;
        }
    }
    if (text_overflowed(sql)) {
        (void)snprintf(bad, bad_size, "there are too many users in the settings");
        return false;
    }
    return true;
}

/* --- 3. post_bootstrap. --- */

static void after_command(struct local *local, const struct run_result *result)
{
    char why[PG_TEXT_SIZE - 40];

    if (!run_succeeded(result)) {
        run_explain(result, why, sizeof why);
        local_fail(local, "post_bootstrap failed: %s", why);
        return;
    }
    local_ok(local);
}

static void run_command(struct local *local)
{
    const struct conf_bootstrap *bootstrap = &local->conf->bootstrap;
    const char *command =
        bootstrap->post_bootstrap != NULL ? bootstrap->post_bootstrap : bootstrap->post_init;
    struct run_spec spec;
    char host[CONF_HOST_MAX];
    char conninfo[1024];
    struct text text;

    if (command == NULL || command[0] == '\0') {
        local_ok(local);
        return;
    }
    local_host(local, host, sizeof host);
    text_init(&text, conninfo, sizeof conninfo);
    local_conninfo(
        local, host, local->pg.listen.port, &local->pg.superuser,
        local->pg.database != NULL ? local->pg.database : "postgres", &text);
    local_script_spec(local, &spec);
    run_spec_env(&spec, "PGOPTIONS=-c synchronous_commit=local -c statement_timeout=0");
    run_spec_shell(&spec, command);
    run_spec_arg(&spec, "%s", conninfo);
    step_run(local, &spec, after_command);
}

/* --- 2. The roles. --- */

static void on_roles(struct local *local, const struct sql_result *result)
{
    if (result->failure != SQL_FAILURE_NONE) {
        local_fail(local, "could not make the roles: %s", result->text);
        return;
    }
    run_command(local);
}

static void send_roles(struct local *local, const struct sql_result *roles)
{
    char *data = malloc(SQL_BYTES);
    char bad[PG_TEXT_SIZE] = "";
    struct text sql;

    ASSERT(data != NULL);
    text_init(&sql, data, SQL_BYTES);
    if (roles->failure != SQL_FAILURE_NONE) {
        local_fail(local, "could not read the roles: %s", roles->text);
    } else if (add_roles(local, roles, &sql, bad, sizeof bad)) {
        step_sql(local, local->work, data, 0, on_roles);
    } else {
        local_fail(local, "%s", bad);
    }
    free(data);
}

/* --- 1. The roles that are there. --- */

static void ask_roles(struct local *local)
{
    step_sql(
        local, local->work, "SELECT rolname FROM pg_catalog.pg_roles", LOCAL_QUERY_MS, send_roles);
}

void action_bootstrap_sql(struct local *local)
{
    if (!watch_is_up(local) || local->facts.in_recovery) {
        local_fail(local, "PostgreSQL is %s", pg_run_name(local->facts.run));
        return;
    }
    step_connect(local, NULL, local->pg.listen.port, &local->pg.superuser, NULL, ask_roles);
}

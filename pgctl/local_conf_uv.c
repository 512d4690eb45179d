/*
 * Settings in effect, and the texts of the files that are made of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/tree_json.h"
#include "pgctl/local_impl_uv.h"
#include "pgctl/quote.h"
#include "pgctl/settings.h"

#define TREE_BYTES     ((size_t)512 * 1024)
#define CONF_BYTES     ((size_t)256 * 1024)
#define PASSFILE_BYTES 4096
#define OLDEST_MAJOR   13

static const char *or_default(const char *value, const char *otherwise)
{
    return value != NULL && value[0] != '\0' ? value : otherwise;
}

static void log_problems(const struct problems *problems)
{
    for (uint32_t i = 0; i < problems->count; i++) {
        log_warning("%s", problems->items[i].text);
    }
}

static enum status set_paths(struct local *local, struct err *err)
{
    struct files *files = &local->files;
    const struct conf_postgresql *pg = &local->pg;
    const char *program = or_default(pg->bin_name.postgres, "postgres");
    const char *slash = strrchr(program, '/');
    struct text marker;
    struct text passfile;

    if (!text_copy(files->data_dir, sizeof files->data_dir, or_default(pg->data_dir, "")) ||
        files->data_dir[0] != '/') {
        return ERR(err, INVALID, "postgresql.data_dir must be an absolute path");
    }
    /* Comparisons with paths from the kernel want no slash at the end. */
    while (files->data_dir[1] != '\0' && text_ends_with(files->data_dir, "/")) {
        files->data_dir[strlen(files->data_dir) - 1] = '\0';
    }
    if (!text_copy(
            files->config_dir, sizeof files->config_dir,
            or_default(pg->config_dir, files->data_dir)) ||
        !text_copy(
            files->base_name, sizeof files->base_name,
            or_default(pg->config_base_name, "postgresql"))) {
        return ERR(err, INVALID, "postgresql.config_dir or config_base_name is too long");
    }
    if (!text_copy(files->program, sizeof files->program, slash == NULL ? program : &slash[1])) {
        return ERR(err, INVALID, "postgresql.bin_name.postgres is too long");
    }
    text_init(&marker, files->marker_path, sizeof files->marker_path);
    text_addf(&marker, "%s/partial", or_default(local->conf->raft.data_dir, "."));
    /* PostgreSQL's own user must be able to read it, and often not the daemon's directory. */
    text_init(&passfile, files->passfile_path, sizeof files->passfile_path);
    if (pg->pgpass != NULL && pg->pgpass[0] == '/') {
        text_add(&passfile, pg->pgpass);
    } else {
        text_addf(&passfile, "%s.pgpass", files->data_dir);
    }
    return text_overflowed(&marker) || text_overflowed(&passfile)
               ? ERR(err, INVALID, "a path is too long")
               : STATUS_OK;
}

/* The first directory in the list is where clients of this machine connect. */
static void set_socket_dir(struct local *local)
{
    const struct node *parameters = local->pg.parameters;
    const struct node *node = NULL;
    const char *dirs;
    size_t length;

    if (parameters != NULL) {
        node = tree_child(parameters, "unix_socket_directories");
    }
    dirs = node == NULL ? NULL : node_text(node);
    if (dirs == NULL || dirs[0] != '/') {
        local->socket_dir[0] = '\0';
        return;
    }
    length = strcspn(dirs, ", ");
    (void)snprintf(local->socket_dir, sizeof local->socket_dir, "%.*s", (int)length, dirs);
}

enum status local_conf_refresh(struct local *local, struct err *err)
{
    struct problems *problems = calloc(1, sizeof *problems);
    struct node *root = NULL;
    enum status status = STATUS_OK;
    const struct node *section;

    ASSERT(problems != NULL);
    problems_init(problems);
    tree_init(&local->tree, local->tree_memory, TREE_BYTES);
    if (local->dynamic_json != NULL) {
        status = tree_json_parse(
            &local->tree, local->dynamic_json, strlen(local->dynamic_json), &root, err);
        if (status != STATUS_OK) {
            root = NULL; /* Known to be valid when it was replicated; run on defaults. */
            log_error("cluster-wide settings are not understood: %s", err->text);
        }
    }
    conf_dynamic_read(&local->dynamic, &local->tree, root, problems);
    section = root == NULL ? NULL : tree_get(root, "postgresql");
    conf_postgresql_read(&local->pg, &local->tree, local->conf, section, problems);
    local->dynamic_parameters = section == NULL ? NULL : tree_get(section, "parameters");
    free(problems); /* Told by who read the file, and by who had the new version decided. */
    if (tree_full(&local->tree)) {
        return ERR(err, FULL, "the settings of PostgreSQL are too large");
    }
    local->warn = true;
    set_socket_dir(local);
    return local->files.data_dir[0] == '\0' ? set_paths(local, err) : STATUS_OK;
}

const char *local_superuser(const struct local *local)
{
    return or_default(local->pg.superuser.username, "postgres");
}

void local_host(const struct local *local, char *host, size_t size)
{
    const char *listen = local->pg.listen.host;
    const size_t length = strcspn(listen, ",");

    if (local->pg.use_unix_socket) {
        text_copy_cut(
            host, size, local->socket_dir[0] != '\0' ? local->socket_dir : "/var/run/postgresql");
        return;
    }
    (void)snprintf(host, size, "%.*s", (int)length, listen);
    if (host[0] == '\0' || value_is_wildcard(host) || strstr(listen, "localhost") != NULL ||
        strstr(listen, "127.0.0.1") != NULL) {
        /* A name would have to be looked up; and what listens on both has this one. */
        text_copy_cut(host, size, text_equal(host, "::") ? "::1" : "127.0.0.1");
    }
}

/* --- Programs. --- */

void local_program(
    const struct local *local, const char *name, const char *plain, struct run_spec *spec)
{
    const char *program = or_default(name, plain);

    if (local->pg.bin_dir != NULL && local->pg.bin_dir[0] != '\0' && strchr(program, '/') == NULL) {
        run_spec_arg(spec, "%s/%s", local->pg.bin_dir, program);
    } else {
        run_spec_arg(spec, "%s", program);
    }
}

void local_spec(const struct local *local, struct run_spec *spec, uint64_t limit_ms)
{
    local_script_spec(local, spec);
    spec->limit_ms = limit_ms;
    run_spec_env(spec, "LC_ALL=C"); /* Their words are parsed. */
}

void local_script_spec(const struct local *local, struct run_spec *spec)
{
    run_spec_init(spec);
    spec->change_user = local->files.change_user;
    spec->uid = local->files.uid;
    spec->gid = local->files.gid;
    run_spec_env(spec, "PGPASSFILE=%s", local->files.passfile_path);
    if (local->pg.krbsrvname != NULL) {
        run_spec_env(spec, "PGKRBSRVNAME=%s", local->pg.krbsrvname);
    }
}

void local_spec_password(struct run_spec *spec, const struct conf_user *user)
{
    if (user->password != NULL) {
        run_spec_env(spec, "PGPASSWORD=%s", user->password);
    }
    if (user->sslpassword != NULL) {
        run_spec_env(spec, "PGSSLPASSWORD=%s", user->sslpassword);
    }
}

void local_conninfo(
    const struct local *local, const char *host, uint16_t port, const struct conf_user *user,
    const char *dbname, struct text *out)
{
    char port_text[8];

    (void)snprintf(port_text, sizeof port_text, "%u", (unsigned)port);
    quote_conninfo(out, "user", or_default(user->username, local_superuser(local)));
    quote_conninfo(out, "host", host);
    quote_conninfo(out, "port", port_text);
    quote_conninfo(out, "dbname", dbname);
    quote_conninfo(out, "sslmode", or_default(user->sslmode, "prefer"));
    quote_conninfo(out, "sslkey", user->sslkey);
    quote_conninfo(out, "sslcert", user->sslcert);
    quote_conninfo(out, "sslrootcert", user->sslrootcert);
    quote_conninfo(out, "sslcrl", user->sslcrl);
    quote_conninfo(out, "sslcrldir", user->sslcrldir);
    quote_conninfo(out, "sslnegotiation", user->sslnegotiation);
    quote_conninfo(out, "gssencmode", or_default(user->gssencmode, "prefer"));
    quote_conninfo(out, "channel_binding", or_default(user->channel_binding, "prefer"));
    quote_conninfo(out, "krbsrvname", local->pg.krbsrvname);
}

/* --- Files. --- */

static bool is_primary(const struct pg_facts *facts)
{
    return facts->writable_start || (facts->sql_ok && !facts->in_recovery);
}

enum pgparams_role local_role(const struct local *local)
{
    switch (local->busy ? local->action.kind : PG_ACTION_NONE) {
    case PG_ACTION_INITDB:
    case PG_ACTION_START_PRIMARY:
    case PG_ACTION_PROMOTE:
        return PGPARAMS_ROLE_PRIMARY;
    case PG_ACTION_START_STANDBY:
    case PG_ACTION_FOLLOW:
    case PG_ACTION_REWIND:
    case PG_ACTION_CLONE:
        return PGPARAMS_ROLE_REPLICA;
    case PG_ACTION_NONE:
    case PG_ACTION_CUT:
    case PG_ACTION_PREPARE_STOP:
    case PG_ACTION_STOP:
    case PG_ACTION_RELOAD:
    case PG_ACTION_BOOTSTRAP_SQL:
        return is_primary(&local->facts) ? PGPARAMS_ROLE_PRIMARY : PGPARAMS_ROLE_REPLICA;
    }
    UNREACHABLE();
}

void local_conf_params(
    struct local *local, enum pgparams_role role, const struct check_refused *refused,
    struct pgparams *pgparams)
{
    struct problems *problems = calloc(1, sizeof *problems);
    const struct controldata *control = &local->control;
    struct pgparams_input input = {
        .postgresql = &local->pg,
        .dynamic_parameters = local->dynamic_parameters,
        .standby_cluster = &local->dynamic.standby_cluster,
        .scope = local->conf->scope,
        .role = role,
        .server_major = local->data_version < OLDEST_MAJOR ? OLDEST_MAJOR : local->data_version,
        .is_known = check_is_known,
        .owner = refused,
        .starts_as_standby = role != PGPARAMS_ROLE_PRIMARY && local->control_known,
    };

    ASSERT(problems != NULL);
    problems_init(problems);
    if (local->control_known) {
        input.control = (struct pgparams_control){
            .max_connections = control->max_connections,
            .max_worker_processes = control->max_worker_processes,
            .max_wal_senders = control->max_wal_senders,
            .max_prepared_transactions = control->max_prepared_transactions,
            .max_locks_per_transaction = control->max_locks_per_transaction,
        };
    }
    pgparams_compute(pgparams, &local->tree, &input, problems);
    if (local->warn) {
        log_problems(problems);
        local->warn = false;
    }
    free(problems);
}

static void add_upstream(const struct local *local, struct text *out)
{
    char conninfo[1536];
    char slot[PG_NAME_SIZE];
    struct text text;

    if (!local->following) {
        settings_add(out, "primary_conninfo", "");
        settings_add(out, "primary_slot_name", "");
        return;
    }
    text_init(&text, conninfo, sizeof conninfo);
    local_conninfo(
        local, local->upstream.host, local->upstream.port, &local->pg.replication,
        or_default(local->pg.database, "postgres"), &text);
    quote_conninfo(&text, "passfile", local->files.passfile_path);
    quote_conninfo(&text, "application_name", local->conf->name);
    /* A dead upstream is to be noticed in seconds; the daemon then knows the new one. */
    text_add(
        &text, " connect_timeout=3 keepalives_idle=3 keepalives_interval=2 keepalives_count=3"
               " tcp_user_timeout=8000");
    settings_add(out, "primary_conninfo", conninfo);
    pg_slot_name(local->conf->name, slot, sizeof slot);
    settings_add(out, "primary_slot_name", local->pg.use_slots ? slot : "");
}

static void add_recovery(
    const struct local *local, const struct pgparams *pgparams, struct text *out)
{
    bool has_restore = false;

    for (uint32_t i = 0; i < pgparams->recovery_count; i++) {
        const struct pgparam *param = &pgparams->recovery[i];
        const bool is_restore = text_equal_nocase(param->name, "restore_command");
        const bool is_delay = text_equal_nocase(param->name, "recovery_min_apply_delay");

        /* The archive is an upstream too: what the old primary archived nobody may replay. */
        if ((is_restore && !local->following) || (is_delay && local->hurry) ||
            !check_is_known(&local->check.refused, param->name)) {
            continue;
        }
        has_restore = has_restore || is_restore;
        settings_add(out, param->name, param->value);
    }
    if (!has_restore) {
        settings_add(out, "restore_command", "");
    }
    if (local->hurry) {
        settings_add(out, "recovery_min_apply_delay", "0");
        settings_add(out, "max_standby_streaming_delay", "0");
        settings_add(out, "max_standby_archive_delay", "0");
    }
}

/* Where ours are better than PostgreSQL's. What stands behind them, whoever wrote it, wins. */
static void add_defaults(const struct local *local, struct text *out)
{
    /* Whoever finds no slot yet, or nobody there, is not to wait for the usual 5 s. */
    settings_add(out, "wal_retrieve_retry_interval", "500ms");
    /* A start after a crash syncs the data directory, file after file if it is not told better. */
    if (local->data_version >= 14 && files_syncfs_reports()) {
        settings_add(out, "recovery_init_sync_method", "syncfs");
    }
}

static void add_conf(const struct local *local, const struct pgparams *pgparams, struct text *out)
{
    char base[96];
    const char *synchronous = pgparams->synchronous_standby_names;

    (void)snprintf(base, sizeof base, "%s.base.conf", local->files.base_name);
    text_add(out, SETTINGS_BANNER);
    add_defaults(local, out);
    text_add(out, "include ");
    quote_setting(out, or_default(local->pg.custom_conf, base));
    text_add(out, "\n\n");
    for (uint32_t i = 0; i < pgparams->count; i++) {
        settings_add(out, pgparams->items[i].name, pgparams->items[i].value);
    }
    text_add(out, "\n");
    add_recovery(local, pgparams, out);
    add_upstream(local, out);
    if (local->sync_names[0] != '\0') {
        synchronous = local->sync_names;
    }
    settings_add(out, "synchronous_standby_names", synchronous == NULL ? "" : synchronous);
}

static void add_lines(const struct node *list, struct text *out)
{
    text_add(out, SETTINGS_BANNER "\n");
    for (const struct node *at = list->first; at != NULL; at = at->next) {
        const char *line = node_text(at);

        if (line != NULL) {
            text_addf(out, "%s\n", line);
        }
    }
}

/* host:port:database:user:password, for every host: the primary changes. */
static void add_passfile(const struct local *local, struct text *out)
{
    const struct conf_user *const users[] = {
        &local->pg.replication, &local->pg.superuser, &local->pg.rewind_user};

    for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
        if (users[i]->password == NULL) {
            continue;
        }
        text_add(out, "*:*:*:");
        quote_passfile(out, or_default(users[i]->username, local_superuser(local)));
        text_add(out, ":");
        quote_passfile(out, users[i]->password);
        text_add(out, "\n");
    }
}

/* An empty builder over a heap block, and back to a text or NULL if it did not fit. */
static void begin(struct text *text, size_t size)
{
    char *data = calloc(1, size);

    ASSERT(data != NULL);
    text_init(text, data, size);
}

static char *end(struct text *text, bool *failed)
{
    *failed = *failed || text_overflowed(text);
    return text->data;
}

static enum status work_write_settings(struct job *job, struct err *err)
{
    return files_write_settings(&job->files, &job->settings, err);
}

/* As the settings have it, not raised to what a standby needs: until then a restart is pending. */
static const char *configured(const struct pgparams *pgparams, const struct pgparam *param)
{
    for (uint32_t i = 0; i < pgparams->raised_count; i++) {
        if (text_equal(pgparams->raised[i].name, param->name)) {
            return pgparams->raised[i].configured;
        }
    }
    return param->value;
}

/* Files do not change what is on the command line: PostgreSQL does not see that it differs. */
static void note_wanted(struct local *local, const struct pgparams *pgparams)
{
    char wanted[FACTS_PQ_WANTED_SIZE];
    struct text text;

    text_init(&text, wanted, sizeof wanted);
    for (uint32_t i = 0; i < pgparams->count; i++) {
        const struct pgparam *param = &pgparams->items[i];

        if (param->on_command_line) {
            facts_pq_add_wanted(&text, param->name, configured(pgparams, param));
        }
    }
    if (text_overflowed(&text)) {
        wanted[0] = '\0';
    }
    if (!text_equal(wanted, local->wanted)) {
        local->wanted_changed = true;
        text_copy_cut(local->wanted, sizeof local->wanted, wanted);
    }
}

struct job *local_conf_job(struct local *local, job_next *next, struct err *err)
{
    struct job *job = job_new(local, work_write_settings, next);
    struct pgparams *pgparams = calloc(1, sizeof *pgparams);
    const size_t used = local->tree.used;
    bool failed = false;
    struct text text;

    ASSERT(pgparams != NULL);
    local_conf_params(local, local_role(local), &local->check.refused, pgparams);
    note_wanted(local, pgparams);
    job->settings.custom_conf = local->pg.custom_conf;
    begin(&text, CONF_BYTES);
    add_conf(local, pgparams, &text);
    job->settings.conf = end(&text, &failed);
    if (pgparams->hba != NULL) {
        begin(&text, CONF_BYTES);
        add_lines(pgparams->hba, &text);
        job->settings.hba = end(&text, &failed);
    }
    if (pgparams->ident != NULL) {
        begin(&text, CONF_BYTES);
        add_lines(pgparams->ident, &text);
        job->settings.ident = end(&text, &failed);
    }
    begin(&text, PASSFILE_BYTES);
    add_passfile(local, &text);
    job->settings.passfile = end(&text, &failed);
    free(pgparams);
    if (tree_full(&local->tree)) {
        failed = true;
    }
    /* What was computed is printed: its texts are not needed any more. */
    local->tree.used = used;
    if (failed) {
        (void)ERR(err, FULL, "the generated configuration is too large");
        job->next = NULL;
    }
    return job;
}

#include "pgctl/facts_pq.h"

#include <stdlib.h>
#include <string.h>

/*
 * `server` is materialised: it has volatile functions, and is joined with several rows.
 * Functions that fail on the wrong side of a promotion stand behind a CASE. The timeline of
 * a primary is that of its WAL file: the control file shows the old one until the first
 * checkpoint. That of a standby is the newest we know of: of the stream, else of the files.
 *
 * A startup process that waits for more has replayed all that is here; without a receiver
 * nothing else tells where the WAL ends.
 *
 * The state of a receiver that still connects is not in pg_stat_wal_receiver, the process is
 * in pg_stat_activity.
 *
 * A parameter that is given on the command line is never pending for PostgreSQL itself: it is
 * compared with what we would give it now.
 *
 * A setting that was taken out of the files falls back to its built-in value. Numbers are
 * written with their unit, so that old and new can be compared; 8kB blocks become kB.
 *
 * WAL senders that stream come first, since only so many have a place in the facts.
 */
static const char query_head[] =
    "WITH server AS MATERIALIZED (SELECT pg_is_in_recovery() AS in_recovery,"
    " CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END AS flush_lsn,"
    " CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() END AS receive_lsn,"
    " CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END AS replay_lsn,"
    " CASE WHEN pg_is_in_recovery() THEN floor(1000 *"
    " extract(epoch FROM pg_last_xact_replay_timestamp()))::bigint END AS replay_ms,"
    " CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused,"
    " EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup'"
    " AND wait_event IN ('RecoveryRetrieveRetryInterval', 'RecoveryWalStream')) AS idle,"
    " CASE WHEN pg_is_in_recovery() THEN coalesce("
    "(SELECT received_tli FROM pg_stat_wal_receiver),"
    " (SELECT greatest(r.min_recovery_end_timeline, c.timeline_id)"
    " FROM pg_control_recovery() r, pg_control_checkpoint() c))"
    " ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END AS timeline,"
    " coalesce((SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver'), 0)"
    " AS receiver_pid,"
    " (SELECT status FROM pg_stat_wal_receiver) AS receiver_state,"
    " current_setting('server_version_num') AS version,"
    " floor(1000 * extract(epoch FROM pg_postmaster_start_time()))::bigint AS start_ms,"
    " floor(1000 * extract(epoch FROM pg_conf_load_time()))::bigint AS conf_load_ms,"
    " current_setting('primary_conninfo') <> '' OR current_setting('restore_command') <> ''"
    " AS conninfo_in_effect),"
    " changed AS (SELECT s.name, current_setting(s.name) AS old_value, s.unit,"
    " coalesce((SELECT f.setting FROM pg_file_settings f WHERE lower(f.name) = lower(s.name)"
    " ORDER BY f.seqno DESC LIMIT 1), s.boot_val, '') AS new_value"
    " FROM pg_settings s WHERE s.pending_restart"
    " UNION ALL SELECT s.name, current_setting(s.name), s.unit, w.value FROM pg_settings s"
    " JOIN (VALUES (''::text, ''::text)";

static const char query_middle[] =
    ") w (name, value) ON w.name = s.name WHERE NOT s.pending_restart"
    " AND s.context = 'postmaster' AND s.name <> 'hot_standby'"
    " AND s.setting <> CASE WHEN s.vartype <> 'bool' THEN w.value"
    " WHEN lower(w.value) IN ('on', 'true', 'yes', '1') THEN 'on' ELSE 'off' END),"
    " reason AS (SELECT coalesce(json_object_agg(name, json_build_object("
    "'old_value', old_value, 'new_value',"
    " CASE WHEN new_value !~ '^[0-9]{1,15}$' OR unit IS NULL THEN new_value"
    " WHEN unit ~ '^[0-9]+kB$' THEN (new_value::bigint * left(unit, -2)::bigint) || 'kB'"
    " ELSE new_value || unit END) ORDER BY name)::text, '') AS text FROM changed)"
    " SELECT server.in_recovery, server.flush_lsn, server.receive_lsn, server.replay_lsn,"
    " server.replay_ms, server.paused, server.idle, server.timeline, server.receiver_pid,"
    " server.receiver_state, server.version, server.start_ms, server.conf_load_ms,"
    " server.conninfo_in_effect,"
    " CASE WHEN server.conf_load_ms <> ";

static const char query_tail[] =
    " THEN (SELECT text FROM reason) END,"
    " r.application_name, r.usename, host(r.client_addr), r.state, r.sync_state,"
    " r.sync_priority, r.flush_lsn, r.replay_lsn"
    " FROM server LEFT JOIN (SELECT * FROM pg_stat_replication"
    " ORDER BY state IS DISTINCT FROM 'streaming', application_name, pid LIMIT ";

enum column {
    COLUMN_IN_RECOVERY,
    COLUMN_FLUSH_LSN,
    COLUMN_RECEIVE_LSN,
    COLUMN_REPLAY_LSN,
    COLUMN_REPLAY_MS,
    COLUMN_PAUSED,
    COLUMN_IDLE,
    COLUMN_TIMELINE,
    COLUMN_RECEIVER_PID,
    COLUMN_RECEIVER_STATE,
    COLUMN_VERSION,
    COLUMN_START_MS,
    COLUMN_CONF_LOAD_MS,
    COLUMN_CONNINFO,
    COLUMN_PENDING_REASON,
    COLUMN_REPLICA_NAME,
    COLUMN_REPLICA_USER,
    COLUMN_REPLICA_ADDRESS,
    COLUMN_REPLICA_STATE,
    COLUMN_REPLICA_SYNC_STATE,
    COLUMN_REPLICA_SYNC_PRIORITY,
    COLUMN_REPLICA_FLUSH_LSN,
    COLUMN_REPLICA_REPLAY_LSN,
    COLUMN_COUNT,
};

/* A row that is being read. The first bad cell is noted; what is read after it is 0. */
struct reader {
    const struct sql_result *result;
    uint32_t row;
    bool bad;
    enum column bad_column;
};

static const char *cell(const struct reader *reader, enum column column)
{
    return sql_cell(reader->result, reader->row, (uint32_t)column);
}

static void note_bad(struct reader *reader, enum column column)
{
    if (!reader->bad) {
        reader->bad = true;
        reader->bad_column = column;
    }
}

static bool read_bool(struct reader *reader, enum column column)
{
    const char *text = cell(reader, column);

    if (text != NULL && text_equal(text, "t")) {
        return true;
    }
    if (text == NULL || !text_equal(text, "f")) {
        note_bad(reader, column);
    }
    return false;
}

/* Null is 0; so are numbers out of range, and noted as bad. */
static int64_t read_number(struct reader *reader, enum column column, int64_t low, int64_t high)
{
    const char *text = cell(reader, column);
    char *end = NULL;
    long long value;

    if (text == NULL) {
        return 0;
    }
    /* strtoll() stops at its limits by itself, and those are past `low` and `high`. */
    value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || value < low || value > high) {
        note_bad(reader, column);
        return 0;
    }
    return value;
}

static uint64_t read_lsn(struct reader *reader, enum column column)
{
    const char *text = cell(reader, column);
    uint64_t lsn = 0;

    if (text != NULL && !pg_lsn_parse(text, &lsn)) {
        note_bad(reader, column);
    }
    return lsn;
}

static void read_text(const struct reader *reader, enum column column, char *target, size_t size)
{
    const char *text = cell(reader, column);

    text_copy_cut(target, size, text != NULL ? text : "");
}

#define WALL_MS_MAX (INT64_MAX / 1000)

static void read_positions(struct reader *reader, struct pg_facts *facts)
{
    const uint64_t flushed = read_lsn(reader, COLUMN_FLUSH_LSN);

    facts->in_recovery = read_bool(reader, COLUMN_IN_RECOVERY);
    facts->received_lsn = read_lsn(reader, COLUMN_RECEIVE_LSN);
    facts->replayed_lsn = read_lsn(reader, COLUMN_REPLAY_LSN);
    facts->replayed_wall_ms = read_number(reader, COLUMN_REPLAY_MS, 0, WALL_MS_MAX);
    facts->replay_paused = read_bool(reader, COLUMN_PAUSED);
    facts->replay_idle = facts->in_recovery && read_bool(reader, COLUMN_IDLE);
    facts->position.timeline = (uint32_t)read_number(reader, COLUMN_TIMELINE, 1, INT32_MAX);
    /* What is received can be behind what is replayed: streaming starts at a whole segment. */
    facts->position.lsn = !facts->in_recovery                         ? flushed
                          : facts->received_lsn > facts->replayed_lsn ? facts->received_lsn
                                                                      : facts->replayed_lsn;
}

static void read_server(struct reader *reader, struct facts_pq *memory, struct pg_facts *facts)
{
    memory->receiver_pid = (int32_t)read_number(reader, COLUMN_RECEIVER_PID, 0, INT32_MAX);
    memory->conninfo_in_effect = read_bool(reader, COLUMN_CONNINFO);
    memory->conf_load_wall_ms = read_number(reader, COLUMN_CONF_LOAD_MS, 1, WALL_MS_MAX);

    read_positions(reader, facts);
    facts->receiver_running = memory->receiver_pid != 0;
    read_text(reader, COLUMN_RECEIVER_STATE, facts->receiver_state, sizeof facts->receiver_state);
    facts->server_version =
        (uint32_t)read_number(reader, COLUMN_VERSION, FACTS_PQ_SERVER_VERSION_MIN, INT32_MAX);
    facts->postmaster_start_wall_ms =
        (uint64_t)read_number(reader, COLUMN_START_MS, 1, WALL_MS_MAX);
    facts->sql_ok = true;
}

/* Null: the settings are as they were when we looked last. */
static void read_pending(struct reader *reader, struct pg_facts *facts)
{
    const char *reason = cell(reader, COLUMN_PENDING_REASON);

    if (reason == NULL) {
        return;
    }
    facts->pending_restart = reason[0] != '\0';
    /* Half a JSON object is worse than none. */
    if (!text_copy(facts->pending_restart_reason, sizeof facts->pending_restart_reason, reason)) {
        text_copy_cut(facts->pending_restart_reason, sizeof facts->pending_restart_reason, "{}");
    }
}

/*
 * Without a receiver the server tells the timeline of its last restartpoint only, and may have
 * replayed past it: while it runs, its timeline never falls.
 */
static void keep_timeline(const struct pg_facts *before, struct pg_facts *now)
{
    if (now->in_recovery && now->postmaster_start_wall_ms == before->postmaster_start_wall_ms &&
        now->position.timeline < before->position.timeline) {
        now->position.timeline = before->position.timeline;
    }
}

static void read_replica(struct reader *reader, struct pg_replica *replica)
{
    read_text(
        reader, COLUMN_REPLICA_NAME, replica->application_name, sizeof replica->application_name);
    read_text(reader, COLUMN_REPLICA_USER, replica->user_name, sizeof replica->user_name);
    read_text(
        reader, COLUMN_REPLICA_ADDRESS, replica->client_address, sizeof replica->client_address);
    read_text(reader, COLUMN_REPLICA_STATE, replica->state, sizeof replica->state);
    read_text(reader, COLUMN_REPLICA_SYNC_STATE, replica->sync_state, sizeof replica->sync_state);
    replica->sync_priority = (int)read_number(reader, COLUMN_REPLICA_SYNC_PRIORITY, 0, INT32_MAX);
    replica->flush_lsn = read_lsn(reader, COLUMN_REPLICA_FLUSH_LSN);
    replica->replay_lsn = read_lsn(reader, COLUMN_REPLICA_REPLAY_LSN);
}

static void read_replicas(struct reader *reader, struct pg_facts *facts)
{
    facts->replica_count = 0;
    for (reader->row = 0; reader->row < reader->result->row_count; reader->row++) {
        /* The name is never null for a WAL sender; the row is the server's alone. */
        if (cell(reader, COLUMN_REPLICA_NAME) != NULL) {
            read_replica(reader, &facts->replicas[facts->replica_count++]);
        }
    }
}

void facts_pq_add_wanted(struct text *wanted, const char *name, const char *value)
{
    text_add(wanted, ", (");
    sql_add_literal(wanted, name);
    text_add(wanted, ", ");
    sql_add_literal(wanted, value);
    text_add(wanted, ")");
}

void facts_pq_query(const struct facts_pq *memory, const char *wanted, struct text *text)
{
    text_add(text, query_head);
    text_add(text, wanted);
    text_add(text, query_middle);
    text_addf(text, "%lld", (long long)memory->conf_load_wall_ms);
    text_add(text, query_tail);
    text_addf(text, "%d) r ON true", PG_REPLICAS_MAX);
    ASSERT(!text_overflowed(text));
}

enum status facts_pq_read(
    struct facts_pq *memory, const struct sql_result *result, struct pg_facts *facts,
    struct err *err)
{
    struct reader reader = {.result = result};
    struct facts_pq new_memory = *memory;
    struct pg_facts new_facts = *facts;

    ASSERT(result->failure == SQL_FAILURE_NONE);
    if (result->column_count != COLUMN_COUNT || result->row_count < 1 ||
        result->row_count > PG_REPLICAS_MAX) {
        return ERR(
            err, INVALID, "the status query returned %u rows of %u columns", result->row_count,
            result->column_count);
    }
    read_server(&reader, &new_memory, &new_facts);
    read_pending(&reader, &new_facts);
    read_replicas(&reader, &new_facts);
    if (reader.bad) {
        return ERR(
            err, INVALID, "column %d of the status query makes no sense", (int)reader.bad_column);
    }
    keep_timeline(facts, &new_facts);
    *memory = new_memory;
    *facts = new_facts;
    return STATUS_OK;
}

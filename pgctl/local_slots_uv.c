/*
 * Replication slots: made for who should have one, dropped when nobody wants them.
 *
 * One statement, beside the status query. On a primary: physical slots of the other members and
 * permanent ones are made, other physical slots that nobody uses are dropped, but those the
 * settings tell to ignore. On a standby the members' slots are dropped: nobody moves them on
 * there, and WAL would pile up behind them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock_sys.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "pgctl/local_impl_uv.h"

#define EVERY_MS  5000
#define SQL_BYTES ((size_t)16 * 1024)

static void add_name(struct text *sql, const char *name, bool *first)
{
    text_add(sql, *first ? "" : ", ");
    sql_add_literal(sql, name);
    *first = false;
}

/* Names of the slots that should be there, as an array. */
static void add_wanted(const struct local *local, struct text *sql)
{
    char own[PG_NAME_SIZE];
    bool first = true;

    pg_slot_name(local->conf->name, own, sizeof own);
    text_add(sql, "ARRAY[");
    for (uint32_t i = 0; i < local->slots.count; i++) {
        add_name(sql, local->slots.names[i], &first);
    }
    for (uint32_t i = 0; i < local->dynamic.permanent.count; i++) {
        const struct conf_slot *slot = &local->dynamic.permanent.items[i];
        const bool elsewhere =
            slot->cluster_type != NULL && !text_equal_nocase(slot->cluster_type, "primary");

        if (slot->type == CONF_SLOT_PHYSICAL && slot->name != NULL && !elsewhere &&
            !text_equal(slot->name, own)) {
            add_name(sql, slot->name, &first);
        }
    }
    text_add(sql, "]::text[]");
}

/* Names that are not to be touched; an ignore rule without a name covers all. */
static void add_ignored(const struct local *local, struct text *sql, bool *all)
{
    bool first = true;

    *all = false;
    text_add(sql, "ARRAY[");
    for (uint32_t i = 0; i < local->dynamic.ignored_slots.count; i++) {
        const struct conf_slot *slot = &local->dynamic.ignored_slots.items[i];
        const bool is_physical =
            slot->type != CONF_SLOT_LOGICAL && slot->database == NULL && slot->plugin == NULL;

        if (is_physical && slot->name == NULL) {
            *all = true;
        } else if (is_physical) {
            add_name(sql, slot->name, &first);
        }
    }
    text_add(sql, "]::text[]");
}

static void add_primary(const struct local *local, struct text *sql)
{
    bool ignores_all;

    text_add(
        sql, "WITH made AS (SELECT pg_create_physical_replication_slot(name, true)"
             " FROM unnest(");
    add_wanted(local, sql);
    text_add(
        sql,
        ") AS name WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = name)),"
        " dropped AS (SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        " WHERE slot_type = 'physical' AND NOT active AND NOT temporary"
        " AND slot_name <> ALL (");
    add_wanted(local, sql);
    text_add(sql, ") AND slot_name <> ALL (");
    add_ignored(local, sql, &ignores_all);
    text_addf(
        sql, ")%s) SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM dropped)",
        ignores_all || local->dynamic.pause ? " AND false" : "");
}

static void add_standby(const struct local *local, struct text *sql)
{
    text_add(
        sql, "WITH dropped AS (SELECT pg_drop_replication_slot(slot_name)"
             " FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT active"
             " AND slot_name = ANY (");
    add_wanted(local, sql);
    text_add(sql, ")) SELECT 0, (SELECT count(*) FROM dropped)");
}

static void on_slots(void *owner, const struct sql_result *result)
{
    struct local *local = owner;

    local->slots_running = false;
    if (result->failure != SQL_FAILURE_NONE) {
        log_warning("could not tend replication slots: %s", result->text);
        return;
    }
    if (result->row_count == 1 &&
        (!text_equal(sql_cell(result, 0, 0), "0") || !text_equal(sql_cell(result, 0, 1), "0"))) {
        log_info(
            "replication slots: made %s, dropped %s", sql_cell(result, 0, 0),
            sql_cell(result, 0, 1));
    }
}

void slots_tend(struct local *local)
{
    const uint64_t now_ms = clock_boot_ms();
    struct text sql;
    struct err err;
    char *data;

    if (!local->slots_known || !local->pg.use_slots || local->slots_running || local->busy ||
        !watch_is_up(local) || (!local->facts.in_recovery && !local->facts.writable) ||
        (local->slots_ms != 0 && time_since(now_ms, local->slots_ms) < EVERY_MS)) {
        return;
    }
    data = malloc(SQL_BYTES);
    ASSERT(data != NULL);
    text_init(&sql, data, SQL_BYTES);
    if (local->facts.in_recovery) {
        add_standby(local, &sql);
    } else {
        add_primary(local, &sql);
    }
    local->slots_ms = now_ms;
    if (text_overflowed(&sql)) {
        log_error("there are too many replication slots in the settings");
    } else if (sql_query(local->watch, data, LOCAL_QUERY_MS, on_slots, local, &err) == STATUS_OK) {
        local->slots_running = true;
    }
    free(data);
}

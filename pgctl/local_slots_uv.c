/*
 * Replication slots: made for who should have one, dropped when nobody wants them.
 *
 * One statement, beside the status query. Physical slots of the other members are made, on a
 * primary the permanent ones too; other physical slots that nobody uses are dropped, but those
 * the settings tell to ignore. What streams from here moves its slot by itself. On a standby the
 * slots are moved on to what their members have, so that after a promotion there is the WAL that
 * those lack. The disk does not fill: who is absent for too long loses the slot.
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

static bool is_wanted(const struct local *local, uint32_t index)
{
    const uint64_t since_ms = local->slots_absent_ms[index];
    const uint64_t ttl_ms = (uint64_t)local->dynamic.member_slots_ttl_ms;

    if (ttl_ms == 0 && local->facts.in_recovery) {
        return false;
    }
    return !local->slots.items[index].absent || time_since(clock_boot_ms(), since_ms) < ttl_ms;
}

static void add_permanent(const struct local *local, struct text *sql, bool *first)
{
    char own[PG_NAME_SIZE];

    pg_slot_name(local->conf->name, own, sizeof own);
    for (uint32_t i = 0; i < local->dynamic.permanent.count; i++) {
        const struct conf_slot *slot = &local->dynamic.permanent.items[i];
        const bool elsewhere =
            slot->cluster_type != NULL && !text_equal_nocase(slot->cluster_type, "primary");

        if (slot->type == CONF_SLOT_PHYSICAL && slot->name != NULL && !elsewhere &&
            !text_equal(slot->name, own)) {
            add_name(sql, slot->name, first);
        }
    }
}

/* Names of the slots that should be there, as an array. */
static void add_wanted(const struct local *local, struct text *sql)
{
    bool first = true;

    text_add(sql, "ARRAY[");
    for (uint32_t i = 0; i < local->slots.count; i++) {
        if (is_wanted(local, i)) {
            add_name(sql, local->slots.items[i].name, &first);
        }
    }
    if (!local->facts.in_recovery) {
        add_permanent(local, sql, &first); /* Nobody would move them on elsewhere. */
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

static void add_made(const struct local *local, struct text *sql)
{
    text_add(sql, "made AS (SELECT pg_create_physical_replication_slot(name, true) FROM unnest(");
    add_wanted(local, sql);
    text_addf(
        sql,
        ") AS name WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = name)%s)",
        local->slots_failed ? " AND false" : "");
}

/*
 * A slot that has lost its WAL is of no use, and one with an xmin that nobody moves on keeps dead
 * rows: both are dropped, to be made anew the next time.
 */
static void add_dropped(const struct local *local, struct text *sql)
{
    bool ignores_all;

    text_add(
        sql, ", dropped AS (SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
             " WHERE slot_type = 'physical' AND NOT active AND NOT temporary AND (wal_status ="
             " 'lost' OR xmin IS NOT NULL AND pg_is_in_recovery() OR slot_name <> ALL (");
    add_wanted(local, sql);
    text_add(sql, ")) AND slot_name <> ALL (");
    add_ignored(local, sql, &ignores_all);
    text_addf(sql, ")%s)", ignores_all || local->dynamic.pause ? " AND false" : "");
}

/* Never past what is replayed here, and never back, which PostgreSQL refuses. */
static void add_moved(const struct local *local, struct text *sql)
{
    text_add(sql, ", known (name, lsn) AS (VALUES (''::text, NULL::pg_lsn)");
    for (uint32_t i = 0; i < local->slots.count; i++) {
        const struct pg_slot *slot = &local->slots.items[i];
        char lsn[PG_LSN_TEXT_SIZE];

        if (slot->lsn != 0 && is_wanted(local, i)) {
            pg_lsn_print(slot->lsn, lsn);
            text_add(sql, ", (");
            sql_add_literal(sql, slot->name);
            text_addf(sql, ", '%s')", lsn);
        }
    }
    text_addf(
        sql,
        "), moved AS (SELECT pg_replication_slot_advance(slot_name,"
        " least(lsn, pg_last_wal_replay_lsn())) FROM pg_replication_slots JOIN known"
        " ON name = slot_name WHERE slot_type = 'physical' AND NOT active AND xmin IS NULL"
        " AND wal_status <> 'lost' AND restart_lsn < least(lsn, pg_last_wal_replay_lsn())%s)",
        local->facts.in_recovery ? "" : " AND false");
}

static void on_slots(void *owner, const struct sql_result *result)
{
    struct local *local = owner;

    local->slots_running = false;
    if (result->failure != SQL_FAILURE_NONE) {
        log_warning("could not tend replication slots: %s", result->text);
        /* If there is no room for one more the others must be moved on and dropped all the same. */
        local->slots_failed = !local->slots_failed;
        return;
    }
    local->slots_failed = false;
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
    text_add(&sql, "WITH ");
    add_made(local, &sql);
    add_dropped(local, &sql);
    add_moved(local, &sql);
    text_add(
        &sql, " SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM dropped),"
              " (SELECT count(*) FROM moved)");
    local->slots_ms = now_ms;
    if (text_overflowed(&sql)) {
        log_error("there are too many replication slots in the settings");
    } else if (sql_query(local->watch, data, LOCAL_QUERY_MS, on_slots, local, &err) == STATUS_OK) {
        local->slots_running = true;
    }
    free(data);
}

static const struct pg_slot *find_slot(const struct pg_slots *slots, const char *name, uint32_t *at)
{
    for (*at = 0; *at < slots->count; (*at)++) {
        if (text_equal(slots->items[*at].name, name)) {
            return &slots->items[*at];
        }
    }
    return NULL;
}

void local_set_slots(struct local *local, const struct pg_slots *slots)
{
    uint64_t absent_ms[PG_SLOTS_MAX] = {0};
    bool is_news = !local->slots_known || slots->count != local->slots.count;

    ASSERT(slots->count <= PG_SLOTS_MAX);
    for (uint32_t i = 0; i < slots->count; i++) {
        const struct pg_slot *slot = &slots->items[i];
        uint32_t at;
        const struct pg_slot *old = find_slot(&local->slots, slot->name, &at);

        is_news = is_news || old == NULL || old->absent != slot->absent;
        if (slot->absent) {
            absent_ms[i] =
                old != NULL && old->absent ? local->slots_absent_ms[at] : clock_boot_ms();
        }
    }
    local->slots = *slots;
    memcpy(local->slots_absent_ms, absent_ms, sizeof absent_ms);
    local->slots_known = true;
    if (is_news) {
        local->slots_ms = 0; /* Look at once. */
    }
}

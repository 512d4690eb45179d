/*
 * Checkpoints, on a connection of their own: the status query goes on beside it.
 *
 * After a promotion, beside all actions. PostgreSQL itself asks for one, and takes its time over
 * it. Until it is done the control file names the old timeline, for which whoever has to rewind
 * from here would have to wait; and a crash would replay from before the promotion.
 *
 * Before a planned stop: what is written then need not be written by the stop, when nobody is
 * served.
 */
#include <stdio.h>

#include "base/clock_sys.h"
#include "base/log.h"
#include "base/time.h"
#include "pgctl/local_impl_uv.h"

/* The action goes on in the next turn of the loop: who ends this may be in the middle of something,
 * or be that action itself. */
static void end(struct local *local)
{
    if (local->checkpointed != NULL) {
        step_poll(local, 0, local->checkpointed);
        local->checkpointed = NULL;
    }
}

static void drop(struct local *local)
{
    struct sql *sql = local->checkpoint;

    local->checkpoint = NULL;
    sql_close(sql);
    end(local);
}

static void on_checkpoint(void *owner, const struct sql_result *result)
{
    struct local *local = owner;

    if (result->failure == SQL_FAILURE_NONE) {
        log_info(
            "checkpoint done after %llu ms",
            (unsigned long long)time_since(clock_boot_ms(), local->checkpoint_ms));
    } else {
        log_warning("checkpoint failed: %s", result->text);
    }
    drop(local);
}

static void on_connected(void *owner)
{
    (void)owner; /* The query waits in its queue. */
}

static void on_failed(void *owner, enum sql_failure failure, const struct err *err)
{
    struct local *local = owner;

    (void)failure;
    if (local->checkpoint != NULL) { /* Else its query has failed, which said so. */
        log_warning("no checkpoint: %s", err->text);
        drop(local);
    }
}

static void on_closed(void *owner)
{
    local_unhold(owner);
}

static const struct sql_events checkpoint_events = {
    .connected = on_connected,
    .failed = on_failed,
    .closed = on_closed,
};

void checkpoint_begin(struct local *local)
{
    struct sql_setting settings[SQL_SETTINGS_MAX];
    char host[CONF_HOST_MAX];
    char port[8];
    struct sql_settings open = {.settings = settings, .connect_timeout_ms = LOCAL_QUERY_MS};
    struct err err;

    if (local->checkpoint != NULL) {
        return; /* It is younger than the promotion, or is one of the same server. */
    }
    local_host(local, host, sizeof host);
    (void)snprintf(port, sizeof port, "%u", (unsigned)local->pg.listen.port);
    open.setting_count = step_settings(local, host, port, &local->pg.superuser, settings);
    if (sql_open(&local->checkpoint, local->loop, &open, &checkpoint_events, local, &err) !=
        STATUS_OK) {
        local->checkpoint = NULL;
        log_warning("no checkpoint: %s", err.text);
        end(local);
        return;
    }
    local_hold(local);
    local->checkpoint_ms = clock_boot_ms();
    if (sql_query(local->checkpoint, "CHECKPOINT", 0, on_checkpoint, local, &err) != STATUS_OK) {
        log_warning("no checkpoint: %s", err.text);
        drop(local);
    }
}

void checkpoint_cancel(struct local *local)
{
    if (local->checkpoint != NULL) {
        drop(local);
    }
}

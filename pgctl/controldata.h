/*
 * pgctl/controldata.h - what `pg_controldata` prints, as a struct.
 *
 * Pure. The layout of the control file changes between major versions, the words of the
 * program hardly do; it must have been run with LC_ALL=C. Lines that are not known are left out.
 */
#ifndef PGBATON_PGCTL_CONTROLDATA_H
#define PGBATON_PGCTL_CONTROLDATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "pgctl/position.h"

enum control_state {
    CONTROL_STATE_UNKNOWN,
    CONTROL_STATE_STARTING_UP,
    CONTROL_STATE_SHUT_DOWN,
    CONTROL_STATE_SHUT_DOWN_IN_RECOVERY,
    CONTROL_STATE_SHUTTING_DOWN,
    CONTROL_STATE_IN_CRASH_RECOVERY,
    CONTROL_STATE_IN_ARCHIVE_RECOVERY,
    CONTROL_STATE_IN_PRODUCTION,
};

struct controldata {
    uint64_t system_identifier;
    enum control_state state;
    uint64_t checkpoint_lsn;         /* Where the newest checkpoint's record begins. */
    uint64_t redo_lsn;               /* Where replay after a crash begins. */
    uint32_t timeline;               /* Of the newest checkpoint. */
    struct pg_position min_recovery; /* 0/0 unless it was a standby. */
    uint32_t segment_bytes;
    uint32_t page_bytes; /* Of WAL. */
    bool wal_log_hints;
    bool data_checksums;
    /* A standby must not be started with less than these. */
    uint32_t max_connections;
    uint32_t max_worker_processes;
    uint32_t max_wal_senders;
    uint32_t max_prepared_transactions;
    uint32_t max_locks_per_transaction;
};

/* INVALID if a line that every version prints is missing or not understood. */
MUST_CHECK enum status controldata_parse(
    const char *text, struct controldata *control, struct err *err);

/* "shut down" or "shut down in recovery". */
bool controldata_is_clean(const struct controldata *control);

/* The end of WAL that is sure from the control file alone: redo or min recovery point. */
struct pg_position controldata_end(const struct controldata *control);

const char *control_state_name(enum control_state state);

#endif

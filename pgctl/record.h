/*
 * pgctl/record.h - the daemon's own record of a data directory, as text and back.
 *
 * Pure. The text is for people too, so it has names; a checksum makes a damaged record no
 * record. Keys that are not known are ignored: a newer daemon may have written them.
 */
#ifndef PGBATON_PGCTL_RECORD_H
#define PGBATON_PGCTL_RECORD_H

#include "base/status.h"
#include "pgctl/pgctl.h"

#define RECORD_TEXT_SIZE 512
#define RECORD_FILE_NAME "pgbaton.record"

void record_print(const struct pg_record *record, char text[RECORD_TEXT_SIZE]);

/* CORRUPT if the checksum does not match, INVALID if it is no such text at all. */
MUST_CHECK enum status record_parse(const char *text, struct pg_record *record, struct err *err);

/*
 * The epoch whose first commit this WAL contains, given that it reaches `position`: the epoch
 * that is followed once its first commit has arrived on its timeline, else the one before.
 */
uint64_t record_epoch_at(const struct pg_record *record, struct pg_position position);

#endif

/*
 * pgctl/guard/note_sys.h - the guard's own log lines, which must never make it wait.
 *
 * A line on a disk that hangs would hold up the fence, and no signal ends that wait. So lines go
 * to a small buffer; it is emptied when nothing depends on the guard's being on time, or at once
 * if standard error is no file and takes them without waiting. What does not fit is dropped.
 */
#ifndef PGBATON_PGCTL_GUARD_NOTE_SYS_H
#define PGBATON_PGCTL_GUARD_NOTE_SYS_H

#include <stdbool.h>

/* Makes it the sink of base/log.h. */
void note_open(void);

/* `may_wait`: no deadline is running. */
void note_flush(bool may_wait);

#endif

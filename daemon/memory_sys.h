/*
 * daemon/memory_sys.h - keeps the process small.
 */
#ifndef PGBATON_DAEMON_MEMORY_SYS_H
#define PGBATON_DAEMON_MEMORY_SYS_H

/* How the heap grows and shrinks. To be called first of all, before there are threads. */
void memory_limit_heap(void);

/* Gives back what is not in use just now: free heap, and code that has not run for long. Takes
 * some milliseconds; nothing is lost by it, what is wanted again comes back by itself. */
void memory_trim(void);

#endif

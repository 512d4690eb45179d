/*
 * base/thread_sys.h - the names of threads, as top, ps and a debugger show them.
 */
#ifndef PGBATON_BASE_THREAD_SYS_H
#define PGBATON_BASE_THREAD_SYS_H

/* Of the calling thread; 15 bytes of it are seen. */
void thread_set_name(const char *name);

#endif

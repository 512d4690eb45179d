/*
 * daemon/limit_sys.h - how many descriptors the process may have.
 */
#ifndef PGBATON_DAEMON_LIMIT_SYS_H
#define PGBATON_DAEMON_LIMIT_SYS_H

/* Raises the soft limit as far as is allowed, at most to what thousands of HTTP connections
 * need. Less than asked for is no error: the server keeps to what there is. */
void limit_raise_files(void);

#endif

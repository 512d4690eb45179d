/*
 * daemon/daemon_uv.h - runs one node until it is told to stop.
 */
#ifndef PGBATON_DAEMON_DAEMON_UV_H
#define PGBATON_DAEMON_DAEMON_UV_H

/*
 * `conf_path` as for conf_load(). Returns the exit status: 0 after a clean stop, 1 after a
 * fatal error, which was logged. `argv` is what the process starts itself anew with after it
 * has lost the memory of its Raft store.
 */
int daemon_main(const char *conf_path, char *const argv[]);

#endif

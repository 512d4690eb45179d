/*
 * daemon/notify_sys.h - tells systemd what state the service is in, where it runs under it.
 *
 * One datagram to $NOTIFY_SOCKET; without that variable nothing happens. Losing one does no
 * harm, so nothing is reported.
 */
#ifndef PGBATON_DAEMON_NOTIFY_SYS_H
#define PGBATON_DAEMON_NOTIFY_SYS_H

/* "READY=1", "STOPPING=1", ... as in sd_notify(3). */
void notify_state(const char *state);

/* RELOADING=1 with the time that newer systemd asks for. */
void notify_reloading(void);

#endif

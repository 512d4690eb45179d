/*
 * cli/settings_sys.h - what the command line takes from the settings file and the environment.
 *
 * The file is the daemon's own or a short one with the same keys: scope, ctl, restapi, raft.
 * Variables PGBATON_<KEY> win over PATRONI_<KEY>, and both over the file.
 */
#ifndef PGBATON_CLI_SETTINGS_SYS_H
#define PGBATON_CLI_SETTINGS_SYS_H

#include <stdbool.h>

#include "base/status.h"
#include "cli/nodes.h"
#include "conf/tree.h"

/* Texts are the tree's or the environment's; "" where nothing was set. */
struct settings {
    const char *scope;
    const char *username;
    const char *password;
    const char *cacert;
    const char *certfile;
    const char *keyfile;
    const char *keyfile_password;
    bool insecure;
};

/*
 * Reads `path`, or the first default file there is if `path` is NULL, and puts the addresses of
 * the nodes into `nodes`: those of `hosts` (comma-separated, NULL: of the file). NOT_FOUND if a
 * named file is missing; a missing default file is fine.
 */
MUST_CHECK enum status settings_read(
    struct tree *tree, const char *path, const char *hosts, struct settings *settings,
    struct nodes *nodes, struct err *err);

#endif

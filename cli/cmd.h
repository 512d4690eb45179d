/*
 * cli/cmd.h - the commands. Each gets its own words, its name first, and returns an exit status.
 */
#ifndef PGBATON_CLI_CMD_H
#define PGBATON_CLI_CMD_H

#include "cli/ctl.h"

ctl_command cmd_list;
ctl_command cmd_topology;
ctl_command cmd_history;
ctl_command cmd_dsn;
ctl_command cmd_version;
ctl_command cmd_switchover;
ctl_command cmd_failover;
ctl_command cmd_restart;
ctl_command cmd_reload;
ctl_command cmd_reinit;
ctl_command cmd_flush;
ctl_command cmd_pause;
ctl_command cmd_resume;
ctl_command cmd_show_config;
ctl_command cmd_edit_config;

#endif

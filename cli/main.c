#include <stdio.h>
#include <stdlib.h>

#include "base/name.h"
#include "cli/cmd.h"
#include "cli/options_sys.h"

static const struct {
    const char *name;
    ctl_command *run;
    const char *purpose;
} commands[] = {
    {"list",        cmd_list,        "show the members"                              },
    {"topology",    cmd_topology,    "show the members as a tree below the leader"   },
    {"history",     cmd_history,     "show the changes of the primary"               },
    {"dsn",         cmd_dsn,         "print how to connect to a member"              },
    {"version",     cmd_version,     "print versions"                                },
    {"switchover",  cmd_switchover,  "hand the primary over, now or at a time"       },
    {"failover",    cmd_failover,    "make a member the primary, leader or no leader"},
    {"restart",     cmd_restart,     "restart PostgreSQL on members"                 },
    {"reload",      cmd_reload,      "reload the settings of members"                },
    {"reinit",      cmd_reinit,      "rebuild replicas from scratch"                 },
    {"flush",       cmd_flush,       "forget a scheduled restart or switchover"      },
    {"pause",       cmd_pause,       "switch automatic failover off"                 },
    {"resume",      cmd_resume,      "switch automatic failover on"                  },
    {"show-config", cmd_show_config, "print the cluster's configuration"             },
    {"edit-config", cmd_edit_config, "change the cluster's configuration"            },
};

static int help(FILE *stream, int status)
{
    (void)fprintf(
        stream,
        "Usage: %s [-c|--config-file FILE] [-d|--hosts URL[,URL...]] [-k|--insecure]\n"
        "       COMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:\n",
        CTL_NAME);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        (void)fprintf(stream, "  %-12s %s\n", commands[i].name, commands[i].purpose);
    }
    (void)fprintf(stream, "\n%s COMMAND --help shows the options of a command.\n", CTL_NAME);
    return status;
}

static ctl_command *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (text_equal(commands[i].name, name)) {
            return commands[i].run;
        }
    }
    return NULL;
}

/* NULL if neither variable is set: then the default files are looked for. */
static const char *file_from_environment(void)
{
    const char *file = getenv("PGBATONCTL_CONFIG_FILE");

    file = file != NULL && file[0] != '\0' ? file : getenv("PATRONICTL_CONFIG_FILE");
    return file != NULL && file[0] != '\0' ? file : NULL;
}

static int run(
    ctl_command *command, const char *file, const char *hosts, bool insecure, int argc, char **argv)
{
    struct ctl *ctl = NULL;
    struct err err;
    int status;

    if (ctl_create(&ctl, &err) != STATUS_OK ||
        ctl_configure(ctl, file, hosts, insecure, &err) != STATUS_OK) {
        status = ctl_fail(&err);
    } else {
        status = command(ctl, argc, argv);
    }
    ctl_destroy(ctl);
    if (fflush(stdout) != 0 && status == CTL_OK) {
        return ctl_error("could not write to standard output");
    }
    return status;
}

int main(int argc, char **argv)
{
    const char *file = file_from_environment();
    const char *hosts = NULL;
    bool insecure = false;
    const struct options_spec specs[] = {
        {"config-file", 'c', NULL,      &file,  NULL},
        {"hosts",       'd', NULL,      &hosts, NULL},
        {"dcs-url",     0,   NULL,      &hosts, NULL},
        {"dcs",         0,   NULL,      &hosts, NULL},
        {"insecure",    'k', &insecure, NULL,   NULL},
    };
    ctl_command *command = NULL;
    int first = 0;

    switch (options_parse(argc, argv, specs, ARRAY_SIZE(specs), true, &first)) {
    case OPTIONS_OK:
        break;
    case OPTIONS_HELP:
        return help(stdout, CTL_OK);
    case OPTIONS_WRONG:
        return help(stderr, CTL_USAGE);
    }
    if (first == argc) {
        return help(stderr, CTL_USAGE);
    }
    command = find(argv[first]);
    if (command == NULL) {
        (void)fprintf(stderr, "There is no command \"%s\".\n", argv[first]);
        return help(stderr, CTL_USAGE);
    }
    return run(command, file, hosts, insecure, argc - first, argv + first);
}

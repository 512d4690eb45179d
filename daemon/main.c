/*
 * pgbaton: keeps one PostgreSQL of a cluster available.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/name.h"
#include "conf/load_sys.h"
#include "daemon/daemon_uv.h"

static void usage(FILE *out)
{
    (void)fprintf(
        out,
        "usage: " PRODUCT_NAME " [--validate-config] [FILE]\n"
        "       " PRODUCT_NAME " --version | --help\n"
        "\n"
        "FILE is a settings file, or a directory with *.yml and *.yaml. Without it the settings\n"
        "come from the environment (PGBATON_* and PATRONI_*).\n"
        "\n"
        "  --validate-config  check the settings, one line per problem; exit status 0 or 1\n");
}

int main(int argc, char *argv[])
{
    static const struct option options[] = {
        {"validate-config", no_argument, NULL, 'c'},
        {"version",         no_argument, NULL, 'v'},
        {"help",            no_argument, NULL, 'h'},
        {NULL,              0,           NULL, 0  },
    };
    bool validate = false;
    const char *path;
    int option;

    while ((option = getopt_long(argc, argv, "hv", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            validate = true;
            break;
        case 'v':
            (void)printf(PRODUCT_NAME " " PRODUCT_VERSION "\n");
            return 0;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (argc - optind > 1) {
        usage(stderr);
        return 2;
    }
    path = optind < argc ? argv[optind] : NULL;
    if (validate) {
        return conf_check_main(path, (const char *const *)environ);
    }
    return daemon_main(path, argv);
}

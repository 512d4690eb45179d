/*
 * pgctl/guard/main.c - pgbaton-guard: the parent of PostgreSQL, which ends it on time.
 *
 * Exit codes: 0 it was told to leave, 1 it could not begin, 2 wrong usage, 3 there is one already.
 */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/name.h"
#include "pgctl/guard/loop_sys.h"
#include "pgctl/guard/note_sys.h"

#define KILL_MARGIN_MS 30

enum {
    EXIT_USAGE = 2,
    EXIT_ONE_THERE = 3,
};

static const char usage[] =
    "Usage: " GUARD_NAME " --socket=PATH [OPTION...]\n"
    "Runs PostgreSQL for the daemon, and ends it when its lease ends.\n"
    "\n"
    "  --socket=PATH         where the daemon connects; PATH.lock is the lock\n"
    "  --kill-margin-ms=N    kill what is left this long before the deadline (30)\n"
    "  --no-realtime         keep an ordinary priority\n"
    "  --no-cgroup           make no cgroup for PostgreSQL\n"
    "  --help, --version\n";

/* What was meant for the daemon must not reach PostgreSQL and its scripts: passwords, for one. */
static void clean_environment(void)
{
    static const char *const prefixes[] = {
        "PATRONI_", "PGBATON_", "NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "INVOCATION_ID=",
    };
    char **kept = environ;

    for (char **at = environ; *at != NULL; at++) {
        bool keep = true;

        for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
            keep = keep && strncmp(*at, prefixes[i], strlen(prefixes[i])) != 0;
        }
        if (keep) {
            *kept++ = *at;
        }
    }
    *kept = NULL;
}

/* False if it is not a number from 0 to an hour. */
static bool parse_ms(const char *word, uint64_t *value_ms)
{
    char *end;
    const unsigned long long value = strtoull(word, &end, 10);

    *value_ms = value;
    return word[0] >= '0' && word[0] <= '9' && *end == '\0' && value <= GUARD_LEASE_MAX_MS;
}

/* -1 to go on, else the code to exit with. */
static int parse_options(int argc, char **argv, struct loop_options *options)
{
    enum {
        SOCKET = 1,
        KILL_MARGIN,
        NO_REALTIME,
        NO_CGROUP,
        HELP,
        VERSION
    };
    static const struct option known[] = {
        {"socket",         required_argument, NULL, SOCKET     },
        {"kill-margin-ms", required_argument, NULL, KILL_MARGIN},
        {"no-realtime",    no_argument,       NULL, NO_REALTIME},
        {"no-cgroup",      no_argument,       NULL, NO_CGROUP  },
        {"help",           no_argument,       NULL, HELP       },
        {"version",        no_argument,       NULL, VERSION    },
        {NULL,             0,                 NULL, 0          },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case SOCKET:
            options->socket_path = optarg;
            break;
        case KILL_MARGIN:
            if (!parse_ms(optarg, &options->kill_margin_ms)) {
                (void)fprintf(stderr, GUARD_NAME ": not a time in ms: \"%s\"\n", optarg);
                return EXIT_USAGE;
            }
            break;
        case NO_REALTIME:
            options->want_realtime = false;
            break;
        case NO_CGROUP:
            options->want_cgroup = false;
            break;
        case HELP:
            (void)fputs(usage, stdout);
            return EXIT_SUCCESS;
        case VERSION:
            (void)puts(GUARD_NAME " " PRODUCT_VERSION);
            return EXIT_SUCCESS;
        default:
            (void)fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (options->socket_path == NULL || optind != argc) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct loop_options options = {
        .kill_margin_ms = KILL_MARGIN_MS, .want_realtime = true, .want_cgroup = true};
    const int exit_code = parse_options(argc, argv, &options);
    struct loop loop;
    enum status status;
    struct err err;

    if (exit_code != -1) {
        return exit_code;
    }
    /* All of the heap will be locked: no more of it than is used. */
    (void)mallopt(M_TOP_PAD, 0);
    (void)malloc_trim(0);
    clean_environment();
    /* Whatever its caller forgot to mark close-on-exec: neither we nor PostgreSQL may keep it open.
     */
    (void)close_range(STDERR_FILENO + 1, ~0U, 0);
    note_open();
    status = loop_open(&loop, &options, &err);
    if (status != STATUS_OK) {
        log_error("%s", err.text);
        note_flush(true);
        /* The socket of another guard is not ours to remove. */
        if (status != STATUS_REFUSED) {
            loop_close(&loop);
        }
        return status == STATUS_REFUSED ? EXIT_ONE_THERE : EXIT_FAILURE;
    }
    log_info("waiting at \"%s\"", options.socket_path);
    note_flush(true);
    loop_run(&loop);
    loop_close(&loop);
    return EXIT_SUCCESS;
}

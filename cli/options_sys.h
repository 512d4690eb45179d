/*
 * cli/options_sys.h - the options of a command, as a table that names where each value goes.
 *
 * getopt_long() does the work: long names may be shortened, options and arguments may be mixed,
 * and "--" ends the options.
 */
#ifndef PGBATON_CLI_OPTIONS_SYS_H
#define PGBATON_CLI_OPTIONS_SYS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

#define OPTIONS_LIST_MAX 64

/* The values of an option that may be given several times; borrowed from argv. */
struct options_list {
    const char *values[OPTIONS_LIST_MAX];
    size_t count;
};

/* Exactly one of the three pointers is set. */
struct options_spec {
    const char *name;   /* Long, without dashes. */
    char letter;        /* 0: none. */
    bool *flag;         /* Takes no value; is set to true. */
    const char **value; /* Takes a value; the last one given counts. */
    struct options_list *list;
};

enum options_result {
    OPTIONS_OK,
    OPTIONS_HELP,  /* --help was among them. */
    OPTIONS_WRONG, /* Already explained on standard error. */
};

/*
 * Parses argv[1] and on. Afterwards argv[*first] and on are the arguments; with `stop_early`
 * everything from the first argument on is left as it is, options included.
 */
MUST_CHECK enum options_result options_parse(
    int argc, char **argv, const struct options_spec specs[], size_t count, bool stop_early,
    int *first);

#endif

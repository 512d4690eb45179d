#include "cli/options_sys.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"

#define SPECS_MAX 16

/* Codes of long options are the place in the table plus this; letters are far below. */
#define CODE_BASE 1000
#define CODE_HELP 999

static void add_short(const struct options_spec *spec, struct text *letters)
{
    if (spec->letter != 0) {
        text_addf(letters, "%c%s", spec->letter, spec->flag != NULL ? "" : ":");
    }
}

static const struct options_spec *find(const struct options_spec specs[], size_t count, int code)
{
    if (code >= CODE_BASE) {
        return &specs[code - CODE_BASE];
    }
    for (size_t i = 0; i < count; i++) {
        if (specs[i].letter == (char)code) {
            return &specs[i];
        }
    }
    return NULL;
}

static bool store(const struct options_spec *spec)
{
    if (spec->flag != NULL) {
        *spec->flag = true;
        return true;
    }
    if (spec->value != NULL) {
        *spec->value = optarg;
        return true;
    }
    if (spec->list->count == OPTIONS_LIST_MAX) {
        (void)fprintf(stderr, "--%s was given too often\n", spec->name);
        return false;
    }
    spec->list->values[spec->list->count++] = optarg;
    return true;
}

enum options_result options_parse(
    int argc, char **argv, const struct options_spec specs[], size_t count, bool stop_early,
    int *first)
{
    struct option longs[SPECS_MAX + 2] = {{0}};
    char letters[2 * SPECS_MAX + 2];
    struct text text;
    int code;

    ASSERT(count <= SPECS_MAX);
    text_init(&text, letters, sizeof letters);
    text_add(&text, stop_early ? "+" : "");
    for (size_t i = 0; i < count; i++) {
        const int has_value = specs[i].flag != NULL ? no_argument : required_argument;

        longs[i] = (struct option){specs[i].name, has_value, NULL, CODE_BASE + (int)i};
        add_short(&specs[i], &text);
    }
    longs[count] = (struct option){"help", no_argument, NULL, CODE_HELP};
    ASSERT(!text_overflowed(&text));

    optind = 0; /* Starts anew: the program's own options were parsed before a command's. */
    while ((code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const struct options_spec *spec;

        if (code == '?') {
            return OPTIONS_WRONG;
        }
        if (code == CODE_HELP) {
            return OPTIONS_HELP;
        }
        spec = find(specs, count, code);
        ASSERT(spec != NULL);
        if (!store(spec)) {
            return OPTIONS_WRONG;
        }
    }
    *first = optind;
    return OPTIONS_OK;
}

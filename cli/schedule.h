/*
 * cli/schedule.h - the time a user gave for an action.
 */
#ifndef PGBATON_CLI_SCHEDULE_H
#define PGBATON_CLI_SCHEDULE_H

#include "cli/when.h"

/*
 * Writes the time as the API wants it, or "" for now, into `iso`. Says what is wrong and returns
 * an exit status if it is no time.
 */
MUST_CHECK int schedule_parse(const char *typed, char iso[WHEN_SIZE]);

/* Asks for the time; `action` is a noun for the question. The same results. */
MUST_CHECK int schedule_ask(const char *action, char iso[WHEN_SIZE]);

#endif

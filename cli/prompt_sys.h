/*
 * cli/prompt_sys.h - questions to the user, on the terminal or a pipe.
 */
#ifndef PGBATON_CLI_PROMPT_SYS_H
#define PGBATON_CLI_PROMPT_SYS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

/*
 * Asks "question [proposal]: " and puts the answer, or the proposal if it is empty, into
 * `answer`. False at the end of the input, on Ctrl-C, and for an answer that does not fit; then
 * "Aborted!" was printed.
 */
MUST_CHECK bool prompt_text(const char *question, const char *proposal, char *answer, size_t size);

/* Asks "question [y/N]: "; anything but yes prints "Aborted!" and is false. */
MUST_CHECK bool prompt_confirm(const char *question);

/* The same, but a no is an answer like any other: nothing is printed, and `yes` tells. */
MUST_CHECK bool prompt_yes(const char *question, bool *yes);

/* A pause between two looks at a cluster; false if Ctrl-C ended it. */
MUST_CHECK bool prompt_pause(double seconds);

/* Whether people read what we print. */
bool prompt_is_terminal(void);

/* Empties the screen, if there is one. */
void prompt_clear_screen(void);

#endif

/*
 * Ctrl-C while a question stands open is an answer: the handler does nothing but let the read
 * return. Elsewhere the signal keeps its usual meaning and ends the program.
 */
#include "cli/prompt_sys.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

static void on_interrupt(int number)
{
    (void)number;
}

static bool aborted(void)
{
    (void)fprintf(stderr, "\nAborted!\n");
    return false;
}

/* One line without its end. */
static bool read_line(char *line, size_t size)
{
    struct sigaction interrupt = {.sa_handler = on_interrupt}; /* Without SA_RESTART. */
    struct sigaction before;
    bool ok;

    (void)fflush(stdout);
    (void)sigaction(SIGINT, &interrupt, &before);
    ok = fgets(line, (int)size, stdin) != NULL;
    (void)sigaction(SIGINT, &before, NULL);
    if (!ok || (strchr(line, '\n') == NULL && strlen(line) == size - 1)) {
        return false;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return true;
}

bool prompt_text(const char *question, const char *proposal, char *answer, size_t size)
{
    (void)printf("%s [%s]: ", question, proposal);
    if (!read_line(answer, size)) {
        return aborted();
    }
    if (answer[0] == '\0' && !text_copy(answer, size, proposal)) {
        return aborted();
    }
    return true;
}

bool prompt_yes(const char *question, bool *yes)
{
    char answer[16];

    (void)printf("%s [y/N]: ", question);
    if (!read_line(answer, sizeof answer)) {
        return aborted();
    }
    *yes = text_equal_nocase(answer, "y") || text_equal_nocase(answer, "yes");
    return true;
}

bool prompt_confirm(const char *question)
{
    bool yes = false;

    if (!prompt_yes(question, &yes)) {
        return false;
    }
    if (!yes) {
        (void)fprintf(stderr, "Aborted!\n");
    }
    return yes;
}

bool prompt_pause(double seconds)
{
    const struct timespec span = {
        .tv_sec = (time_t)seconds,
        .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
    };

    (void)fflush(stdout);
    return nanosleep(&span, NULL) == 0;
}

bool prompt_is_terminal(void)
{
    return isatty(STDOUT_FILENO) == 1;
}

void prompt_clear_screen(void)
{
    if (prompt_is_terminal()) {
        (void)printf("\033[2J\033[H");
    }
}

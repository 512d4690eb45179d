/*
 * base/assert.c - the end of a process whose code is wrong.
 *
 * Standard error and not the log: the log's own code may be what failed.
 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/name.h"

NORETURN void assert_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, PRODUCT_NAME ": %s:%d: assertion failed: %s\n", file, line, condition);
    abort();
}

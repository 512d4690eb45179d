/*
 * tests/lib/test.h - what every test program includes: cmocka with the headers it wants, and
 * folders for temporary files.
 */
#ifndef PGBATON_TESTS_LIB_TEST_H
#define PGBATON_TESTS_LIB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/status.h"

#define TEST_PATH_SIZE 256

/* A new empty folder; fails the test if there is none to be had. */
void test_dir_make(char path[TEST_PATH_SIZE]);

/* Removes it with all it holds. */
void test_dir_remove(const char *path);

/* "<dir>/<name>" into `path`. */
void test_path(char path[TEST_PATH_SIZE], const char *dir, const char *name);

/*
 * Lets every program that the caller starts inherit a capability, CAP_SYS_NICE, as a unit of
 * systemd may. False if the caller does not have it.
 */
MUST_CHECK bool test_lend_capability(void);

/* Fails with the words of `err` unless the call went well. */
void test_ok(enum status status, const struct err *err);

#endif

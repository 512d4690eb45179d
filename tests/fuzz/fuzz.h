/*
 * tests/fuzz/fuzz.h - the entry point that libFuzzer calls, and main.c here without it.
 *
 * With clang -fsanitize=fuzzer a target is linked alone. With any other compiler it is
 * linked with tests/fuzz/main.c, which runs the corpus and the same changed inputs of it
 * each time, and is then a test like any other.
 */
#ifndef PGBATON_TESTS_FUZZ_FUZZ_H
#define PGBATON_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Returns 0. What must not happen ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif

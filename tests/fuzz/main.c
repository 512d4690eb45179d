/*
 * Usage: fuzz_x FILE...
 *
 * Runs each file as it is, each of its beginnings, and CHANGED_COUNT inputs that are made
 * of it by a seeded generator. Ends with 1 if there was no file: a corpus that got lost
 * must not pass for one without faults.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/prng.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_BYTES_MAX ((size_t)64 * 1024)
#define BEGINNINGS_MAX  2000
#define CHANGED_COUNT   20000

/* From a block of its very size, so that a sanitizer sees what is read behind it. */
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1); /* Some libraries return NULL for no bytes. */

    ASSERT(copy != NULL);
    memcpy(copy + 1, bytes, size);
    (void)LLVMFuzzerTestOneInput(copy + 1, size);
    free(copy);
}

static size_t change(struct prng *prng, uint8_t *bytes, size_t size)
{
    const uint64_t changes = prng_between(prng, 1, 6);

    for (uint64_t i = 0; i < changes && size > 0; i++) {
        const size_t at = prng_between(prng, 0, size - 1);

        switch (prng_between(prng, 0, 4)) {
        case 0: /* A byte goes. */
            memmove(&bytes[at], &bytes[at + 1], size - at - 1);
            size--;
            break;
        case 1: /* A byte comes. */
            if (size < INPUT_BYTES_MAX) {
                memmove(&bytes[at + 1], &bytes[at], size - at);
                bytes[at] = (uint8_t)prng_next(prng);
                size++;
            }
            break;
        case 2:
            bytes[at] ^= (uint8_t)(1u << prng_between(prng, 0, 7));
            break;
        case 3:
            bytes[at] = prng_chance(prng, 50) ? 0xff : 0;
            break;
        default:
            bytes[at] = (uint8_t)prng_next(prng);
            break;
        }
    }
    return size;
}

static void run_file(const char *path)
{
    static uint8_t original[INPUT_BYTES_MAX];
    static uint8_t changed[INPUT_BYTES_MAX + 1];
    FILE *file = fopen(path, "rb");
    struct prng prng;
    size_t size;

    ASSERT(file != NULL);
    size = fread(original, 1, sizeof original, file);
    ASSERT(fclose(file) == 0);
    run(original, size);
    for (size_t cut = 0; cut < size && cut < BEGINNINGS_MAX; cut++) {
        run(original, cut);
    }
    prng_init(&prng, size);
    for (int i = 0; i < CHANGED_COUNT; i++) {
        memcpy(changed, original, size);
        run(changed, change(&prng, changed, size));
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        run_file(argv[i]);
    }
    (void)printf("%d files\n", argc - 1);
    return argc > 1 ? 0 : 1;
}

/*
 * Where memory went that nobody used: a heap for each of the few threads, blocks that the
 * allocator kept, and the code and tables of two dozen libraries. Most of a library is touched
 * once, while it is bound and set up: OpenSSL, which libpq needs for a password, is 2 MB. See
 * docs/decisions/0017-memory.md.
 */
#include "daemon/memory_sys.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>

/* From this size on a block is a mapping of its own, and gone when it is freed. glibc would
 * raise the limit with the first large block that is freed. */
#define LARGE_BLOCK_BYTES 65536
#define KEPT_FREE_BYTES   65536

struct mapping {
    uintptr_t start;
    uintptr_t end;
    bool is_file; /* Read-only and private. */
};

void memory_limit_heap(void)
{
    /* Threads other than the loop's allocate little: they need no heaps of their own. */
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_FREE_BYTES);
}

/* "7fa15-7fa16 r-xp 00001000 fe:00 1234    /usr/lib/..." begins a mapping; false for its details.
 */
static bool read_mapping(const char *line, struct mapping *mapping)
{
    uintptr_t start;
    uintptr_t end;
    char permissions[5];
    unsigned long inode;

    if (sscanf(
            line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %lu", &start, &end, permissions, &inode) !=
        4) {
        return false;
    }
    *mapping = (struct mapping){
        .start = start,
        .end = end,
        .is_file = inode != 0 && permissions[1] == '-' && permissions[3] == 'p',
    };
    return true;
}

/*
 * A page that is as it stands in the file comes back from there when it is touched. A mapping
 * with a page of its own - relocated, or patched by a debugger - is left alone. So no list of
 * libraries is needed: what is in use is back within a turn of the loop.
 */
static void drop_file_pages(FILE *maps)
{
    struct mapping mapping = {0};
    char line[512];
    unsigned long anonymous_kb;

    while (fgets(line, sizeof line, maps) != NULL) {
        if (!read_mapping(line, &mapping) && mapping.is_file &&
            sscanf(line, "Anonymous: %lu kB", &anonymous_kb) == 1 && anonymous_kb == 0) {
            (void)madvise((void *)mapping.start, mapping.end - mapping.start, MADV_DONTNEED);
        }
    }
}

void memory_trim(void)
{
    FILE *maps = fopen("/proc/self/smaps", "re");

    (void)malloc_trim(0);
    /* Without /proc the process is a little larger, that is all. */
    if (maps != NULL) {
        drop_file_pages(maps);
        (void)fclose(maps);
    }
}

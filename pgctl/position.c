#include "pgctl/position.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"

void pg_lsn_print(uint64_t lsn, char text[PG_LSN_TEXT_SIZE])
{
    const int length = snprintf(
        text, PG_LSN_TEXT_SIZE, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);

    ASSERT(length > 0 && length < PG_LSN_TEXT_SIZE);
}

/* One half: 1 to 8 hexadecimal digits. Returns what stands behind them, NULL if there are none. */
static const char *parse_half(const char *text, uint32_t *half)
{
    uint32_t value = 0;
    uint32_t digits = 0;

    for (; digits < 9; digits++) {
        const char c = text[digits];
        uint32_t digit;

        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if (c >= 'A' && c <= 'F') {
            digit = (uint32_t)(c - 'A') + 10;
        } else if (c >= 'a' && c <= 'f') {
            digit = (uint32_t)(c - 'a') + 10;
        } else {
            break;
        }
        value = (value << 4) | digit;
    }
    if (digits == 0 || digits > 8) {
        return NULL;
    }
    *half = value;
    return &text[digits];
}

bool pg_lsn_parse(const char *text, uint64_t *lsn)
{
    uint32_t high = 0;
    uint32_t low = 0;
    const char *rest = parse_half(text, &high);

    if (rest == NULL || *rest != '/') {
        return false;
    }
    rest = parse_half(&rest[1], &low);
    if (rest == NULL || *rest != '\0') {
        return false;
    }
    *lsn = ((uint64_t)high << 32) | low;
    return true;
}

#include "raft/mark_sys.h"

#include <limits.h>

#include "base/bytes.h"
#include "base/file_sys.h"
#include "base/text.h"

#define MARK_BYTES 12 /* The value and its CRC-32C. */

static enum status mark_path(const char *dir, char path[PATH_MAX], struct err *err)
{
    struct text text;

    text_init(&text, path, PATH_MAX);
    text_addf(&text, "%s/epoch", dir);
    if (text_overflowed(&text)) {
        return ERR(err, INVALID, "the name of directory \"%s\" is too long", dir);
    }
    return STATUS_OK;
}

enum status mark_read(const char *dir, uint64_t *value, struct err *err)
{
    char path[PATH_MAX];
    uint8_t bytes[MARK_BYTES];
    char data[MARK_BYTES + 2]; /* A byte more than allowed, and the NUL file_read() adds. */
    size_t length = 0;
    enum status status = mark_path(dir, path, err);

    if (status != STATUS_OK) {
        return status;
    }
    status = file_read(path, data, sizeof data, &length, err);
    if (status == STATUS_INVALID) {
        return ERR(err, CORRUPT, "file \"%s\" is damaged: it is too long", path);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (length != MARK_BYTES) {
        return ERR(err, CORRUPT, "file \"%s\" is damaged: it has %zu bytes", path, length);
    }
    for (size_t i = 0; i < MARK_BYTES; i++) {
        bytes[i] = (uint8_t)data[i];
    }
    if (get_u32(&bytes[8]) != crc32c(0, bytes, 8)) {
        return ERR(err, CORRUPT, "file \"%s\" is damaged: the checksum does not match", path);
    }
    *value = get_u64(bytes);
    return STATUS_OK;
}

enum status mark_write(const char *dir, uint64_t value, struct err *err)
{
    char path[PATH_MAX];
    uint8_t bytes[MARK_BYTES];
    const enum status status = mark_path(dir, path, err);

    if (status != STATUS_OK) {
        return status;
    }
    put_u64(bytes, value);
    put_u32(&bytes[8], crc32c(0, bytes, 8));
    return file_replace(path, bytes, sizeof bytes, 0600, err);
}

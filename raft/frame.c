#include "raft/frame.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

#define MAGIC_BYTES        3
#define VERSION_OFFSET     3
#define LENGTH_OFFSET      4
#define CHECKSUM_OFFSET    8
#define CHANNEL_OFFSET     12
#define SENDER_OFFSET      16
#define CLUSTER_OFFSET     24
#define INCARNATION_OFFSET 32

/* No text protocol and no TLS record begins with a byte above 0x7f. */
static const uint8_t magic[MAGIC_BYTES] = {0xb7, 'R', 'M'};

const char *frame_result_text(enum frame_result result)
{
    static const char *const texts[] = {
        [FRAME_MORE] = "the frame is not complete",
        [FRAME_READY] = "the frame is complete",
        [FRAME_NOT_OURS] = "not our protocol",
        [FRAME_OTHER_VERSION] = "another version of the protocol",
        [FRAME_TOO_LONG] = "the frame is longer than allowed",
        [FRAME_BAD_CHECKSUM] = "the frame's checksum does not match",
    };

    _Static_assert(ARRAY_SIZE(texts) == FRAME_RESULTS, "every result has a text");
    ASSERT((size_t)result < ARRAY_SIZE(texts));
    return texts[result];
}

/* Of the header around the checksum, and of the payload. */
static uint32_t checksum(const uint8_t *header, const uint8_t *payload, size_t size)
{
    uint32_t crc = crc32c(0, header, CHECKSUM_OFFSET);

    crc = crc32c(crc, header + CHANNEL_OFFSET, FRAME_HEADER_BYTES - CHANNEL_OFFSET);
    return size == 0 ? crc : crc32c(crc, payload, size);
}

void frame_put_header(const struct frame *frame, uint8_t header[FRAME_HEADER_BYTES])
{
    ASSERT(frame->size_bytes <= FRAME_PAYLOAD_MAX);
    ASSERT(frame->channel < FRAME_CHANNELS);
    memset(header, 0, FRAME_HEADER_BYTES);
    memcpy(header, magic, MAGIC_BYTES);
    header[VERSION_OFFSET] = FRAME_VERSION;
    put_u32(&header[LENGTH_OFFSET], frame->size_bytes);
    header[CHANNEL_OFFSET] = frame->channel;
    put_u64(&header[SENDER_OFFSET], frame->sender_id);
    put_u64(&header[CLUSTER_OFFSET], frame->cluster_id);
    put_u64(&header[INCARNATION_OFFSET], frame->incarnation);
    put_u32(&header[CHECKSUM_OFFSET], checksum(header, frame->payload, frame->size_bytes));
}

enum frame_result frame_parse(const uint8_t *bytes, size_t size, struct frame *frame)
{
    uint32_t length;

    if (size == 0) {
        return FRAME_MORE;
    }
    if (memcmp(bytes, magic, size < MAGIC_BYTES ? size : MAGIC_BYTES) != 0) {
        return FRAME_NOT_OURS;
    }
    if (size > VERSION_OFFSET && bytes[VERSION_OFFSET] != FRAME_VERSION) {
        return FRAME_OTHER_VERSION;
    }
    if (size < CHECKSUM_OFFSET) {
        return FRAME_MORE;
    }
    length = get_u32(&bytes[LENGTH_OFFSET]);
    if (length > FRAME_PAYLOAD_MAX) {
        return FRAME_TOO_LONG;
    }
    if (size < FRAME_HEADER_BYTES + (size_t)length) {
        return FRAME_MORE;
    }
    if (get_u32(&bytes[CHECKSUM_OFFSET]) != checksum(bytes, bytes + FRAME_HEADER_BYTES, length)) {
        return FRAME_BAD_CHECKSUM;
    }
    *frame = (struct frame){
        .channel = bytes[CHANNEL_OFFSET],
        .sender_id = get_u64(&bytes[SENDER_OFFSET]),
        .cluster_id = get_u64(&bytes[CLUSTER_OFFSET]),
        .incarnation = get_u64(&bytes[INCARNATION_OFFSET]),
        .size_bytes = length,
        .payload = bytes + FRAME_HEADER_BYTES,
    };
    return FRAME_READY;
}

uint8_t frame_version(const uint8_t *bytes)
{
    return bytes[VERSION_OFFSET];
}

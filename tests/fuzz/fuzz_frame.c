/* A stream cut into frames: no byte is used twice, and what was refused stays refused. */
#include <string.h>

#include "base/assert.h"
#include "raft/frame.h"
#include "tests/fuzz/fuzz.h"

/* What is put again from the fields that were read is the same, but for reserved bytes. */
static void check_frame(const struct frame *frame, const uint8_t *data, size_t size)
{
    uint8_t header[FRAME_HEADER_BYTES];
    struct frame copy = *frame;

    ASSERT(frame->size_bytes <= FRAME_PAYLOAD_MAX);
    ASSERT(frame->payload == data + FRAME_HEADER_BYTES);
    ASSERT(FRAME_HEADER_BYTES + (size_t)frame->size_bytes <= size);
    if (copy.channel < FRAME_CHANNELS) {
        frame_put_header(&copy, header);
        ASSERT(memcmp(header, data, 8) == 0);
        ASSERT(memcmp(&header[16], &data[16], FRAME_HEADER_BYTES - 16) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum frame_result result = FRAME_READY;

    while (result == FRAME_READY) {
        struct frame frame;

        result = frame_parse(data, size, &frame);
        if (result == FRAME_READY) {
            check_frame(&frame, data, size);
            data += FRAME_HEADER_BYTES + (size_t)frame.size_bytes;
            size -= FRAME_HEADER_BYTES + (size_t)frame.size_bytes;
        }
    }
    ASSERT(strlen(frame_result_text(result)) > 0);
    return 0;
}

/* Whatever wire_decode() accepts keeps the contract, and says the same when sent again. */
#include <stdlib.h>

#include "base/assert.h"
#include "raft/wire.h"
#include "tests/fuzz/fuzz.h"

static void check_entries(const struct raft_message *message, const uint8_t *data, size_t size)
{
    ASSERT(message->entry_count <= RAFT_BATCH_MAX);
    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];

        ASSERT(entry->size_bytes <= RAFT_ENTRY_BYTES_MAX);
        ASSERT(entry->data >= data);
        ASSERT(entry->data + entry->size_bytes <= data + size);
        ASSERT(entry->index == message->prev_index + 1 + i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct raft_message message;
    static struct raft_message again;
    uint8_t *bytes;
    size_t bound;
    size_t length;
    struct err err;

    if (wire_decode(data, size, &message, &err) != STATUS_OK) {
        ASSERT(err.status == STATUS_INVALID);
        return 0;
    }
    ASSERT(message.kind < RAFT_MESSAGE_KINDS);
    ASSERT(message.seen_count <= RAFT_MEMBERS_MAX);
    ASSERT(message.formed_count <= RAFT_MEMBERS_MAX);
    ASSERT(message.snapshot.config.count <= RAFT_MEMBERS_MAX);
    ASSERT(message.snapshot.size_bytes <= RAFT_SNAPSHOT_BYTES_MAX);
    check_entries(&message, data, size);

    bound = wire_bound_bytes(&message);
    bytes = malloc(bound);
    ASSERT(bytes != NULL);
    length = wire_encode(&message, bytes, bound);
    ASSERT(wire_decode(bytes, length, &again, &err) == STATUS_OK);
    ASSERT(again.term == message.term);
    ASSERT(again.entry_count == message.entry_count);
    ASSERT(again.snapshot.index == message.snapshot.index);
    free(bytes);
    return 0;
}

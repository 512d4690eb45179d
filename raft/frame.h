/*
 * raft/frame.h - the envelope of everything nodes say to each other.
 *
 *   0  magic, 3 bytes       8  CRC-32C of all but itself   16  sender id
 *   3  protocol version    12  channel                     24  cluster id
 *   4  payload length      13  reserved, 3 bytes           32  incarnation
 *                                                          40  payload
 *
 * Integers are big-endian. Reserved bytes are sent as zero and not looked at. The
 * checksum guards against faulty hardware and bugs; against people there is TLS
 * below. Pure: the bytes are the caller's, and so is the decoded frame's payload.
 */
#ifndef PGBATON_RAFT_FRAME_H
#define PGBATON_RAFT_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_VERSION      1
#define FRAME_HEADER_BYTES 40
#define FRAME_PAYLOAD_MAX  (1024u * 1024)

/* Numbers on the wire; a channel that is not known is skipped, a newer node may have more. */
enum frame_channel {
    FRAME_CHANNEL_GREETING, /* First frame of each side; the payload is the sender's address. */
    FRAME_CHANNEL_RAFT,     /* raft/wire.h */
    FRAME_CHANNEL_HA,       /* Opaque here. */
    FRAME_CHANNELS,
};

struct frame {
    uint8_t channel;
    uint64_t sender_id;
    uint64_t cluster_id; /* 0: the sender has none yet. */
    uint64_t incarnation;
    uint32_t size_bytes; /* Of the payload. */
    const uint8_t *payload;
};

enum frame_result {
    FRAME_MORE,  /* What is there is the beginning of a frame. */
    FRAME_READY, /* The first FRAME_HEADER_BYTES + size_bytes are a frame. */
    FRAME_NOT_OURS,
    FRAME_OTHER_VERSION, /* frame_version() tells which. */
    FRAME_TOO_LONG,
    FRAME_BAD_CHECKSUM,
    FRAME_RESULTS,
};

/* What a refusal means, in words for a log line. */
const char *frame_result_text(enum frame_result result);

/* Writes the header of `frame`, whose payload follows it on the wire unchanged. */
void frame_put_header(const struct frame *frame, uint8_t header[FRAME_HEADER_BYTES]);

/*
 * Looks at the beginning of a stream. Refuses as early as the bytes allow: a foreign
 * protocol at its first byte, a length at the eighth. Fills `frame` when READY.
 */
enum frame_result frame_parse(const uint8_t *bytes, size_t size, struct frame *frame);

/* That the sender speaks, where frame_parse() has said OTHER_VERSION. */
uint8_t frame_version(const uint8_t *bytes);

#endif

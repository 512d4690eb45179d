#include "base/bytes.h"

void put_u32(uint8_t *bytes, uint32_t value)
{
    for (unsigned int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

void put_u64(uint8_t *bytes, uint64_t value)
{
    put_u32(&bytes[0], (uint32_t)(value >> 32));
    put_u32(&bytes[4], (uint32_t)value);
}

uint32_t get_u32(const uint8_t *bytes)
{
    uint32_t value = 0;

    for (unsigned int i = 0; i < 4; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

uint64_t get_u64(const uint8_t *bytes)
{
    return (uint64_t)get_u32(&bytes[0]) << 32 | get_u32(&bytes[4]);
}

/*
 * Four bits at a time: what we check is a few kilobytes, and a table of sixteen
 * entries can be read, and stays in the cache, where one of 256 does neither.
 * Entry n is n run through four steps of the reflected polynomial 0x82f63b78.
 */
static const uint32_t crc32c_table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ crc32c_table[crc & 15];
        crc = crc >> 4 ^ crc32c_table[crc & 15];
    }
    return ~crc;
}

uint64_t hash64(uint64_t seed, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint64_t hash = seed;

    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

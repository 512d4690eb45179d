/*
 * base/bytes.h - integers to big-endian bytes and back, checksums and hashes.
 */
#ifndef PGBATON_BASE_BYTES_H
#define PGBATON_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

void put_u32(uint8_t *bytes, uint32_t value);
void put_u64(uint8_t *bytes, uint64_t value);
uint32_t get_u32(const uint8_t *bytes);
uint64_t get_u64(const uint8_t *bytes);

/* CRC-32C (Castagnoli). Start with `crc` 0; feed the result back in to go on. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* FNV-1a, 64 bits: for identifiers and chains, not against an adversary. */
uint64_t hash64(uint64_t seed, const void *data, size_t size);
#define HASH64_SEED UINT64_C(0xcbf29ce484222325)

#endif

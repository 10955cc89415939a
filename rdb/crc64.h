/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_RDB_CRC64_H
#define MERIDIAN_RDB_CRC64_H

#include "base/bytes.h"

/* The checksum of Redis' formats: CRC-64 with Jones' polynomial 0xad93d23594c935a9, reflected, no
 * inversion; of "123456789" it is 0xe9c6d914c4b8d9ca. Start with 0; the result goes on as `crc`. */
uint64_t crc64(uint64_t crc, struct bytes s);

#endif

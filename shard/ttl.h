/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_TTL_H
#define MERIDIAN_SHARD_TTL_H

#include "shard/keys.h"

/* Times as commands give them: EX, PX, EXAT, PXAT and the four EXPIRE commands. */
enum ttl_unit { TTL_NONE, TTL_EX, TTL_PX, TTL_EXAT, TTL_PXAT };

/* The unit that an option names; TTL_NONE for any other word. */
enum ttl_unit ttl_option(struct bytes word);
/* The deadline in Unix ms that `arg` means now; `positive`: 0 and less are refused (SET, GETEX).
 * False when an error was replied. */
bool ttl_deadline(struct call *c, struct bytes arg, enum ttl_unit unit, bool positive,
                  int64_t *at_ms);

#endif

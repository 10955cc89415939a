/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_UNSUPPORTED_H
#define MERIDIAN_PROXY_UNSUPPORTED_H

#include "base/bytes.h"

/* Commands that Redis 7 has and we do not: what to use instead. NULL: Redis does not have it
 * either.
 */
const char *unsupported_hint(struct bytes name);

#endif

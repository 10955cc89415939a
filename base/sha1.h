/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_SHA1_H
#define MERIDIAN_BASE_SHA1_H

#include "base/bytes.h"

/* SHA-1 (FIPS 180-4), which names scripts. Not for anything that must resist forgery. */
#define SHA1_HEX 40u
/* 40 lower-case digits and a NUL. */
void sha1_hex(struct bytes s, char out[SHA1_HEX + 1]);

#endif

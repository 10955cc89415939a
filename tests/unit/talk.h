/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_TESTS_UNIT_TALK_H
#define MERIDIAN_TESTS_UNIT_TALK_H

#include "tests/unit/serve.h"

/* Conversations of clients with a served database; in what is wanted, line ends are blanks: shorter
 * to write. */
struct serve *talk_serve(unsigned workers, unsigned shards);
void talk_same(const char *ask, const char *got, const char *want);
void talk_expect(struct client *c, const char *ask, const char *want);
/* What was pushed since the client was last asked. */
void talk_hears(struct client *c, const char *want);

#endif

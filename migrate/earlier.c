/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/earlier.h"

#include "migrate/asker.h"

#include <stdio.h>
#include <stdlib.h>

void earlier_read(struct earlier *e, struct bytes info, const char *run)
{
    char open[24] = "0";
    e->seen[0] = e->waits[0] = 0;
    (void)asker_info(info, "crdt_earlier_lives_open", open, sizeof open);
    (void)asker_info(info, "crdt_earlier_lives_seen", e->seen, sizeof e->seen);
    (void)asker_info(info, "crdt_earlier_lives_waits_name", e->waits, sizeof e->waits);
    e->open = strtoull(open, NULL, 10);
    if (e->open == 0)
        e->since_us = 0;
    bool any = e->seen[strspn(e->seen, "0")] != 0;
    snprintf(e->name, sizeof e->name, "%s%s%s", run, any ? "." : "", any ? e->seen : "");
}

bool earlier_waits(struct earlier *e, uint64_t now_us, uint64_t most_us)
{
#ifdef MUTANT_earlier_lives_stay
    return false; /* the planted bug: the copy is made at once, and what comes back stays on it */
#endif
    if (e->open == 0)
        return false;
    if (e->since_us == 0)
        e->since_us = now_us;
    return now_us - e->since_us < (most_us != 0 ? most_us : EARLIER_WAIT_US);
}

void earlier_explain(const struct earlier *e, char *out, size_t size)
{
    if (e->waits[0] != 0)
        snprintf(out, size,
                 "region %.60s has not told yet what it has of this region's writes before its "
                 "crash; if it has any, all is copied once more (is it down? start it, or remove "
                 "it from the database)",
                 e->waits);
    else
        snprintf(out, size,
                 "what this region had written before its crash may still come back from the "
                 "others; if it does, all is copied once more");
}

/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/nodes.h"

#include "base/mem.h"
#include "base/num.h"
#include "rdb/crc64.h"

#include <stdio.h>

#define NOBODY UINT8_MAX

static bool number(const struct resp_reply *r, int64_t most, int64_t *out)
{
    return r->type == ':' && num_parse_i64(r->text, out) && *out >= 0 && *out <= most;
}

/* The index of a master, NODES_MAX: too many. */
static unsigned find(struct nodes *n, struct bytes host, const char *other, uint16_t port)
{
    char name[256];
    bool unknown = host.n == 0 || bytes_is(host, "?");
    snprintf(name, sizeof name, "%.*s", unknown ? (int)strlen(other) : (int)host.n,
             unknown ? other : (const char *)host.p);
    for (unsigned i = 0; i < n->count; i++)
        if (n->at[i].port == port && strcmp(n->at[i].host, name) == 0)
            return i;
    if (n->count == NODES_MAX)
        return NODES_MAX;
    memcpy(n->at[n->count].host, name, sizeof name);
    n->at[n->count].port = port;
    return n->count++;
}

/* [first, last, [host, port, ...], replicas...] */
static bool take_range(struct nodes *n, const struct resp_reply *r, const char *host,
                       uint8_t *owner)
{
    int64_t first, last, port;
    if (r->type != '*' || r->n < 3 || !number(&r->items[0], NODES_SLOTS - 1, &first) ||
        !number(&r->items[1], NODES_SLOTS - 1, &last) || r->items[2].type != '*' ||
        r->items[2].n < 2 || r->items[2].items[0].text.n > 255 ||
        !number(&r->items[2].items[1], 65535, &port))
        return false;
    unsigned i = find(n, r->items[2].items[0].text, host, (uint16_t)port);
    for (int64_t s = first; s <= last && i < NODES_MAX; s++)
        owner[s] = (uint8_t)i;
    return i < NODES_MAX;
}

/* In the order of their first slots, and each slot by that. */
static void put_in_order(struct nodes *n, uint8_t *owner)
{
    struct nodes ordered = {0};
    uint8_t at[NODES_MAX];
    memset(at, NOBODY, sizeof at);
    for (uint32_t s = 0; s < NODES_SLOTS; s++) {
        uint8_t was = owner[s];
        if (at[was] == NOBODY) {
            at[was] = (uint8_t)ordered.count;
            ordered.at[ordered.count] = n->at[was];
            ordered.at[ordered.count++].first = s;
        }
        owner[s] = at[was];
    }
    *n = ordered;
    n->layout = crc64(0, bytes_of(owner, NODES_SLOTS));
}

bool nodes_read(const struct resp_reply *slots, const char *host, struct nodes *out,
                const char **why)
{
    uint8_t *owner = mem_alloc(NODES_SLOTS);
    bool ok = slots->type == '*';
    *out = (struct nodes){0};
    *why = "its CLUSTER SLOTS is not understood";
    memset(owner, NOBODY, NODES_SLOTS);
    for (size_t i = 0; ok && i < slots->n; i++)
        ok = take_range(out, &slots->items[i], host, owner);
    if (ok && memchr(owner, NOBODY, NODES_SLOTS) != NULL) {
        *why = "some of its slots have no master";
        ok = false;
    }
    if (ok)
        put_in_order(out, owner);
    mem_free(owner);
    return ok;
}

bool nodes_same(const struct nodes *a, const struct nodes *b)
{
    if (a->count != b->count || a->layout != b->layout)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (a->at[i].port != b->at[i].port || strcmp(a->at[i].host, b->at[i].host) != 0)
            return false;
    return true;
}

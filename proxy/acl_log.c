/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/acl_log.h"

#include "base/mem.h"

#include <assert.h>

#define SIMILAR_MS 60000
#define SIMILAR_MAX 10u /* entries that are looked at: Redis' number */

struct acl_log_entry {
    struct acl_log_entry *next;
    struct acl_event event; /* its texts lie in `texts` */
    struct buf texts;
};

static void entry_free(struct acl_log_entry *e)
{
    buf_deinit(&e->texts);
    mem_free(e);
}

static struct bytes cut(struct bytes s)
{
    return s.n > ACL_LOG_OBJECT_MAX ? bytes_of(s.p, ACL_LOG_OBJECT_MAX) : s;
}

/* Copies the event's texts. */
static void set_event(struct acl_log_entry *e, const struct acl_event *event)
{
    const struct bytes from[3] = {cut(event->object), event->user, event->client};
    struct buf texts = {0};
    for (unsigned i = 0; i < 3; i++)
        buf_put_bytes(&texts, from[i]);
    buf_put_u8(&texts, 0);
    buf_deinit(&e->texts);
    e->texts = texts;
    e->event = *event;
    e->event.object = bytes_of(texts.p, from[0].n);
    e->event.user = bytes_of(texts.p + from[0].n, from[1].n);
    e->event.client = bytes_of(texts.p + from[0].n + from[1].n, from[2].n);
}

static bool is_similar(const struct acl_event *a, const struct acl_event *b)
{
    return a->reason == b->reason && a->context == b->context &&
           a->wall_ms - b->wall_ms <= SIMILAR_MS && b->wall_ms - a->wall_ms <= SIMILAR_MS &&
           bytes_eq(a->object, cut(b->object)) && bytes_eq(a->user, b->user);
}

static void trim(struct acl_log *l, uint32_t max)
{
    struct acl_log_entry **at = &l->first;
    for (uint32_t i = 0; i < max && *at != NULL; i++)
        at = &(*at)->next;
    while (*at != NULL) {
        struct acl_log_entry *e = *at;
        *at = e->next;
        entry_free(e);
        l->n--;
    }
}

void acl_log_add(struct acl_log *l, const struct acl_event *event, uint32_t max)
{
    struct acl_log_entry **at = &l->first;
    struct acl_event now = *event;
    uint32_t looked = 0;
    for (; *at != NULL && looked < SIMILAR_MAX && !is_similar(&(*at)->event, event); looked++)
        at = &(*at)->next;
    struct acl_log_entry *e = looked < SIMILAR_MAX ? *at : NULL;
    if (e != NULL) {
        *at = e->next;
        l->n--;
        now.count += e->event.count;
    } else if (max == 0) {
        return;
    } else {
        e = mem_zalloc(sizeof *e);
    }
    set_event(e, &now);
    e->next = l->first;
    l->first = e;
    if (++l->n > max)
        trim(l, max);
}

void acl_log_clear(struct acl_log *l) { trim(l, 0); }

void acl_log_reply(const struct acl_log *l, uint64_t count, int64_t wall_ms, struct reply *r)
{
    static const char *const reasons[] = {"command", "key", "channel", "auth"};
    static const char *const contexts[] = {"toplevel", "multi", "lua"};
    const struct acl_log_entry *e = l->first;
    uint64_t n = count < l->n ? count : l->n;
    reply_array(r, n);
    for (uint64_t i = 0; i < n; i++, e = e->next) {
        reply_map(r, 7);
        reply_bulk_str(r, "count");
        reply_int(r, (int64_t)e->event.count);
        reply_bulk_str(r, "reason");
        reply_bulk_str(r, reasons[e->event.reason]);
        reply_bulk_str(r, "context");
        reply_bulk_str(r, contexts[e->event.context]);
        reply_bulk_str(r, "object");
        reply_bulk(r, e->event.object);
        reply_bulk_str(r, "username");
        reply_bulk(r, e->event.user);
        reply_bulk_str(r, "age-seconds");
        reply_double(r, (double)(wall_ms - e->event.wall_ms) / 1000);
        reply_bulk_str(r, "client-info");
        reply_bulk(r, e->event.client);
    }
}

/* ------------------------------------------------------------ between workers of one process */

static void put_text(struct buf *out, struct bytes s)
{
    buf_put(out, &s.n, sizeof s.n);
    buf_put_bytes(out, s);
}

static struct bytes take_text(struct bytes *in)
{
    size_t n;
    assert(in->n >= sizeof n);
    memcpy(&n, in->p, sizeof n);
    struct bytes s = bytes_of(in->p + sizeof n, n);
    assert(in->n - sizeof n >= n);
    *in = bytes_of(s.p + n, in->n - sizeof n - n);
    return s;
}

static void put_entry(const struct acl_log_entry *e, struct buf *out)
{
    struct acl_event head = e->event;
    head.object = head.user = head.client = bytes_of(NULL, 0);
    buf_put(out, &head, sizeof head);
    put_text(out, e->event.object);
    put_text(out, e->event.user);
    put_text(out, e->event.client);
}

void acl_log_put(const struct acl_log *l, struct buf *out)
{
    /* The oldest first: so they are added again in their order. */
    for (uint32_t i = l->n; i-- > 0;) {
        const struct acl_log_entry *e = l->first;
        for (uint32_t k = 0; k < i; k++)
            e = e->next;
        put_entry(e, out);
    }
}

void acl_log_take(struct acl_log *l, struct bytes in, uint32_t max)
{
    while (in.n > 0) {
        struct acl_event e;
        assert(in.n >= sizeof e);
        memcpy(&e, in.p, sizeof e);
        in = bytes_of(in.p + sizeof e, in.n - sizeof e);
        e.object = take_text(&in);
        e.user = take_text(&in);
        e.client = take_text(&in);
        acl_log_add(l, &e, max);
    }
}

/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/control_wire.h"

#include "base/mem.h"

void control_hello_encode(struct buf *out, const struct control_hello *h)
{
    mp_put_array(out, 2);
    mp_put_uint(out, h->protocol);
    mp_put_bin(out, bytes_str(h->token));
}

/* False unless the value is there, is a number and fits. */
static bool take_u32(struct mp *m, uint32_t *out)
{
    uint64_t v = mp_uint(m);
    *out = (uint32_t)v;
    return !m->bad && v <= UINT32_MAX;
}

bool control_hello_decode(struct bytes in, struct control_hello *h)
{
    struct mp m = mp_read(in);
    if (mp_array(&m) != 2 || !take_u32(&m, &h->protocol))
        return false;
    struct bytes token = mp_bin(&m);
    if (!mp_done(&m) || token.n > CONTROL_TOKEN_MAX)
        return false;
    if (token.n > 0)
        memcpy(h->token, token.p, token.n);
    h->token[token.n] = 0;
    return true;
}

void control_welcome_encode(struct buf *out, const struct control_welcome *w)
{
    mp_put_array(out, 5);
    mp_put_uint(out, w->protocol);
    mp_put_uint(out, w->pid);
    mp_put_uint(out, w->workers);
    mp_put_bool(out, w->keeps);
    mp_put_array(out, w->uids_count);
    for (uint32_t i = 0; i < w->uids_count; i++)
        mp_put_uint(out, w->uids[i]);
}

bool control_welcome_decode(struct bytes in, struct control_welcome *w)
{
    struct mp m = mp_read(in);
    *w = (struct control_welcome){0};
    if (mp_array(&m) != 5 || !take_u32(&m, &w->protocol) || !take_u32(&m, &w->pid) ||
        !take_u32(&m, &w->workers))
        return false;
    w->keeps = mp_bool(&m);
    uint32_t n = mp_array(&m);
    if (m.bad || n > CONTROL_DBS_MAX)
        return false;
    w->uids = mem_zalloc(n * sizeof *w->uids);
    for (w->uids_count = 0; w->uids_count < n; w->uids_count++)
        if (!take_u32(&m, &w->uids[w->uids_count]))
            break;
    if (mp_done(&m) && w->uids_count == n)
        return true;
    mem_free(w->uids);
    *w = (struct control_welcome){0};
    return false;
}

void control_uid_encode(struct buf *out, uint32_t uid) { mp_put_uint(out, uid); }

bool control_uid_decode(struct bytes in, uint32_t *uid)
{
    struct mp m = mp_read(in);
    return take_u32(&m, uid) && mp_done(&m);
}

void control_link_encode(struct buf *out, const struct control_link *l)
{
    mp_put_array(out, 3);
    mp_put_uint(out, l->uid);
    mp_put_uint(out, l->region);
    mp_put_bool(out, l->paused);
}

bool control_link_decode(struct bytes in, struct control_link *l)
{
    struct mp m = mp_read(in);
    if (mp_array(&m) != 3 || !take_u32(&m, &l->uid) || !take_u32(&m, &l->region))
        return false;
    l->paused = mp_bool(&m);
    return mp_done(&m);
}

/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "rdb/pack.h"

void pack_number(struct pack_item *out, int64_t v)
{
    out->is_number = true;
    out->number = v;
    out->text = bytes_of(out->room, num_format_i64(out->room, v));
}

void pack_text(struct pack *p, struct pack_item *out, size_t n)
{
    out->is_number = false;
    out->text = bytes_of(p->at, n);
    p->at += n;
}

static bool step(struct pack *p, struct pack_item *out)
{
    switch (p->form) {
    case PACK_LISTPACK:
        return pack_step_listpack(p, out);
    case PACK_ZIPLIST:
        return pack_step_ziplist(p, out);
    case PACK_ZIPMAP:
        return pack_step_zipmap(p, out);
    case PACK_INTSET:
        pack_number(out,
                    pack_signed(p->at, p->width)); /* whole numbers: pack_open has seen to it */
        p->at += p->width;
        return true;
    }
    return false;
}

bool pack_next(struct pack *p, struct pack_item *out) { return p->at < p->end && step(p, out); }

/* Sets the reader before the first entry and *claimed to what the head says there is (SIZE_MAX:
 * nothing). */
static bool open_head(struct pack *p, struct bytes s, size_t *claimed)
{
    size_t head = p->form == PACK_LISTPACK ? 6u : p->form == PACK_ZIPLIST ? 10u : 8u;
    size_t tail = p->form == PACK_INTSET ? 0 : 1;
    if (p->form == PACK_ZIPMAP)
        head = 1;
    if (s.n < head + tail || (tail && s.p[s.n - 1] != 0xff))
        return false;
    p->at = s.p + head;
    p->end = s.p + s.n - tail;
    *claimed = SIZE_MAX;
    switch (p->form) {
    case PACK_LISTPACK:
    case PACK_ZIPLIST:
        *claimed = pack_unsigned(s.p + head - 2, 2);
        if (*claimed == UINT16_MAX)
            *claimed = SIZE_MAX;
        return pack_unsigned(s.p, 4) == s.n;
    case PACK_INTSET:
        p->width = (unsigned)pack_unsigned(s.p, 4);
        *claimed = pack_unsigned(s.p + 4, 4);
        return (p->width == 2 || p->width == 4 || p->width == 8) &&
               s.n - head == *claimed * p->width;
    case PACK_ZIPMAP:
        break;
    }
    return true;
}

bool pack_open(struct pack *p, enum pack_form form, struct bytes s, size_t *count)
{
    size_t claimed, n = 0;
    int64_t least = INT64_MIN;
    struct pack_item item;
    *p = (struct pack){.form = form};
    if (!open_head(p, s, &claimed))
        return false;
    struct pack start = *p;
    const uint8_t *last = p->at;
    for (; p->at < p->end; n++) {
        last = p->at;
        if (!step(p, &item))
            return false;
        if (form == PACK_INTSET && n > 0 && item.number <= least)
            return false;
        least = item.number;
    }
    if (p->odd || (claimed != SIZE_MAX && claimed != n))
        return false;
    if (form == PACK_ZIPLIST && n > 0 && pack_unsigned(s.p + 4, 4) != (size_t)(last - s.p))
        return false;
    *p = start;
    *count = n;
    return true;
}

/* ------------------------------------------------------------ listpack */

#define LP_LENGTH_MAX 5u

/* How many bytes tell an entry's length behind it. */
static unsigned back_size(size_t n)
{
    unsigned size = 1;
    for (; size < LP_LENGTH_MAX && n >> (7 * size) > 0;)
        size++;
    return size;
}

/* The text's length by its head; *head: bytes of that. False: it is a number, or cut off. */
static bool text_head(const uint8_t *p, size_t room, size_t *head, size_t *n)
{
    *head = 1;
    if (p[0] >> 6 == 2) {
        *n = p[0] & 63u;
    } else if (p[0] >> 4 == 14) {
        *head = 2;
        *n = room < 2 ? 0 : (size_t)(p[0] & 15u) << 8 | p[1];
    } else if (p[0] == 0xf0) {
        *head = 5;
        *n = room < 5 ? 0 : pack_unsigned(p + 1, 4);
    } else {
        return false;
    }
    return *head <= room && *n <= room - *head;
}

/* Bytes behind a number's head; 0: there are none such. */
static unsigned number_bytes(uint8_t head)
{
    return head == 0xf1 ? 2 : head == 0xf2 ? 3 : head == 0xf3 ? 4 : head == 0xf4 ? 8 : 0;
}

/* A number at p; returns its bytes, 0: it is none. */
static size_t number_at(const uint8_t *p, size_t room, int64_t *v)
{
    if (p[0] < 128) {
        *v = p[0];
        return 1;
    }
    if (p[0] >> 5 == 6 && room >= 2) {
        *v = (int64_t)((p[0] & 31u) << 8 | p[1]);
        if (*v >= 4096)
            *v -= 8192;
        return 2;
    }
    unsigned n = number_bytes(p[0]);
    if (n == 0 || room < 1 + n)
        return 0;
    *v = pack_signed(p + 1, n);
    return 1 + n;
}

bool pack_step_listpack(struct pack *p, struct pack_item *out)
{
    const uint8_t *start = p->at;
    size_t room = (size_t)(p->end - start), head, n;
    int64_t v;
    if (text_head(start, room, &head, &n)) {
        p->at += head;
        pack_text(p, out, n);
    } else {
        n = number_at(start, room, &v);
        if (n == 0)
            return false;
        pack_number(out, v);
        p->at += n;
    }
    size_t length = (size_t)(p->at - start);
    unsigned size = back_size(length);
    if ((size_t)(p->end - p->at) < size)
        return false;
    for (unsigned i = 0; i < size; i++) { /* high bits first */
        uint8_t bits = (uint8_t)(length >> (7 * (size - 1 - i)) & 127u);
        if (p->at[i] != (i == 0 ? bits : (bits | 128u)))
            return false;
    }
    p->at += size;
    return true;
}

/* ------------------------------------------------------------ ziplist */

/* The length of the entry before, as this one says it; false: cut off. */
static bool ziplist_before(struct pack *p, size_t *before)
{
    size_t room = (size_t)(p->end - p->at);
    *before = *p->at;
    if (*p->at < 254) {
        p->at++;
        return true;
    }
    if (*p->at == 255 || room < 5)
        return false;
    *before = pack_unsigned(p->at + 1, 4);
    p->at += 5;
    return true;
}

static bool ziplist_text(struct pack *p, struct pack_item *out)
{
    const uint8_t *at = p->at;
    size_t room = (size_t)(p->end - at);
    size_t head = at[0] < 0x40 ? 1 : at[0] < 0x80 ? 2 : 5;
    if (room < head)
        return false;
    size_t n = head == 1   ? at[0]
               : head == 2 ? (size_t)(at[0] & 63u) << 8 | at[1]
                           : (size_t)at[1] << 24 | (size_t)at[2] << 16 | (size_t)at[3] << 8 | at[4];
    if (n > room - head)
        return false;
    p->at += head;
    pack_text(p, out, n);
    return true;
}

static bool ziplist_number(struct pack *p, struct pack_item *out)
{
    uint8_t head = *p->at++;
    unsigned n = head == 0xc0   ? 2
                 : head == 0xd0 ? 4
                 : head == 0xe0 ? 8
                 : head == 0xf0 ? 3
                 : head == 0xfe ? 1
                                : 0;
    if (n == 0) {
        if (head < 0xf1 || head > 0xfd)
            return false;
        pack_number(out, head - 0xf1);
        return true;
    }
    if ((size_t)(p->end - p->at) < n)
        return false;
    pack_number(out, pack_signed(p->at, n));
    p->at += n;
    return true;
}

bool pack_step_ziplist(struct pack *p, struct pack_item *out)
{
    const uint8_t *start = p->at;
    size_t before;
    if (!ziplist_before(p, &before) || before != p->before || p->at == p->end)
        return false;
    if (*p->at < 0xc0 ? !ziplist_text(p, out) : !ziplist_number(p, out))
        return false;
    p->before = (size_t)(p->at - start);
    return true;
}

/* ------------------------------------------------------------ zipmap */

bool pack_step_zipmap(struct pack *p, struct pack_item *out)
{
    size_t n = *p->at++, unused = 0;
    if (n == 254) {
        if (p->end - p->at < 4)
            return false;
        n = pack_unsigned(p->at, 4);
        p->at += 4;
        if (n < 254) /* no writer does that: what walks by the short form would go astray */
            return false;
    } else if (n == 255) {
        return false;
    }
    if (p->odd) {
        if (p->at == p->end)
            return false;
        unused = *p->at++;
    }
    size_t room = (size_t)(p->end - p->at);
    if (n > room || unused > room - n)
        return false;
    pack_text(p, out, n);
    p->at += unused;
    p->odd = !p->odd;
    return true;
}

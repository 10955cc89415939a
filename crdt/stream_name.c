/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/stream_name.h"

#include <assert.h>

#include "crdt/stamp.h"

enum { CLASS_META = 1, CLASS_GROUP = 2, CLASS_ENTRY = 0x80 };
enum { ATTRIBUTE_LAST = 1, ATTRIBUTE_GONE = 2 };

/* Kinds of elements of a group, from STREAM_GROUP on: 1, 2, 3, 4. */
#define KIND_BYTE(kind) ((uint8_t)((kind)-STREAM_GROUP + 1))

bool stream_id_next(struct stream_id *id)
{
    if (id->seq == UINT64_MAX && id->ms == UINT64_MAX)
        return false;
    id->seq++;
    id->ms += id->seq == 0;
    return true;
}

bool stream_id_prev(struct stream_id *id)
{
    if (stream_id_is_zero(*id))
        return false;
    id->ms -= id->seq == 0;
    id->seq--;
    return true;
}

/* ------------------------------------------------------------ numbers */

static uint8_t *number_put(uint8_t *p, uint64_t v)
{
    unsigned n = v == 0 ? 0 : (unsigned)(71 - __builtin_clzll(v)) / 8;
    *p++ = (uint8_t)n;
    v = __builtin_bswap64(v << (n ? 64 - 8 * n : 0));
    memcpy(p, &v, n);
    return p + n;
}

/* NULL: malformed. */
static const uint8_t *number_read(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    if (p == NULL || p == end)
        return NULL;
    unsigned n = *p++;
    uint64_t v = 0;
    if (n > 8 || (size_t)(end - p) < n || (n > 0 && *p == 0))
        return NULL;
    for (unsigned i = 0; i < n; i++)
        v = v << 8 | *p++;
    *out = v;
    return p;
}

static uint8_t *id_put(uint8_t *p, struct stream_id id)
{
    return number_put(number_put(p, id.ms), id.seq);
}

static const uint8_t *id_read(const uint8_t *p, const uint8_t *end, struct stream_id *out)
{
    return number_read(number_read(p, end, &out->ms), end, &out->seq);
}

#define VARINT_MAX 10u

static void varint_put(struct buf *out, uint64_t v)
{
    uint8_t *p = buf_reserve(out, VARINT_MAX);
    size_t n = 0;
    for (; v > 127; v >>= 7)
        p[n++] = (uint8_t)(v | 128u);
    p[n++] = (uint8_t)v;
    buf_added(out, n);
}

/* Takes a number off the front; false when there is none. */
static bool varint_take(struct bytes *s, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < VARINT_MAX && i < s->n; i++) {
        uint8_t b = s->p[i];
        v |= (uint64_t)(b & 127u) << (7 * i);
        if (b & 128u)
            continue;
        *out = v;
        *s = bytes_of(s->p + i + 1, s->n - i - 1);
        return i < VARINT_MAX - 1 || b <= 1;
    }
    return false;
}

/* ------------------------------------------------------------ names */

static void text_put(struct buf *out, struct bytes s)
{
    for (size_t i = 0; i < s.n; i++) {
        buf_put_u8(out, s.p[i]);
        if (s.p[i] == 0)
            buf_put_u8(out, 0xff);
    }
    buf_put(out, "\0\1", 2);
}

/* Behind the text's end; NULL: malformed. */
static const uint8_t *text_skip(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 2) {
        const uint8_t *zero = memchr(p, 0, (size_t)(end - p) - 1);
        if (zero == NULL)
            return NULL;
        p = zero + 2;
        if (zero[1] == 1)
            return p;
        if (zero[1] != 0xff)
            return NULL;
    }
    return NULL;
}

static bool region_valid(uint8_t region) { return region >= 1 && region <= REGION_MAX; }

static bool read_group(struct bytes name, struct stream_name *out)
{
    const uint8_t *end = name.p + name.n, *p = text_skip(name.p + 1, end);
    if (p == NULL || p == end || *p < KIND_BYTE(STREAM_GROUP) || *p > KIND_BYTE(STREAM_PENDING))
        return false;
    out->prefix = (uint32_t)(p - name.p);
    out->kind = (uint8_t)(*p++ - 1 + STREAM_GROUP);
    switch (out->kind) {
    case STREAM_GROUP:
        return p == end;
    case STREAM_CONSUMER:
        return text_skip(p, end) == end;
    case STREAM_PENDING:
        p = id_read(p, end, &out->id);
        break;
    default:
        break;
    }
    if (p == NULL || end - p != 1)
        return false;
    out->region = *p;
    return region_valid(out->region);
}

bool stream_name_read(struct bytes name, struct stream_name *out)
{
    *out = (struct stream_name){0};
    if (name.n == 0 || name.n > UINT32_MAX)
        return false;
    const uint8_t *p = name.p;
    if (*p >= CLASS_ENTRY) {
        out->kind = STREAM_ENTRY;
        out->region = (uint8_t)(*p - CLASS_ENTRY);
        return region_valid(out->region) && id_read(p + 1, p + name.n, &out->id) == name.p + name.n;
    }
    if (*p == CLASS_GROUP)
        return read_group(name, out);
    if (*p != CLASS_META || name.n != 4 || p[1] < ATTRIBUTE_LAST || p[1] > ATTRIBUTE_GONE)
        return false;
    out->kind = p[1] == ATTRIBUTE_LAST ? STREAM_LAST : STREAM_GONE;
    out->actor = (uint16_t)(p[2] << 8 | p[3]);
    return out->actor <= STAMP_ACTOR_MAX;
}

bool stream_name_is_max(struct bytes name)
{
    if (name.n == 0 || name.p[0] != CLASS_GROUP)
        return false;
    const uint8_t *end = name.p + name.n, *p = text_skip(name.p + 1, end);
    return p != NULL && p < end &&
           (*p == KIND_BYTE(STREAM_DELIVERED) || *p == KIND_BYTE(STREAM_CONSUMER));
}

struct bytes stream_entry_name(uint8_t room[STREAM_ENTRY_NAME_MAX], uint8_t region,
                               struct stream_id id)
{
    room[0] = (uint8_t)(CLASS_ENTRY + region);
    return bytes_of(room, (size_t)(id_put(room + 1, id) - room));
}

struct bytes stream_meta_name(uint8_t room[4], enum stream_kind kind, uint32_t actor)
{
    room[0] = CLASS_META;
    room[1] = kind == STREAM_LAST ? ATTRIBUTE_LAST : ATTRIBUTE_GONE;
    room[2] = (uint8_t)(actor >> 8);
    room[3] = (uint8_t)actor;
    return bytes_of(room, 4);
}

void stream_group_prefix(struct buf *out, struct bytes group)
{
    buf_put_u8(out, CLASS_GROUP);
    text_put(out, group);
}

void stream_kind_prefix(struct buf *out, struct bytes prefix, enum stream_kind kind)
{
    buf_put_bytes(out, prefix);
    buf_put_u8(out, KIND_BYTE(kind));
}

void stream_group_name(struct buf *out, struct bytes prefix)
{
    stream_kind_prefix(out, prefix, STREAM_GROUP);
}

void stream_delivered_name(struct buf *out, struct bytes prefix, uint8_t region)
{
    stream_kind_prefix(out, prefix, STREAM_DELIVERED);
    buf_put_u8(out, region);
}

void stream_consumer_name(struct buf *out, struct bytes prefix, struct bytes consumer)
{
    stream_kind_prefix(out, prefix, STREAM_CONSUMER);
    text_put(out, consumer);
}

void stream_pending_name(struct buf *out, struct bytes prefix, struct stream_id id, uint8_t region)
{
    stream_kind_prefix(out, prefix, STREAM_PENDING);
    uint8_t *p = buf_reserve(out, STREAM_ENTRY_NAME_MAX);
    buf_added(out, (size_t)(id_put(p, id) - p));
    buf_put_u8(out, region);
}

/* ------------------------------------------------------------ values */

static struct stream_id id_at(const uint8_t *p)
{
    return (struct stream_id){.ms = stream_u64(p), .seq = stream_u64(p + 8)};
}

static void id_store(uint8_t *p, struct stream_id id)
{
    stream_put_u64(p, id.ms);
    stream_put_u64(p + 8, id.seq);
}

struct stream_last stream_last_read(struct bytes val)
{
    return (struct stream_last){.id = id_at(val.p), .added = stream_u64(val.p + 16)};
}

struct stream_id stream_gone_read(struct bytes val) { return id_at(val.p); }

struct stream_delivered stream_delivered_read(struct bytes val)
{
    return (struct stream_delivered){.id = id_at(val.p), .read = (int64_t)stream_u64(val.p + 16)};
}

struct bytes stream_last_put(uint8_t room[24], struct stream_last v)
{
    id_store(room, v.id);
    stream_put_u64(room + 16, v.added);
    return bytes_of(room, 24);
}

struct bytes stream_gone_put(uint8_t room[16], struct stream_id id)
{
    id_store(room, id);
    return bytes_of(room, 16);
}

struct bytes stream_delivered_put(uint8_t room[24], struct stream_delivered v)
{
    id_store(room, v.id);
    stream_put_u64(room + 16, (uint64_t)v.read);
    return bytes_of(room, 24);
}

void stream_consumer_put(struct buf *out, int64_t seen_ms, struct bytes name)
{
    stream_put_u64(buf_reserve(out, 8), (uint64_t)seen_ms);
    buf_added(out, 8);
    buf_put_bytes(out, name);
}

void stream_pending_put(struct buf *out, int64_t time_ms, uint64_t count, struct bytes consumer)
{
    stream_put_u64(buf_reserve(out, 8), (uint64_t)time_ms);
    buf_added(out, 8);
    varint_put(out, count);
    buf_put_bytes(out, consumer);
}

static bool pending_read(struct bytes val, struct stream_pending *out)
{
    if (val.n < 9)
        return false;
    out->time_ms = (int64_t)stream_u64(val.p);
    out->consumer = bytes_of(val.p + 8, val.n - 8);
    return varint_take(&out->consumer, &out->count);
}

void stream_pending_read(struct bytes val, struct stream_pending *out)
{
    bool ok = pending_read(val, out);
    assert(ok);
    (void)ok;
}

void stream_fields_begin(struct buf *out, size_t pairs) { varint_put(out, pairs); }

void stream_fields_add(struct buf *out, struct bytes s)
{
    varint_put(out, s.n);
    buf_put_bytes(out, s);
}

size_t stream_fields(struct bytes *fields)
{
    uint64_t n = 0;
    bool ok = varint_take(fields, &n);
    assert(ok);
    (void)ok;
    return (size_t)n;
}

struct bytes stream_field_take(struct bytes *fields)
{
    uint64_t n = 0;
    bool ok = varint_take(fields, &n);
    assert(ok && n <= fields->n);
    (void)ok;
    struct bytes s = bytes_of(fields->p, (size_t)n);
    *fields = bytes_of(fields->p + n, fields->n - (size_t)n);
    return s;
}

void stream_added_begin(struct buf *out, uint64_t added) { varint_put(out, added); }

static bool fields_valid(struct bytes s)
{
    uint64_t pairs, n;
    if (!varint_take(&s, &pairs) || pairs > s.n)
        return false;
    for (uint64_t i = 0; i < 2 * pairs; i++) {
        if (!varint_take(&s, &n) || n > s.n)
            return false;
        s = bytes_of(s.p + n, s.n - (size_t)n);
    }
    return s.n == 0;
}

bool stream_added_read(struct bytes val, uint64_t *added, struct bytes *fields)
{
    *fields = val;
    return varint_take(fields, added) && fields_valid(*fields);
}

/* ------------------------------------------------------------ validity */

/* The name in the value is the one in the element's name. */
static bool text_is(struct bytes escaped, struct bytes plain)
{
    size_t at = 0;
    for (size_t i = 0; i < plain.n; i++, at++) {
        if (at >= escaped.n || escaped.p[at] != plain.p[i])
            return false;
        at += plain.p[i] == 0;
    }
    return at + 2 == escaped.n;
}

static bool group_valid(struct bytes name, uint32_t prefix, struct bytes val)
{
    if (val.n < 25)
        return false;
    size_t n = val.p[24], head = 25 + 17 * n;
    if (n > REGION_MAX || val.n < head || (int64_t)stream_u64(val.p + 16) < -1)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!region_valid(val.p[25 + 17 * i]))
            return false;
    return text_is(bytes_of(name.p + 1, prefix - 1), bytes_of(val.p + head, val.n - head));
}

bool stream_elem_valid(struct bytes name, struct bytes val)
{
    struct stream_name s;
    struct stream_pending pending;
    if (!stream_name_read(name, &s))
        return false;
    switch (s.kind) {
    case STREAM_LAST:
        return val.n == 24;
    case STREAM_GONE:
        return val.n == 16;
    case STREAM_GROUP:
        return group_valid(name, s.prefix, val);
    case STREAM_DELIVERED:
        return val.n == 24 && (int64_t)stream_u64(val.p + 16) >= -1;
    case STREAM_CONSUMER:
        return val.n >= 8 && text_is(bytes_of(name.p + s.prefix + 1, name.n - s.prefix - 1),
                                     bytes_of(val.p + 8, val.n - 8));
    case STREAM_PENDING:
        return pending_read(val, &pending);
    default:
        return fields_valid(val);
    }
}

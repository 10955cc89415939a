/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/long.h"

#include "base/mem.h"
#include "crdt/digest.h"
#include "crdt/multi.h"

struct long_reader {
    struct cell *key; /* owned */
    uint8_t *text;    /* its value */
    size_t n, read;   /* of the value; read: and of VALUE_LONG_END */
    uint8_t end;
    uint64_t seed;
    size_t summed; /* of the value, whole chunks of its digest */
    struct hash128 sum;
};

/* What stands before the value. */
struct long_head {
    struct bytes name;
    stamp_t dot;
    uint8_t deadline[DEADLINE_BYTES];
    bool has_deadline;
    size_t n;
};

static bool read_bin_head(struct mp *m, size_t *n)
{
    size_t left = mp_left(m), bytes;
    if (left < 2 || m->p[0] < 0xc4 || m->p[0] > 0xc6)
        return false;
    bytes = (size_t)1 << (m->p[0] - 0xc4);
    if (left < 1 + bytes)
        return false;
    *n = 0;
    for (size_t i = 0; i < bytes; i++)
        *n = *n << 8 | m->p[1 + i];
    m->p += 1 + bytes;
    return true;
}

static bool read_deadline(struct mp *m, struct long_head *h)
{
    struct deadline d;
    uint32_t n = mp_array(m);
    h->has_deadline = n > 0;
    if (m->bad || n == 0)
        return !m->bad;
    if (n != 2)
        return false;
    d.dot = mp_uint(m);
    d.ms = mp_int(m);
    deadline_store(h->deadline, d);
    return !m->bad && !stamp_is_zero(d.dot);
}

static bool read_head(struct mp *m, struct long_head *h)
{
    if (mp_array(m) != 3)
        return false;
    h->name = mp_bin(m);
    if (m->bad || !read_deadline(m, h) || mp_array(m) != 2 || mp_uint(m) != TYPE_STRING ||
        mp_array(m) != 2 || mp_array(m) != 2)
        return false;
    h->dot = mp_uint(m);
    return !m->bad && !stamp_is_zero(h->dot) && read_bin_head(m, &h->n);
}

struct long_reader *long_reader_new(struct bytes begin, size_t bytes_max, size_t *used)
{
    struct long_head h;
    if (begin.n < 4)
        return NULL;
    struct mp m = mp_read(bytes_of(begin.p + 4, begin.n - 4));
    size_t whole = value_record_size(begin.p);
    if (whole > bytes_max || !read_head(&m, &h))
        return NULL;
    *used = (size_t)(m.p - begin.p);
    if (whole != *used + h.n + 1)
        return NULL;
    struct long_reader *r = mem_zalloc(sizeof *r);
    r->n = h.n;
    r->seed = digest_seed(h.name, TYPE_STRING);
    r->key = cell_new_long(&(struct heading){.name = h.name,
                                             .low = TYPE_STRING,
                                             .deadline = h.has_deadline ? h.deadline : NULL},
                           h.dot, h.n, &r->text);
    return r;
}

void long_reader_free(struct long_reader *r)
{
    if (r == NULL)
        return;
    mem_free(r->key);
    mem_free(r);
}

/* Whole chunks, and at the end what is left. */
static void sum_chunks(struct long_reader *r)
{
    size_t to = r->read < r->n ? r->read / DIGEST_CHUNK * DIGEST_CHUNK : r->n;
    if (to == r->summed)
        return;
    struct hash128 more = digest_text_part(r->seed, bytes_of(r->text, r->n), r->summed, to);
    r->sum = hash128_add(r->sum, more);
    r->summed = to;
}

size_t long_reader_add(struct long_reader *r, struct bytes more)
{
    size_t n = 0;
    if (more.n > 0 && r->read < r->n) {
        n = r->n - r->read < more.n ? r->n - r->read : more.n;
        memcpy(r->text + r->read, more.p, n);
        r->read += n;
        sum_chunks(r);
    }
    if (n < more.n && r->read == r->n) {
        r->end = more.p[n++];
        r->read++;
    }
    return n;
}

bool long_reader_is_whole(const struct long_reader *r) { return r->read > r->n; }

struct cell *long_reader_end(struct long_reader *r, struct gathered *of)
{
    struct cell *key = NULL;
    if (r->end == VALUE_LONG_END) {
        key = r->key;
        r->key = NULL;
        of->any = true;
        of->sum = r->n > 0 ? r->sum : digest_text(r->seed, bytes_of(NULL, 0));
        struct view v = cell_view(key);
        context_lower(&of->oldest, view_dot(key, &v, 0));
    }
    long_reader_free(r);
    return key;
}

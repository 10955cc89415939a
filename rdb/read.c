/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "rdb/rdb.h"

#include "base/mem.h"
#include "rdb/crc64.h"
#include "rdb/lzf.h"

#include <math.h>

/* ------------------------------------------------------------ parts */

static size_t left(const struct rdb_in *in) { return (size_t)(in->end - in->p); }

const uint8_t *rdb_read_bytes(struct rdb_in *in, size_t n)
{
    if (left(in) < n) {
        rdb_bad(in, RDB_SHORT);
        return NULL;
    }
    in->p += n;
    return in->p - n;
}

uint64_t rdb_read_fixed(struct rdb_in *in, unsigned bytes)
{
    const uint8_t *p = rdb_read_bytes(in, bytes);
    return p == NULL ? 0 : pack_unsigned(p, bytes);
}

double rdb_read_double(struct rdb_in *in)
{
    uint64_t bits = rdb_read_fixed(in, 8);
    return load_double(&bits);
}

#define TEXT_NUMBER 0xc0u /* and c1, c2: 2, 4 bytes */
#define TEXT_PACKED 0xc3u

/* A length, or the code of a text that is none. */
static uint64_t length_or_code(struct rdb_in *in, uint8_t *code)
{
    const uint8_t *head = rdb_read_bytes(in, 1), *p;
    *code = 0;
    if (head == NULL)
        return 0;
    unsigned more = *head < 0x40 ? 0 : *head < 0x80 ? 1 : *head == 0x80 ? 4 : 8;
    if (*head >= TEXT_NUMBER) {
        *code = *head;
        return 0;
    }
    if (*head > 0x81)
        rdb_bad(in, RDB_BAD);
    p = rdb_read_bytes(in, more);
    if (p == NULL)
        return 0;
    uint64_t n = more < 2 ? *head & 63u : 0;
    for (unsigned i = 0; i < more; i++)
        n = n << 8 | p[i];
    return n;
}

uint64_t rdb_read_length(struct rdb_in *in)
{
    uint8_t code;
    uint64_t n = length_or_code(in, &code);
    if (code != 0)
        rdb_bad(in, RDB_BAD);
    return n;
}

static bool read_packed(struct rdb_in *in, struct rdb_text *out)
{
    uint64_t packed = rdb_read_length(in), n = rdb_read_length(in);
    if (in->fault != RDB_OK)
        return false;
    if (packed > RDB_TEXT_MAX || n > RDB_TEXT_MAX || n > lzf_expanded_max(packed))
        return rdb_bad(in, RDB_BAD);
    const uint8_t *p = rdb_read_bytes(in, packed);
    if (p == NULL)
        return false;
    out->owned = mem_alloc(n);
    out->text = bytes_of(out->owned, n);
    if (lzf_expand(bytes_of(p, packed), out->owned, n))
        return true;
    rdb_text_free(out);
    return rdb_bad(in, RDB_BAD);
}

bool rdb_read_text(struct rdb_in *in, struct rdb_text *out)
{
    uint8_t code;
    uint64_t n = length_or_code(in, &code);
    out->owned = NULL;
    out->text = bytes_of(NULL, 0);
    if (in->fault != RDB_OK)
        return false;
    if (code == TEXT_PACKED)
        return read_packed(in, out);
    if (code > TEXT_PACKED || n > RDB_TEXT_MAX)
        return rdb_bad(in, RDB_BAD);
    unsigned bytes = 1u << (code & 3u);
    const uint8_t *p = rdb_read_bytes(in, code == 0 ? n : bytes);
    if (p == NULL)
        return false;
    if (code == 0)
        out->text = bytes_of(p, n);
    else
        out->text = bytes_of(out->room, num_format_i64(out->room, pack_signed(p, bytes)));
    return true;
}

void rdb_text_free(struct rdb_text *t)
{
    mem_free(t->owned);
    t->owned = NULL;
}

/* ------------------------------------------------------------ values */

struct reading {
    struct rdb_in *in;
    rdb_take *item;
    void *arg;
    enum rdb_type type;
    uint64_t items;
};

static void give(struct reading *r, const struct rdb_item *item)
{
    r->items++;
    if (r->item != NULL)
        r->item(r->arg, item);
}

static void give_element(struct reading *r, struct bytes name)
{
    give(r, &(struct rdb_item){.kind = RDB_ITEM_ELEMENT, .name = name});
}

static void give_member(struct reading *r, struct bytes name, double score)
{
    if (isnan(score))
        rdb_bad(r->in, RDB_BAD);
    else
        give(r, &(struct rdb_item){.kind = RDB_ITEM_MEMBER, .name = name, .score = score});
}

static void read_string(struct reading *r)
{
    struct rdb_text t;
    if (!rdb_read_text(r->in, &t))
        return;
    give(r, &(struct rdb_item){.kind = RDB_ITEM_VALUE, .name = t.text});
    rdb_text_free(&t);
}

/* A score as a text behind its length; 253 to 255 are no lengths. */
static double read_score_text(struct rdb_in *in)
{
    double v = 0;
    const uint8_t *n = rdb_read_bytes(in, 1), *p;
    if (n == NULL)
        return 0;
    if (*n >= 253)
        return *n == 253 ? (double)NAN : *n == 254 ? INFINITY : -INFINITY;
    p = rdb_read_bytes(in, *n);
    if (p != NULL && !num_parse_double(bytes_of(p, *n), &v))
        rdb_bad(in, RDB_BAD);
    return v;
}

static void read_member(struct reading *r, bool binary)
{
    struct rdb_text t;
    if (!rdb_read_text(r->in, &t))
        return;
    double score = binary ? rdb_read_double(r->in) : read_score_text(r->in);
    if (r->in->fault == RDB_OK)
        give_member(r, t.text, score);
    rdb_text_free(&t);
}

static void read_element(struct reading *r)
{
    struct rdb_text t;
    if (!rdb_read_text(r->in, &t))
        return;
    give_element(r, t.text);
    rdb_text_free(&t);
}

static void read_field(struct reading *r)
{
    struct rdb_text name, value;
    if (!rdb_read_text(r->in, &name))
        return;
    if (rdb_read_text(r->in, &value)) {
        give(r, &(struct rdb_item){.kind = RDB_ITEM_FIELD, .name = name.text, .value = value.text});
        rdb_text_free(&value);
    }
    rdb_text_free(&name);
}

/* ------------------------------------------------------------ packed values */

static double pack_score(struct rdb_in *in, const struct pack_item *item)
{
    double v = 0;
    if (item->is_number)
        return (double)item->number;
    if (!num_parse_double(item->text, &v))
        rdb_bad(in, RDB_BAD);
    return v;
}

static void give_pair(struct reading *r, const struct pack_item *a, const struct pack_item *b)
{
    if (r->type == RDB_ZSET) {
        double score = pack_score(r->in, b);
        if (r->in->fault == RDB_OK)
            give_member(r, a->text, score);
    } else {
        give(r, &(struct rdb_item){.kind = RDB_ITEM_FIELD, .name = a->text, .value = b->text});
    }
}

static void give_pack(struct reading *r, enum pack_form form, struct bytes s)
{
    bool pairs = r->type == RDB_ZSET || r->type == RDB_HASH;
    struct pack p;
    struct pack_item a, b;
    size_t n;
    if (!pack_open(&p, form, s, &n) || (pairs && n % 2 != 0)) {
        rdb_bad(r->in, RDB_BAD);
        return;
    }
    while (r->in->fault == RDB_OK && pack_next(&p, &a)) {
        if (!pairs)
            give_element(r, a.text);
        else if (pack_next(&p, &b))
            give_pair(r, &a, &b);
    }
}

static void read_pack(struct reading *r, enum pack_form form)
{
    struct rdb_text t;
    if (!rdb_read_text(r->in, &t))
        return;
    give_pack(r, form, t.text);
    rdb_text_free(&t);
}

#define NODE_PLAIN 1u
#define NODE_PACKED 2u

/* A quicklist of version 2: each node says whether it is a listpack or one element. */
static void read_node_2(struct reading *r)
{
    uint64_t container = rdb_read_length(r->in);
    if (container == NODE_PLAIN)
        read_element(r);
    else if (container == NODE_PACKED)
        read_pack(r, PACK_LISTPACK);
    else
        rdb_bad(r->in, RDB_BAD);
}

static void read_one(struct reading *r, uint8_t code)
{
    switch (code) {
    case RDB_CODE_HASH:
        read_field(r);
        break;
    case RDB_CODE_ZSET:
    case RDB_CODE_ZSET_2:
        read_member(r, code == RDB_CODE_ZSET_2);
        break;
    case RDB_CODE_LIST_QUICKLIST:
        read_pack(r, PACK_ZIPLIST);
        break;
    case RDB_CODE_LIST_QUICKLIST_2:
        read_node_2(r);
        break;
    default:
        read_element(r);
        break;
    }
}

static void read_many(struct reading *r, uint8_t code)
{
    uint64_t n = rdb_read_length(r->in);
    for (uint64_t i = 0; i < n && r->in->fault == RDB_OK; i++)
        read_one(r, code);
}

bool rdb_code_type(uint8_t code, enum rdb_type *out)
{
    switch (code) {
    case RDB_CODE_STRING:
        *out = RDB_STRING;
        return true;
    case RDB_CODE_LIST:
    case RDB_CODE_LIST_ZIPLIST:
    case RDB_CODE_LIST_QUICKLIST:
    case RDB_CODE_LIST_QUICKLIST_2:
        *out = RDB_LIST;
        return true;
    case RDB_CODE_SET:
    case RDB_CODE_SET_INTSET:
    case RDB_CODE_SET_LISTPACK:
        *out = RDB_SET;
        return true;
    case RDB_CODE_ZSET:
    case RDB_CODE_ZSET_2:
    case RDB_CODE_ZSET_ZIPLIST:
    case RDB_CODE_ZSET_LISTPACK:
        *out = RDB_ZSET;
        return true;
    case RDB_CODE_HASH:
    case RDB_CODE_HASH_ZIPMAP:
    case RDB_CODE_HASH_ZIPLIST:
    case RDB_CODE_HASH_LISTPACK:
        *out = RDB_HASH;
        return true;
    case RDB_CODE_STREAM:
    case RDB_CODE_STREAM_2:
    case RDB_CODE_STREAM_3:
        *out = RDB_STREAM;
        return true;
    default:
        return false;
    }
}

static void read_value(struct reading *r, uint8_t code)
{
    switch (code) {
    case RDB_CODE_STRING:
        read_string(r);
        break;
    case RDB_CODE_HASH_ZIPMAP:
        read_pack(r, PACK_ZIPMAP);
        break;
    case RDB_CODE_LIST_ZIPLIST:
    case RDB_CODE_ZSET_ZIPLIST:
    case RDB_CODE_HASH_ZIPLIST:
        read_pack(r, PACK_ZIPLIST);
        break;
    case RDB_CODE_SET_INTSET:
        read_pack(r, PACK_INTSET);
        break;
    case RDB_CODE_HASH_LISTPACK:
    case RDB_CODE_ZSET_LISTPACK:
    case RDB_CODE_SET_LISTPACK:
        read_pack(r, PACK_LISTPACK);
        break;
    default:
        read_many(r, code);
        break;
    }
}

enum rdb_result rdb_read(struct rdb_in *in, uint8_t code, enum rdb_type *type, rdb_take *item,
                         void *arg)
{
    struct reading r = {.in = in, .item = item, .arg = arg};
    if (!rdb_code_type(code, type)) {
        rdb_bad(in,
                code == RDB_CODE_MODULE || code == RDB_CODE_MODULE_2 ? RDB_MODULE : RDB_UNKNOWN);
        return in->fault;
    }
    r.type = *type;
    if (r.type == RDB_STREAM) { /* the one type that may be empty */
        rdb_read_stream(in, code, item, arg);
        return in->fault;
    }
    read_value(&r, code);
    if (in->fault == RDB_OK && r.items == 0)
        rdb_bad(in, RDB_BAD);
    return in->fault;
}

/* ------------------------------------------------------------ payloads */

#define PAYLOAD_TAIL 10u

bool rdb_payload_open(struct bytes payload, struct bytes *out)
{
    if (payload.n <= PAYLOAD_TAIL)
        return false;
    struct bytes covered = bytes_of(payload.p, payload.n - 8);
    const uint8_t *tail = payload.p + payload.n - PAYLOAD_TAIL;
    *out = bytes_of(payload.p, payload.n - PAYLOAD_TAIL);
    uint64_t version = pack_unsigned(tail, 2);
    return (version <= RDB_VERSION_MAX || version == RDB_VALKEY_VERSION) &&
           pack_unsigned(tail + 2, 8) == crc64(0, covered);
}

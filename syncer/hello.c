/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/wire.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

/* The opening of a link: HELLO, WELCOME, REFUSE and the proofs. */

static void put_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t mp_u32(struct mp *m)
{
    uint64_t v = mp_uint(m);
    m->bad |= v > UINT32_MAX;
    return (uint32_t)v;
}

static void mp_fixed(struct mp *m, uint8_t *out, size_t n)
{
    struct bytes v = mp_bin(m);
    if (v.n != n) {
        m->bad = true;
        return;
    }
    memcpy(out, v.p, n);
}

/* A text that fits with its end and holds no NUL. */
static void mp_text(struct mp *m, char *out, size_t size)
{
    struct bytes v = mp_bin(m);
    out[0] = 0;
    if (m->bad || v.n >= size || (v.n && memchr(v.p, 0, v.n) != NULL)) {
        m->bad = true;
        return;
    }
    if (v.n)
        memcpy(out, v.p, v.n);
    out[v.n] = 0;
}

static bool numbers_are_sane(const struct wire_hello *h)
{
    return h->region >= 1 && h->region <= REGION_MAX && h->actor <= STAMP_ACTOR_MAX &&
           h->actor == actor_make(h->region, h->incarnation) && h->count >= 1 &&
           h->count <= SLOTS + 1 &&
           h->first <= SLOTS; /* one more than there are slots: the hidden partition */
}

void wire_put_hello(struct buf *out, const struct wire_hello *h)
{
    struct buf b = {0};
    mp_put_array(&b, 12);
    mp_put_uint(&b, h->protocol);
    mp_put_bin(&b, bytes_str(h->guid));
    mp_put_uint(&b, h->version);
    mp_put_uint(&b, h->region);
    mp_put_uint(&b, h->actor);
    mp_put_uint(&b, h->incarnation);
    mp_put_bool(&b, h->stale);
    mp_put_uint(&b, h->partitions);
    mp_put_uint(&b, h->first);
    mp_put_uint(&b, h->count);
    mp_put_bin(&b, bytes_of(h->nonce, WIRE_NONCE));
    mp_put_bool(&b, h->free);
    uint8_t length[4];
    put_u32(length, (uint32_t)buf_len(&b));
    buf_put(out, SYNCER_MAGIC, SYNCER_MAGIC_LEN);
    buf_put(out, length, sizeof length);
    buf_put_bytes(out, buf_bytes(&b));
    buf_deinit(&b);
}

enum handshake_result wire_get_hello(struct bytes in, struct wire_hello *h, size_t *used)
{
    *h = (struct wire_hello){0};
    size_t magic = in.n < SYNCER_MAGIC_LEN ? in.n : SYNCER_MAGIC_LEN;
    if (magic && memcmp(in.p, SYNCER_MAGIC, magic) != 0)
        return HANDSHAKE_BAD;
    if (in.n < SYNCER_MAGIC_LEN + 4)
        return HANDSHAKE_MORE;
    uint32_t n = get_u32(in.p + SYNCER_MAGIC_LEN);
    if (n == 0 || n > WIRE_HELLO_MAX)
        return HANDSHAKE_BAD;
    if (in.n - SYNCER_MAGIC_LEN - 4 < n)
        return HANDSHAKE_MORE;
    *used = SYNCER_MAGIC_LEN + 4 + n;
    struct mp m = mp_read(bytes_of(in.p + SYNCER_MAGIC_LEN + 4, n));
    uint32_t elements = mp_array(&m);
    h->protocol = mp_u32(&m);
    mp_text(&m, h->guid, sizeof h->guid);
    if (m.bad || elements < 2)
        return HANDSHAKE_BAD;
    if (h->protocol != SYNCER_PROTOCOL)
        return HANDSHAKE_OK; /* the rest may mean anything; who answers refuses it by name */
    h->version = mp_uint(&m);
    h->region = mp_u32(&m);
    h->actor = mp_u32(&m);
    h->incarnation = mp_u32(&m);
    h->stale = mp_bool(&m);
    h->partitions = mp_u32(&m);
    h->first = mp_u32(&m);
    h->count = mp_u32(&m);
    mp_fixed(&m, h->nonce, WIRE_NONCE);
    h->free = mp_bool(&m);
    for (uint32_t i = 12; i < elements && !m.bad; i++)
        mp_skip(&m);
    return elements >= 12 && mp_done(&m) && numbers_are_sane(h) ? HANDSHAKE_OK : HANDSHAKE_BAD;
}

void wire_put_welcome(struct buf *out, const struct wire_hello *h)
{
    struct buf b = {0};
    mp_put_array(&b, 12);
    mp_put_uint(&b, h->protocol);
    mp_put_uint(&b, h->version);
    mp_put_uint(&b, h->region);
    mp_put_uint(&b, h->actor);
    mp_put_uint(&b, h->incarnation);
    mp_put_bool(&b, h->stale);
    mp_put_uint(&b, h->first);
    mp_put_uint(&b, h->count);
    mp_put_bin(&b, bytes_of(h->nonce, WIRE_NONCE));
    mp_put_bin(&b, bytes_of(h->proof, WIRE_PROOF_LEN));
    mp_put_bool(&b, h->free);
    mp_put_uint(&b, h->newest);
    wire_put(out, WIRE_WELCOME, buf_bytes(&b));
    buf_deinit(&b);
}

bool wire_get_welcome(struct bytes body, struct wire_hello *h)
{
    *h = (struct wire_hello){0};
    struct mp m = mp_read(body);
    uint32_t elements = mp_array(&m);
    h->protocol = mp_u32(&m);
    h->version = mp_uint(&m);
    h->region = mp_u32(&m);
    h->actor = mp_u32(&m);
    h->incarnation = mp_u32(&m);
    h->stale = mp_bool(&m);
    h->first = mp_u32(&m);
    h->count = mp_u32(&m);
    mp_fixed(&m, h->nonce, WIRE_NONCE);
    mp_fixed(&m, h->proof, WIRE_PROOF_LEN);
    h->free = mp_bool(&m);
    h->newest = elements > 11 ? mp_u32(&m) : 0;
    for (uint32_t i = 12; i < elements && !m.bad; i++)
        mp_skip(&m);
    return elements >= 11 && mp_done(&m) && numbers_are_sane(h);
}

void wire_put_refuse(struct buf *out, enum err why, const char *text)
{
    struct buf b = {0};
    mp_put_bin(&b, bytes_str(err_name(why)));
    mp_put_bin(&b, bytes_str(text));
    wire_put(out, WIRE_REFUSE, buf_bytes(&b));
    buf_deinit(&b);
}

bool wire_get_refuse(struct bytes body, enum err *why, char *text, size_t text_size)
{
    struct mp m = mp_read(body);
    struct bytes code = mp_bin(&m), say = mp_bin(&m);
    if (!mp_done(&m))
        return false;
    *why = ERR_REFUSED;
    for (enum err e = ERR_OK; e < ERR_COUNT; e++)
        if (bytes_is(code, err_name(e)))
            *why = e;
    size_t n = say.n < text_size ? say.n : text_size - 1;
    for (size_t i = 0; i < n; i++) /* it goes to logs and terminals */
        text[i] = say.p[i] >= ' ' && say.p[i] < 0x7f ? (char)say.p[i] : '?';
    text[n] = 0;
    return true;
}

void wire_prove(uint8_t out[WIRE_PROOF_LEN], const char *secret, char role,
                const struct wire_hello *puller, const struct wire_hello *feeder)
{
    const struct wire_hello *who = role == 'P' ? puller : feeder;
    uint8_t text[1 + 2 * WIRE_NONCE + sizeof puller->guid + 1 + 8];
    uint8_t *p = text;
    size_t guid = strlen(puller->guid);
    *p++ = (uint8_t)role;
    memcpy(p, puller->nonce, WIRE_NONCE);
    memcpy(p + WIRE_NONCE, feeder->nonce, WIRE_NONCE);
    p += 2 * WIRE_NONCE;
    memcpy(p, puller->guid, guid + 1);
    p += guid + 1;
    put_u32(p, who->region);
    put_u32(p + 4, who->actor);
    p += 8;
    unsigned n = WIRE_PROOF_LEN;
    HMAC(EVP_sha256(), secret, (int)strlen(secret), text, (size_t)(p - text), out, &n);
}

bool wire_same(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint8_t differs = 0;
    for (size_t i = 0; i < n; i++)
        differs |= a[i] ^ b[i];
    return differs == 0;
}

void wire_put_digest(struct buf *out, struct hash128 d)
{
    uint8_t bytes[16];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(d.hi >> (56 - 8 * i));
        bytes[8 + i] = (uint8_t)(d.lo >> (56 - 8 * i));
    }
    mp_put_bin(out, bytes_of(bytes, sizeof bytes));
}

struct hash128 wire_get_digest(struct mp *m)
{
    uint8_t bytes[16] = {0};
    struct hash128 d = {0};
    mp_fixed(m, bytes, sizeof bytes);
    for (unsigned i = 0; i < 8; i++) {
        d.hi = d.hi << 8 | bytes[i];
        d.lo = d.lo << 8 | bytes[8 + i];
    }
    return d;
}

/* ------------------------------------------------------------ what the proxy needs of it */

enum handshake_result syncer_handshake(struct bytes in, struct handshake *out)
{
    struct wire_hello h;
    *out = (struct handshake){0};
    enum handshake_result result = wire_get_hello(in, &h, &out->used);
    memcpy(out->guid, h.guid, sizeof out->guid);
    out->protocol = h.protocol;
    out->region = h.region;
    out->actor = h.actor;
    out->first_partition = h.first;
    out->count = h.count;
    return result;
}

void syncer_refuse(struct buf *out, enum err why, const char *text)
{
    wire_put_refuse(out, why, text);
}

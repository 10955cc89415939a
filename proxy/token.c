/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/token.h"

#include "base/hash.h"
#include "base/mp.h"

#define MARK "m1"
#define SEED 0x746f6b656eu

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void put_text(struct buf *out, struct bytes s)
{
    buf_put_str(out, MARK);
    for (size_t i = 0; i < s.n; i += 3) {
        size_t n = s.n - i < 3 ? s.n - i : 3;
        uint32_t v = (uint32_t)s.p[i] << 16;
        if (n > 1)
            v |= (uint32_t)s.p[i + 1] << 8;
        if (n > 2)
            v |= s.p[i + 2];
        for (size_t k = 0; k <= n; k++)
            buf_put_u8(out, (uint8_t)digits[v >> (18 - 6 * k) & 63]);
    }
}

static bool get_text(struct bytes text, struct buf *out)
{
    size_t mark = sizeof MARK - 1;
    uint32_t v = 0, bits = 0;
    if (text.n < mark || memcmp(text.p, MARK, mark) != 0)
        return false;
    for (size_t i = mark; i < text.n; i++) {
        const char *at = text.p[i] != 0 ? strchr(digits, text.p[i]) : NULL;
        if (at == NULL)
            return false;
        v = v << 6 | (uint32_t)(at - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_put_u8(out, (uint8_t)(v >> bits));
        }
    }
    return bits < 6 && (v & ((1u << bits) - 1)) == 0;
}

static uint32_t guid_hash(const char *guid) { return (uint32_t)hash_64(bytes_str(guid), SEED); }

void token_put(struct buf *out, const char *guid, uint32_t partitions,
               const struct token_entry *entries, size_t n)
{
    struct buf b = {0};
    uint64_t newest = 0;
    uint32_t last = 0;
    for (size_t i = 0; i < n; i++)
        newest = entries[i].stamp >> 10 > newest ? entries[i].stamp >> 10 : newest;
    mp_put_uint(&b, guid_hash(guid));
    mp_put_uint(&b, partitions);
    mp_put_uint(&b, newest);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && entries[end].partition == entries[i].partition;)
            end++;
        mp_put_uint(&b, entries[i].partition - last);
        mp_put_uint(&b, end - i);
        for (size_t k = i; k < end; k++) {
            mp_put_uint(&b, stamp_actor(entries[k].stamp));
            mp_put_uint(&b, newest - (entries[k].stamp >> 10));
        }
        last = entries[i].partition;
    }
    put_text(out, buf_bytes(&b));
    buf_deinit(&b);
}

#define NO_TOKEN "ERR not a token: pass what CRDT.TOKEN returned"

static const char *read_all(struct mp *m, uint32_t partitions, struct buf *entries)
{
    uint64_t newest = mp_uint(m), partition = 0;
    for (bool first = true; !m->bad && m->p < m->end; first = false) {
        uint64_t step = mp_uint(m), n = mp_uint(m);
        if (m->bad || (step == 0 && !first) || step >= partitions - partition || n == 0 ||
            n > STAMP_ACTOR_MAX + 1)
            return NO_TOKEN;
        partition += step;
        for (; n > 0; n--) {
            uint64_t actor = mp_uint(m), back = mp_uint(m);
            if (m->bad || actor > STAMP_ACTOR_MAX || back > newest || newest > UINT64_MAX >> 10)
                return NO_TOKEN;
            struct token_entry e = {.stamp = (newest - back) << 10 | actor,
                                    .partition = (uint32_t)partition};
            buf_put(entries, &e, sizeof e);
        }
    }
    return m->bad ? NO_TOKEN : NULL;
}

const char *token_get(struct bytes text, const char *guid, uint32_t partitions, struct buf *entries)
{
    struct buf b = {0};
    if (text.n > TOKEN_TEXT_MAX || !get_text(text, &b)) {
        buf_deinit(&b);
        return NO_TOKEN;
    }
    struct mp m = mp_read(buf_bytes(&b));
    uint64_t hash = mp_uint(&m), count = mp_uint(&m);
    const char *why = NO_TOKEN;
    if (!m.bad)
        why = hash != guid_hash(guid) || count != partitions
                  ? "ERR a token of another database: it is good in the regions of its own only"
                  : read_all(&m, partitions, entries);
    buf_deinit(&b);
    return why;
}

/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "shard/bitmap.h"
#include "shard/cmd_bits.h"
#include "shard/events.h"

/* BITOP: https://redis.io/docs/latest/commands/bitop/ */

static bool parse_op(struct bytes word, enum bitmap_op *op)
{
    static const char *const words[] = {
        [BITMAP_AND] = "and", [BITMAP_OR] = "or", [BITMAP_XOR] = "xor", [BITMAP_NOT] = "not"};
    for (enum bitmap_op o = BITMAP_AND; o <= BITMAP_NOT; o++) {
        if (bytes_is_nocase(word, words[o])) {
            *op = o;
            return true;
        }
    }
    return false;
}

/* The longest source's length; false when an error was replied. */
static bool measure(struct call *c, size_t *n)
{
    struct key k;
    *n = 0;
    for (uint32_t i = 3; i < c->argc; i++) {
        if (!text_read(c, c->argv[i], &k))
            return false;
        size_t len = text_len(c, &k);
        *n = len > *n ? len : *n;
    }
    return true;
}

/* The first source, followed by zeros; its complement for NOT. */
static void begin(enum bitmap_op op, uint8_t *to, size_t n, struct bytes s)
{
    if (op == BITMAP_NOT)
        bitmap_combine(to, n, op, s);
    else if (s.n > 0)
        memcpy(to, s.p, s.n);
    memset(to + s.n, 0, n - s.n);
}

static void combine(struct call *c, enum bitmap_op op, uint8_t *to, size_t n)
{
    struct key k;
    struct shown s;
    for (uint32_t i = 3; i < c->argc; i++) {
        key_read(c, c->argv[i], &k);
        text_show(c, &k, &s);
        if (i == 3)
            begin(op, to, n, s.text);
        else
            bitmap_combine(to, n, op, s.text);
    }
}

void bitop(struct call *c)
{
    enum bitmap_op op;
    struct key to;
    size_t n;
    if (!parse_op(c->argv[1], &op)) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    if (op == BITMAP_NOT && c->argc != 4) {
        reply_error(c->reply, "ERR BITOP NOT must be called with a single source key.");
        return;
    }
    if (!measure(c, &n))
        return;
    uint8_t *out = mem_alloc(n > 0 ? n : 1);
    combine(c, op, out, n);
    key_write(c, c->argv[2], &to);
    if (n > 0) {
        key_set(c, &to, bytes_of(out, n), false);
        key_event(c, EVENT_STRING, "set", to.name);
    } else if (to.cell != NULL) {
        key_del(c, &to);
        key_event(c, EVENT_GENERIC, "del", to.name);
    }
    mem_free(out);
    reply_int(c->reply, (int64_t)n);
}

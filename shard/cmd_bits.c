/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_bits.h"

#include "shard/bitmap.h"
#include "shard/events.h"

/* Redis commands of the group "bitmap": https://redis.io/docs/latest/commands/?group=bitmap */

bool arg_bit_offset(struct call *c, struct bytes arg, unsigned width, uint64_t *out)
{
    bool counted = width > 0 && arg.n > 0 && arg.p[0] == '#';
    int64_t v;
    bool ok = num_parse_i64(bytes_of(arg.p + counted, arg.n - counted), &v);
    if (ok && counted)
        ok = !__builtin_mul_overflow(v, (int64_t)width, &v);
    if (!ok || v < 0 || v >> 3 >= STRING_MAX) {
        reply_error(c->reply, "ERR bit offset is not an integer or out of range");
        return false;
    }
    *out = (uint64_t)v;
    return true;
}

/* ------------------------------------------------------------ one bit */

/* As with SADD, what changes nothing here is sent all the same where there are other regions: it
 * survives a removal made elsewhere meanwhile. */
static void setbit(struct call *c)
{
    struct key k;
    struct shown s;
    uint64_t at;
    int64_t bit;
    if (!arg_bit_offset(c, c->argv[2], 0, &at))
        return;
    if (!num_parse_i64(c->argv[3], &bit) || bit < 0 || bit > 1) {
        reply_error(c->reply, "ERR bit is not an integer or out of range");
        return;
    }
    if (!text_write(c, c->argv[1], &k))
        return;
    text_show(c, &k, &s);
    bool was = bitmap_get(s.text, at);
    bool changed = at / 8 >= s.text.n || was != bit;
    if (changed || call_is_shared(c)) {
        unsigned mask = 0x80u >> at % 8, byte = at / 8 < s.text.n ? s.text.p[at / 8] : 0;
        uint8_t now = (uint8_t)(bit ? byte | mask : byte & ~mask);
        text_patch(c, &k, at / 8, bytes_of(&now, 1));
    }
    if (changed)
        key_event(c, EVENT_STRING, "setbit", k.name);
    reply_int(c->reply, was);
}

static void getbit(struct call *c)
{
    struct key k;
    struct shown s;
    uint64_t at;
    if (!arg_bit_offset(c, c->argv[2], 0, &at) || !text_read(c, c->argv[1], &k))
        return;
    text_show(c, &k, &s);
    reply_int(c->reply, bitmap_get(s.text, at));
}

/* ------------------------------------------------------------ ranges */

struct bit_range {
    uint64_t first, last; /* bits */
    bool empty;
    bool ended; /* the end was given */
};

/* "[start [end [BYTE|BIT]]]" from argument i on, for a string of n bytes. `late`: a wrong unit is
 * found before a wrong end, as BITPOS does. */
static bool parse_range(struct call *c, uint32_t i, bool late, size_t n, struct bit_range *out)
{
    int64_t start = 0, end = -1;
    bool bits = c->argc > i + 2 && bytes_is_nocase(c->argv[i + 2], "bit");
    bool unit = c->argc <= i + 2 || bits || bytes_is_nocase(c->argv[i + 2], "byte");
    if (c->argc > i && !arg_i64(c, c->argv[i], &start))
        return false;
    if ((late && !unit) || c->argc > i + 3) {
        reply_error(c->reply, ERR_SYNTAX);
        return false;
    }
    if (c->argc > i + 1 && !arg_i64(c, c->argv[i + 1], &end))
        return false;
    if (!unit) {
        reply_error(c->reply, ERR_SYNTAX);
        return false;
    }
    int64_t len = bits ? (int64_t)n * 8 : (int64_t)n;
    bool crossed = !late && start < 0 && end < 0 && start > end;
    start = start < 0 && (start += len) < 0 ? 0 : start;
    end = end < 0 && (end += len) < 0 ? 0 : end;
    end = end >= len ? len - 1 : end;
    *out = (struct bit_range){.empty = crossed || start > end, .ended = c->argc > i + 1};
    if (!out->empty) {
        out->first = (uint64_t)start * (bits ? 1 : 8);
        out->last = bits ? (uint64_t)end : (uint64_t)end * 8 + 7;
    }
    return true;
}

static void bitcount(struct call *c)
{
    struct key k;
    struct shown s;
    struct bit_range r;
    if (!text_read(c, c->argv[1], &k))
        return;
    if (k.cell == NULL) {
        reply_int(c->reply, 0);
        return;
    }
    text_show(c, &k, &s);
    if (c->argc == 3 || c->argc > 5) {
        reply_error(c->reply, ERR_SYNTAX);
        return;
    }
    if (parse_range(c, 2, false, s.text.n, &r))
        reply_int(c->reply, r.empty ? 0 : (int64_t)bitmap_count_bits(s.text, r.first, r.last));
}

static void bitpos(struct call *c)
{
    struct key k;
    struct shown s;
    struct bit_range r;
    int64_t bit;
    if (!arg_i64(c, c->argv[2], &bit))
        return;
    if (bit != 0 && bit != 1) {
        reply_error(c->reply, "ERR The bit argument must be 1 or 0.");
        return;
    }
    if (!text_read(c, c->argv[1], &k))
        return;
    if (k.cell == NULL) {
        reply_int(c->reply, bit ? -1 : 0);
        return;
    }
    text_show(c, &k, &s);
    if (!parse_range(c, 3, true, s.text.n, &r))
        return;
    int64_t at = r.empty ? -1 : bitmap_find(s.text, bit, r.first, r.last);
    /* Zeros follow the string, unless an end was given. */
    if (at < 0 && !r.empty && bit == 0 && !r.ended)
        at = (int64_t)s.text.n * 8;
    reply_int(c->reply, at);
}

#define WRITE (CMD_WRITE | CMD_DENYOOM)

const struct command cmd_bits_table[] = {
    {"bitcount", -2, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, bitcount, NULL, "bitmap", "2.6.0",
     "O(N) with N the length of the range", "Counts the bits that are set in a string",
     "key [start end [BYTE|BIT]]"},
    {"bitfield", -2, WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, bitfield, NULL, "bitmap", "3.2.0",
     "O(1) for each operation", "Reads and changes numbers of any width within a string",
     "key [<GET encoding offset|[OVERFLOW <WRAP|SAT|FAIL>] <SET encoding offset value|INCRBY "
     "encoding offset increment>> [...]]"},
    {"bitfield_ro", -2, CMD_READONLY | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, bitfield_ro, NULL,
     "bitmap", "6.0.0", "O(1) for each operation", "Reads numbers of any width within a string",
     "key [GET encoding offset [GET encoding offset ...]]"},
    {"bitop", -4, WRITE, 2, -1, 1, AT_SHARD, MERGE_NONE, bitop, NULL, "bitmap", "2.6.0",
     "O(N) with N the length of the longest string", "Combines strings bit by bit into another",
     "<AND|OR|XOR|NOT> destkey key [key ...]"},
    {"bitpos", -3, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, bitpos, NULL, "bitmap", "2.8.7",
     "O(N) with N the length of the range",
     "Finds the first bit that is set, or clear, in a string", "key bit [start [end [BYTE|BIT]]]"},
    {"getbit", 3, CMD_READONLY | CMD_FAST, 1, 1, 1, AT_SHARD, MERGE_NONE, getbit, NULL, "bitmap",
     "2.2.0", "O(1)", "Returns a bit of a string", "key offset"},
    {"setbit", 4, WRITE, 1, 1, 1, AT_SHARD, MERGE_NONE, setbit, NULL, "bitmap", "2.2.0", "O(1)",
     "Sets or clears a bit of a string", "key offset value"},
    {.name = NULL},
};

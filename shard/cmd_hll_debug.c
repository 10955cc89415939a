/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/cmd_hll.h"

#include "shard/hll_estimate.h"

/* PFDEBUG and PFSELFTEST, as Redis' own tests use them. */

static void show_registers(struct call *c, const struct hll *h)
{
    reply_array(c->reply, HLL_REGISTERS);
    for (unsigned i = 0; i < HLL_REGISTERS; i++)
        reply_int(c->reply, h->ranks[i]);
}

static void show_runs(struct call *c, const struct buf *text)
{
    struct buf out = {0};
    hll_text_decode(&out, buf_bytes(text));
    reply_bulk(c->reply, buf_bytes(&out));
    buf_deinit(&out);
}

void pfdebug(struct call *c)
{
    struct key k;
    struct hll h;
    struct buf text = {0};
    struct bytes word = c->argv[1];
    key_write(c, c->argv[2], &k);
    if (k.cell == NULL) {
        reply_error(c->reply, "ERR The specified key does not exist");
        return;
    }
    if (!hll_of_key(c, &k, &h))
        return;
    hll_text_put(&text, h.ranks, h.is_dense, false);
    bool is_dense = hll_text_is_dense(buf_bytes(&text));
    if (bytes_is_nocase(word, "getreg")) {
        show_registers(c, &h);
    } else if (bytes_is_nocase(word, "decode") && is_dense) {
        reply_error(c->reply, "ERR HLL encoding is not sparse");
    } else if (bytes_is_nocase(word, "decode")) {
        show_runs(c, &text);
    } else if (bytes_is_nocase(word, "encoding")) {
        reply_simple(c->reply, is_dense ? "dense" : "sparse");
    } else if (bytes_is_nocase(word, "todense")) {
        if (!is_dense)
            hll_make_dense(c, &k, &h);
        reply_int(c->reply, !is_dense);
    } else {
        reply_errorf(c->reply, "ERR Unknown PFDEBUG subcommand '%.*s'",
                     (int)(word.n < 128 ? word.n : 128), (const char *)word.p);
    }
    buf_deinit(&text);
}

/* ------------------------------------------------------------ self test */

#define TRIED 100000u
#define ERROR_MAX 0.05 /* six times the standard error of 16384 registers */

/* The ranks can be written and read again in both forms. */
static bool survives(const struct hll *h)
{
    bool good = true;
    struct hll back;
    for (unsigned dense = 0; dense < 2; dense++) {
        struct buf text = {0};
        hll_text_put(&text, h->ranks, dense, false);
        good &= hll_text_read(buf_bytes(&text), back.ranks) == HLL_READ &&
                memcmp(back.ranks, h->ranks, sizeof back.ranks) == 0;
        buf_deinit(&text);
    }
    return good;
}

void pfselftest(struct call *c)
{
    struct hll h = {.is_dense = false};
    for (uint64_t i = 1, check = 1; i <= TRIED; i++) {
        uint16_t index;
        uint8_t rank;
        hll_place(bytes_of(&i, sizeof i), &index, &rank);
        h.ranks[index] = rank > h.ranks[index] ? rank : h.ranks[index];
        if (i != check)
            continue;
        check *= 10;
        double error = (double)hll_estimate(h.ranks) / (double)i - 1;
        if (error > ERROR_MAX || error < -ERROR_MAX || !survives(&h)) {
            reply_errorf(c->reply, "TESTFAILED after %llu elements", (unsigned long long)i);
            return;
        }
    }
    reply_ok(c->reply);
}

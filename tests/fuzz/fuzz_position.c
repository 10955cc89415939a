/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "crdt/position.h"
#include "tests/fuzz/fuzz.h"

/* A list that begins with a peer's positions (whatever the input says, when valid) and into which
 * is then inserted at chosen places by two writers: every new position lies strictly between its
 * neighbours and is valid. */
enum { LONGEST = 64 };

struct list {
    struct buf at[LONGEST];
    unsigned n;
};

static struct bytes nth(const struct list *l, unsigned i)
{
    return i < l->n ? buf_bytes(&l->at[i]) : bytes_of(NULL, 0);
}

static void add_at(struct list *l, unsigned i, struct buf *taken)
{
    memmove(l->at + i + 1, l->at + i, (l->n - i) * sizeof *l->at);
    l->at[i] = *taken;
    l->n++;
}

static void add_foreign(struct list *l, struct bytes p)
{
    unsigned i = 0;
    if (!position_valid(p))
        return;
    while (i < l->n && bytes_cmp(nth(l, i), p) < 0)
        i++;
    if (i < l->n && bytes_eq(nth(l, i), p))
        return;
    struct buf copy = {0};
    buf_put_bytes(&copy, p);
    add_at(l, i, &copy);
}

static void insert(struct list *l, unsigned i, stamp_t stamp, struct position_runs *runs)
{
    struct bytes left = i > 0 ? nth(l, i - 1) : bytes_of(NULL, 0), right = nth(l, i);
    struct buf made = {0};
    if (!position_between(&made, left, right, stamp, runs)) {
        must(buf_len(&made) == 0 && left.n == POSITION_STEPS_MAX * POSITION_STEP && right.n > 0);
        return;
    }
    must(left.n == 0 || bytes_cmp(left, buf_bytes(&made)) < 0);
    must(right.n == 0 || bytes_cmp(buf_bytes(&made), right) < 0);
    must(buf_len(&made) % POSITION_STEP == 0);
    add_at(l, i, &made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct list *l = mem_zalloc(sizeof *l);
    struct position_runs *runs[2] = {position_runs_new(), position_runs_new()};
    for (unsigned n = fuzz_byte(&in) % 4; n > 0; n--)
        add_foreign(l, fuzz_take(&in, POSITION_STEP * (fuzz_byte(&in) % 8u)));
    for (uint64_t ms = 1; in.n > 0 && l->n < LONGEST; ms++) {
        uint8_t how = fuzz_byte(&in);
        uint32_t who = how >> 7;
        insert(l, how % (l->n + 1), stamp_make(ms, 0, who + 1), runs[who]);
    }
    for (unsigned i = 0; i < l->n; i++)
        buf_deinit(&l->at[i]);
    mem_free(l);
    position_runs_free(runs[0]);
    position_runs_free(runs[1]);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/position.h"

#include "base/mem.h"

#include <assert.h>

/* ------------------------------------------------------------ steps */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "steps are swapped to big-endian");

static uint64_t get_be64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

static uint32_t get_be32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static void put_be64(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof v);
}

static void put_be32(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

#define SIGN64 (UINT64_C(1) << 63)
#define SIGN32 (UINT32_C(1) << 31)

static inline struct position_step step_read(struct bytes p, size_t i)
{
    const uint8_t *at = p.p + i * POSITION_STEP;
    return (struct position_step){
        .base = (int64_t)(get_be64(at) ^ SIGN64),
        .run = get_be64(at + 8),
        .offset = (int32_t)(get_be32(at + 16) ^ SIGN32),
    };
}

struct position_step position_step(struct bytes p, size_t i) { return step_read(p, i); }

static inline void step_put(struct buf *out, struct position_step s)
{
    uint8_t *p = buf_reserve(out, POSITION_STEP);
    put_be64(p, (uint64_t)s.base ^ SIGN64);
    put_be64(p + 8, s.run);
    put_be32(p + 16, (uint32_t)s.offset ^ SIGN32);
    buf_added(out, POSITION_STEP);
}

void position_put(struct buf *out, struct position_step s) { step_put(out, s); }

bool position_valid(struct bytes p)
{
    if (p.n == 0 || p.n % POSITION_STEP != 0 || p.n / POSITION_STEP > POSITION_STEPS_MAX)
        return false;
    for (size_t i = 0; i < p.n / POSITION_STEP; i++) {
        int64_t base = position_step(p, i).base;
        if (base > POSITION_BASE_MAX || base < -POSITION_BASE_MAX)
            return false;
    }
    return true;
}

/* ------------------------------------------------------------ own runs */

/* Sorted by run, which is the order in which they were started: a clock's stamps grow. */
struct position_runs {
    struct run {
        stamp_t run;
        int32_t low, high;
    } * at;
    unsigned n, cap;
};

struct position_runs *position_runs_new(void) { return mem_zalloc(sizeof(struct position_runs)); }

void position_runs_free(struct position_runs *r)
{
    if (r == NULL)
        return;
    mem_free(r->at);
    mem_free(r);
}

static struct run *runs_find(struct position_runs *r, stamp_t run)
{
    if (r->n > 0 && r->at[r->n - 1].run == run)
        return &r->at[r->n - 1]; /* most pushes go on with the newest */
    unsigned low = 0, high = r->n;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (r->at[mid].run < run)
            low = mid + 1;
        else
            high = mid;
    }
    return low < r->n && r->at[low].run == run ? &r->at[low] : NULL;
}

static void runs_start(struct position_runs *r, stamp_t run)
{
    if (r->n > 0 && run <= r->at[r->n - 1].run)
        return; /* a clock was set back by its owner; a run that is not remembered is only never
                   extended */
    if (r->n == RUNS_MAX) {
        unsigned gone = RUNS_MAX / 4;
        memmove(r->at, r->at + gone, (r->n - gone) * sizeof *r->at);
        r->n -= gone;
    }
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 16;
        r->at = mem_realloc(r->at, r->cap * sizeof *r->at);
    }
    r->at[r->n++] = (struct run){.run = run};
}

/* ------------------------------------------------------------ between */

/* `path` and one more step, which starts a run. */
static bool start(struct buf *out, struct bytes path, int64_t base, stamp_t stamp,
                  struct position_runs *runs)
{
    if (path.n / POSITION_STEP >= POSITION_STEPS_MAX)
        return false;
    buf_put_bytes(out, path);
    step_put(out, (struct position_step){.base = base, .run = stamp});
    runs_start(runs, stamp);
    return true;
}

/* Is there a next offset of an own run? A step with an offset that we never gave out is forged:
 * better a new run. */
static bool may_extend(const struct run *own, int32_t offset, int way)
{
    if (own == NULL || offset < own->low || offset > own->high)
        return false;
    return way > 0 ? own->high < INT32_MAX : own->low > INT32_MIN;
}

/* The end (way +1) or the start (-1) of the list: next to the first step of the outermost position.
 */
static bool at_end(struct buf *out, struct bytes outermost, int way, stamp_t stamp,
                   struct position_runs *runs)
{
    struct position_step step = step_read(outermost, 0);
    struct run *own = runs_find(runs, step.run);
    if (!may_extend(own, step.offset, way))
        return start(out, bytes_of(NULL, 0), step.base + way, stamp, runs);
    step.offset = way > 0 ? ++own->high : --own->low;
    step_put(out, step);
    return true;
}

/* `left` ends in an own run: its next offset, if that is still before `right`. */
static bool extend_inside(struct buf *out, struct bytes left, struct bytes right,
                          struct position_runs *runs)
{
    size_t last = left.n / POSITION_STEP - 1, mark = buf_len(out);
    struct position_step step = step_read(left, last);
    struct run *own = runs_find(runs, step.run);
    if (!may_extend(own, step.offset, +1))
        return false;
    step.offset = own->high + 1;
    buf_put(out, left.p, last * POSITION_STEP);
    step_put(out, step);
    struct bytes made = buf_bytes(out);
    made = bytes_of(made.p + mark, made.n - mark);
    if (bytes_cmp(made, right) >= 0) {
        out->tail -= made.n;
        return false;
    }
    own->high++;
    return true;
}

bool position_between(struct buf *out, struct bytes left, struct bytes right, stamp_t stamp,
                      struct position_runs *runs)
{
    if (left.n == 0 && right.n == 0)
        return start(out, left, 0, stamp, runs);
    if (right.n == 0)
        return at_end(out, left, +1, stamp, runs);
    if (left.n == 0)
        return at_end(out, right, -1, stamp, runs);
    assert(bytes_cmp(left, right) < 0);
    if (extend_inside(out, left, right, runs))
        return true;
    bool inside = right.n > left.n && memcmp(left.p, right.p, left.n) == 0;
    if (inside) /* right lives in left's gap: go before it there */
        return start(out, left, step_read(right, left.n / POSITION_STEP).base - 1, stamp, runs);
    return start(out, left, 0, stamp, runs);
}

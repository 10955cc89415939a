/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/lab/backend.h"

#include <stdio.h>

struct player {
    struct backend *b;
    const char *file;
    const struct scenario *s;
    bool *down; /* by region */
};

static void failed(const struct player *p, const struct step *st, unsigned region, const char *text)
{
    printf("FAIL %s:%u: %s\n", p->file, st ? st->line : p->s->line, p->s->title);
    if (region > 0)
        printf("     region %s: ", p->s->names[region]);
    else
        printf("     ");
    printf("%s\n", text);
}

static void print_command(struct buf *out, const struct step *st)
{
    for (size_t i = 0; i < st->argc; i++) {
        if (i > 0)
            buf_put_u8(out, ' ');
        resp_reply_print(out, &(struct resp_reply){.type = '$', .text = st->argv[i]});
    }
}

static bool compare(const struct player *p, const struct step *st, unsigned region,
                    struct bytes raw)
{
    struct resp_reply r;
    size_t used;
    if (resp_reply_read(raw, &r, &used) != RESP_REPLY_OK) {
        failed(p, st, region, "the reply is not RESP");
        return false;
    }
    bool fits = !st->expects || expect_fits(&st->expect, &r);
    if (!fits) {
        struct buf text = {0};
        print_command(&text, st);
        buf_put_str(&text, "\n     expected ");
        expect_print(&text, &st->expect);
        buf_put_str(&text, "\n     got      ");
        resp_reply_print(&text, &r);
        buf_put_u8(&text, 0);
        failed(p, st, region, (const char *)buf_bytes(&text).p);
        buf_deinit(&text);
    }
    resp_reply_deinit(&r);
    return fits;
}

static bool play_command(const struct player *p, const struct step *st, unsigned region)
{
    struct buf reply = {0};
    char why[WHY_MAX];
    bool ok = p->b->ops->command(p->b, region, st->argc, st->argv, &reply, why);
    if (!ok)
        failed(p, st, region, why);
    else
        ok = compare(p, st, region, buf_bytes(&reply));
    buf_deinit(&reply);
    return ok;
}

static bool heal_all(const struct player *p, char *why)
{
    for (unsigned a = 1; a <= p->s->regions; a++)
        for (unsigned b = a + 1; b <= p->s->regions; b++)
            if (!p->b->ops->link(p->b, a, b, true, why))
                return false;
    return true;
}

static bool play_step(const struct player *p, const struct step *st, char *why)
{
    const struct backend_ops *o = p->b->ops;
    switch (st->kind) {
    case STEP_SYNC:
        return o->sync(p->b, why);
    case STEP_DELIVER:
        return o->deliver(p->b, st->a, st->b, why);
    case STEP_CUT:
        return o->link(p->b, st->a, st->b, false, why);
    case STEP_HEAL:
        return st->a == 0 ? heal_all(p, why) : o->link(p->b, st->a, st->b, true, why);
    case STEP_CLOCK:
        return o->clock(p->b, st->a, st->ms, why);
    case STEP_WAIT:
        return o->wait(p->b, st->ms, why);
    case STEP_TOGETHER:
    case STEP_END:
        return o->together(p->b, st->kind == STEP_TOGETHER, why);
    case STEP_CRASH:
        p->down[st->a] = true;
        return o->crash(p->b, st->a, why);
    case STEP_RESTART:
        p->down[st->a] = false;
        return o->restart(p->b, st->a, why);
    case STEP_COMMAND:
        break;
    }
    return true;
}

static bool play_steps(const struct player *p)
{
    char why[WHY_MAX];
    for (size_t i = 0; i < p->s->steps_n; i++) {
        const struct step *st = &p->s->steps[i];
        if (st->kind != STEP_COMMAND) {
            if (!play_step(p, st, why)) {
                failed(p, st, st->a, why);
                return false;
            }
            continue;
        }
        for (unsigned r = st->a ? st->a : 1; r <= (st->a ? st->a : p->s->regions); r++)
            if (!(st->a == 0 && p->down[r]) && !play_command(p, st, r))
                return false;
    }
    return true;
}

void lab_play(struct backend *b, const char *file, const struct script *s, bool verbose,
              struct lab_counts *counts)
{
    for (size_t i = 0; i < s->n; i++) {
        bool down[SCENARIO_REGIONS_MAX + 1] = {false};
        struct player p = {.b = b, .file = file, .s = &s->scenarios[i], .down = down};
        char why[WHY_MAX];
        if (b->ops->can != NULL && !b->ops->can(b, p.s, why)) {
            printf("left out %s:%u: %s: %s\n", file, p.s->line, p.s->title, why);
            counts->left_out++;
            continue;
        }
        bool ok = b->ops->begin(b, p.s, why);
        if (!ok)
            failed(&p, NULL, 0, why);
        else
            ok = play_steps(&p);
        b->ops->end(b);
        counts->passed += ok;
        counts->failed += !ok;
        if (ok && verbose)
            printf("ok   %s:%u: %s\n", file, p.s->line, p.s->title);
    }
}

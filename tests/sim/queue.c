/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/num.h"
#include "tests/sim/run.h"

#include <stdio.h>

/*
 * A queue for each region, which only its own clients push to and pop from, waiting. Within one
 * region and one life an element is popped at most once, and what was pushed is popped or still
 * there. A client that dies while it pops may have popped one element; a region that loses its
 * memory may have popped, or been given, what nobody else has heard of.
 */

static void pushed(struct client *c, const struct resp_reply *r)
{
    struct queue *q = &c->run->queues[c->region];
    if (r->type == ':' && q->items[c->subject] == ITEM_ASKED)
        q->items[c->subject] = ITEM_THERE;
}

static void popped(struct client *c, const struct resp_reply *r)
{
    struct queue *q = &c->run->queues[c->region];
    int64_t i;
    c->pops = false;
    if (r->type != '*' || r->n != 2 || !num_parse_i64(r->items[1].text, &i))
        return; /* the time was up */
    if (i < 0 || i >= (int64_t)q->n)
        fail(c->run, "region %u's queue gave %lld, which nobody pushed", c->region, (long long)i);
    else if (q->items[i] == ITEM_POPPED)
        fail(c->run, "region %u popped element %lld twice", c->region, (long long)i);
    else if (q->items[i] != ITEM_MAYBE)
        q->items[i] = ITEM_POPPED;
}

unsigned queue_push(struct client *c)
{
    struct queue *q = &c->run->queues[c->region];
    q->items[q->n] = ITEM_ASKED;
    c->subject = q->n++;
    c->on_reply = pushed;
    return (unsigned)c->subject;
}

void queue_pop(struct client *c)
{
    c->pops = true;
    c->on_reply = popped;
}

void queue_lost(struct client *c)
{
    c->run->queues[c->region].open += c->pops;
    c->pops = false;
}

void queue_crash(struct run *r, unsigned dying)
{
    struct queue *q = &r->queues[dying];
    memset(q->items, ITEM_MAYBE, q->n);
}

void queue_check(struct run *r, unsigned g)
{
    for (unsigned of = 1; of <= r->plan.regions; of++) {
        const struct queue *q = &r->queues[of];
        bool here[QUEUE_MAX] = {false};
        unsigned missing = 0;
        char key[32];
        snprintf(key, sizeof key, QUEUE_KEY, of);
        const struct cell *list = peek(r, g, key), *elem;
        struct order_iter it;
        if (list != NULL) {
            order_iter(&it, list, TYPE_LIST, 0);
            while ((elem = order_next(&it)) != NULL) {
                struct shown s;
                int64_t i = 0;
                cell_show(elem, &s);
                if (num_parse_i64(s.text, &i) && i >= 0 && i < (int64_t)q->n)
                    here[i] = true;
            }
        }
        for (unsigned i = 0; i < q->n; i++) {
            missing += q->items[i] == ITEM_THERE && !here[i];
            if (q->items[i] == ITEM_POPPED && here[i])
                fail(r, "region %u still has element %u of region %u's queue, which was popped", g,
                     i, of);
        }
        if (missing > q->open)
            fail(r, "region %u has lost %u elements of region %u's queue, %u could be popped", g,
                 missing, of, q->open);
    }
}

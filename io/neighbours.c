/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/neighbours.h"

#include "io/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

void neighbours_wake_init(struct loop *l)
{
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->wake_fd < 0) {
        loop_log(l, 'E', "cannot make an eventfd: %s. Raise the limit of open files (ulimit -n)",
                 strerror(errno));
        abort();
    }
}

void neighbours_wake(struct loop *l)
{
    uint64_t one = 1;
    ssize_t n = write(l->wake_fd, &one, sizeof one);
    (void)n; /* fails only when it is set already */
}

void neighbours_woken(struct loop *l)
{
    uint64_t count;
    ssize_t n = read(l->wake_fd, &count, sizeof count);
    (void)n;
}

void neighbours_post(struct loop *l, uint32_t neighbour, struct msg *taken)
{
    if (neighbour >= l->port.neighbours || l->dead) {
        msg_free(taken);
        return;
    }
    taken->from = l->port.self;
    struct outbox *o = &l->outboxes[neighbour];
    taken->next = o->first;
    o->first = taken;
    if (o->last == NULL)
        o->last = taken;
}

static void hand_over(struct loop *to, struct outbox *o)
{
    struct msg *head = atomic_load_explicit(&to->inbox, memory_order_relaxed);
    do {
        o->last->next = head;
    } while (!atomic_compare_exchange_weak(&to->inbox, &head, o->first));
    *o = (struct outbox){0};
    /* Sequentially consistent, like the two in neighbours_sleep: either we see that it sleeps, or
     * it sees the message. */
    if (atomic_load(&to->sleeping) && atomic_exchange(&to->sleeping, false))
        neighbours_wake(to);
}

void neighbours_flush(struct loop *l)
{
    for (uint32_t i = 0; i < l->port.neighbours; i++)
        if (l->outboxes[i].first != NULL)
            hand_over(l->neighbours[i], &l->outboxes[i]);
}

static struct msg *take_all(struct loop *l)
{
    if (atomic_load_explicit(&l->inbox, memory_order_relaxed) == NULL)
        return NULL;
    struct msg *m = atomic_exchange_explicit(&l->inbox, NULL, memory_order_acquire), *oldest = NULL;
    while (m != NULL) {
        struct msg *next = m->next;
        m->next = oldest;
        oldest = m;
        m = next;
    }
    return oldest;
}

void neighbours_drain(struct loop *l)
{
    struct msg *m = take_all(l);
    while (m != NULL) {
        struct msg *next = m->next;
        m->next = NULL;
        if (move_is(m)) {
            move_arrived(l, m);
        } else {
            struct event ev = {.kind = EV_MESSAGE, .msg = m};
            loop_step(l, &ev);
        }
        m = next;
    }
}

bool neighbours_sleep(struct loop *l)
{
    atomic_store(&l->sleeping, true);
    if (atomic_load(&l->inbox) == NULL)
        return true;
    atomic_store(&l->sleeping, false);
    return false;
}

void neighbours_awake(struct loop *l)
{
    atomic_store_explicit(&l->sleeping, false, memory_order_relaxed);
}

void neighbours_drop(struct loop *l)
{
    struct msg *m = take_all(l);
    while (m != NULL) {
        struct msg *next = m->next;
        msg_free(m);
        m = next;
    }
    for (uint32_t i = 0; i < l->port.neighbours; i++) {
        m = l->outboxes[i].first;
        while (m != NULL) {
            struct msg *next = m == l->outboxes[i].last ? NULL : m->next;
            msg_free(m);
            m = next;
        }
        l->outboxes[i] = (struct outbox){0};
    }
}

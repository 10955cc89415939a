/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/share.h"

#define ALONE_AFTER_US UINT64_C(100000) /* without clients */
#define SLICE_ALONE_US UINT64_C(1000)
#define SLICE_MIN_US UINT64_C(100)
#define SLICE_MAX_US UINT64_C(4000) /* no turn takes more than 5 ms */
#define SMOOTH 8u                   /* turns */
#define WEIGHT_MAX 8u
#define PRESS_US UINT64_C(1000000)

/* A turn in which the system let somebody else run says nothing of clients: it counts little. */
static void note_clients(struct share *s, uint64_t turn_us)
{
    uint64_t most = 4 * s->clients_us + SLICE_MIN_US;
    uint64_t took = turn_us < most ? turn_us : most;
    s->clients_us = (s->clients_us * (SMOOTH - 1) + took) / SMOOTH;
}

static void ease(struct share *s, struct moment now)
{
    if (s->weight <= 1 || now.mono_us < s->pressed_us + 2 * PRESS_US ||
        now.mono_us < s->eased_us + PRESS_US)
        return;
    s->weight /= 2;
    s->eased_us = now.mono_us;
}

void share_turn(struct share *s, struct port *port, bool served, struct moment now)
{
    if (served) {
        note_clients(s, port->ops->clock_us(port) - now.mono_us);
        s->served_us = now.mono_us;
    }
    if (s->users > 0)
        s->users_before = s->users;
    s->users = 0;
    ease(s, now);
    uint64_t slice = s->clients_us * (s->weight > 1 ? s->weight : 1);
    if (slice < SLICE_MIN_US)
        slice = SLICE_MIN_US;
    if (s->served_us == 0 || now.mono_us > s->served_us + ALONE_AFTER_US)
        slice = SLICE_ALONE_US;
    if (slice > SLICE_MAX_US)
        slice = SLICE_MAX_US;
    s->slice_us = served ? 0 : slice;
}

struct share_slice share_begin(struct share *s, struct port *port)
{
    struct share_slice slice = {.of = s};
    if (s == NULL)
        return slice;
    s->users++;
    slice.until_us =
        port->ops->clock_us(port) + s->slice_us / (s->users_before > 0 ? s->users_before : 1);
    return slice;
}

bool share_left(const struct share_slice *slice, struct port *port)
{
    return slice->of == NULL ||
           (slice->of->slice_us > 0 && port->ops->clock_us(port) < slice->until_us);
}

void share_press(struct share *s, struct moment now)
{
    if (s == NULL || now.mono_us < s->pressed_us + PRESS_US)
        return;
    s->pressed_us = now.mono_us;
    s->eased_us = now.mono_us;
    s->weight = s->weight < 1 ? 2 : s->weight * 2;
    if (s->weight > WEIGHT_MAX)
        s->weight = WEIGHT_MAX;
}

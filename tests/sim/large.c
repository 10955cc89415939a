/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/sim/run.h"

#include <stdio.h>

/*
 * Collections of hundreds to thousands of elements, written hundreds at a time, emptied, copied and
 * removed, while regions die and come back: what is taken, sent, written and freed in slices with
 * slices as long as they really are. Nothing is promised of one element but that all regions agree,
 * at every look and in what a client reads at the end.
 */
#define EVERY_US 60000u
#define GIVE_UP_US 4000000u
#define ELEMENTS 600u /* of one command, at most */
#define SPACE 3000u   /* names of elements */

void large_draw(struct run *r)
{
    if (r->weather != WEATHER_LARGE)
        return;
    r->large = true;
    r->plan.crashes = true;
    rng_init(&r->filling, r->seed ^ UINT64_C(0x6c61726765));
}

static void event(struct vconn *conn, enum vconn_event what, struct buf *in, void *arg)
{
    struct filler *f = arg;
    struct resp_reply reply;
    size_t used;
    (void)conn;
    if (what == VCONN_CLOSED) {
        f->conn = NULL;
        return;
    }
    while (what == VCONN_DATA && resp_reply_read(buf_bytes(in), &reply, &used) == RESP_REPLY_OK) {
        f->waiting--;
        resp_reply_deinit(&reply);
        buf_consume(in, used);
    }
}

/* Commands that write elements: how many words each takes. */
static const struct {
    const char *name, *key;
    bool number, name_of; /* a score, a name before or after it */
} writers[] = {
    {"hset", "h", true, true},   {"sadd", "s", false, true},  {"zadd", "z", true, true},
    {"rpush", "l", true, false}, {"hdel", "h", false, true},  {"srem", "s", false, true},
    {"zrem", "z", false, true},  {"lpush", "l", true, false},
};

/* The rest, with %u for one of LARGE_KEYS keys. */
static const char *const others[] = {
    "del %s%uh",
    "del %s%us",
    "unlink %s%uz",
    "unlink %s%ul",
    "spop %s%us 400",
    "ltrim %s%ul 100 900",
    "zremrangebyrank %s%uz 0 300",
    "sunionstore %s0s %s%us %s1s",
    "zunionstore %s1z 2 %s%uz %s0s",
    "rename %s%uh %s1h",
    "copy %s%us %s1s replace",
    "pexpire %s%uh 300",
    "append %s%uv",
    "getdel %s%uv",
};
enum { WRITERS = sizeof writers / sizeof writers[0], OTHERS = sizeof others / sizeof others[0] };

static unsigned words_of_text(char *text, struct bytes *argv)
{
    unsigned n = 0;
    for (char *at = text; *at != 0; n++) {
        char *end = at;
        while (*end != 0 && *end != ' ')
            end++;
        argv[n] = bytes_of((const uint8_t *)at, (size_t)(end - at));
        at = *end != 0 ? end + 1 : end;
    }
    return n;
}

static void put_other(struct rng *g, struct buf *out)
{
    static const char piece[30000] = "";
    const char *form = others[rng_below(g, OTHERS)];
    struct bytes argv[8];
    char text[128];
    unsigned which = (unsigned)rng_below(g, LARGE_KEYS), at = 0;
    for (; *form != 0; form++) {
        if (*form != '%')
            text[at++] = *form;
        else if (*++form == 's')
            at += (unsigned)snprintf(text + at, sizeof text - at, "%s", LARGE_TAG);
        else
            at += (unsigned)snprintf(text + at, sizeof text - at, "%u", which);
    }
    text[at] = 0;
    unsigned n = words_of_text(text, argv);
    if (bytes_eq(argv[0], bytes_str("append")))
        argv[n++] = bytes_of((const uint8_t *)piece, 1 + rng_below(g, sizeof piece));
    resp_request_put(out, n, argv);
}

static void put_writer(struct rng *g, struct buf *out)
{
    static const char names[] = "0123456789";
    struct bytes argv[2 + 2 * ELEMENTS];
    char key[32], text[ELEMENTS][8];
    size_t w = rng_below(g, WRITERS);
    unsigned n = 2, from = (unsigned)rng_below(g, SPACE);
    unsigned count = 1 + (unsigned)rng_below(g, ELEMENTS);
    snprintf(key, sizeof key, "%s%u%s", LARGE_TAG, (unsigned)rng_below(g, LARGE_KEYS),
             writers[w].key);
    argv[0] = bytes_str(writers[w].name);
    argv[1] = bytes_str(key);
    for (unsigned i = 0; i < count; i++) {
        snprintf(text[i], sizeof text[i], "e%u", (from + i) % SPACE);
        struct bytes digit = bytes_of((const uint8_t *)names + rng_below(g, 10), 1);
        bool score = bytes_eq(argv[0], bytes_str("zadd"));
        if (writers[w].number && score)
            argv[n++] = digit;
        if (writers[w].name_of)
            argv[n++] = bytes_str(text[i]);
        if (writers[w].number && !score)
            argv[n++] = digit;
    }
    resp_request_put(out, n, argv);
}

static void write_one(struct filler *f)
{
    struct rng *g = &f->run->filling;
    struct buf out = {0};
    if (rng_below(g, 4) == 0)
        put_other(g, &out);
    else
        put_writer(g, &out);
    f->waiting++;
    vconn_send(f->conn, buf_bytes(&out));
    buf_deinit(&out);
}

void large_tick(struct run *r)
{
    uint64_t now = world_now_us(r->world);
    for (unsigned g = 1; g <= r->plan.regions && r->large && !r->calm; g++) {
        struct filler *f = &r->large_writers[g];
        char name[8];
        if (!deploy_running(r->deploy, g) || !(deploy_members_now(r->deploy) >> g & 1))
            continue;
        snprintf(name, sizeof name, "r%u", g);
        f->run = r;
        if (f->conn != NULL && f->waiting > 0 && now > f->next_us + GIVE_UP_US)
            large_forget(r, g);
        if (f->conn == NULL) {
            f->waiting = 0;
            f->conn = driver_dial(r->driver, name, DEPLOY_PORT, event, f);
        }
        if (f->conn == NULL || f->waiting > 0 || now < f->next_us)
            continue;
        f->next_us = now + EVERY_US;
        write_one(f);
    }
}

void large_forget(struct run *r, unsigned region)
{
    struct filler *f = &r->large_writers[region];
    if (f->conn != NULL)
        vconn_close(f->conn);
    f->conn = NULL;
}
